"""Parts that a plan leaves out where it is one of many, so that each takes a second and a few kilobytes."""

from collections.abc import Collection, Mapping

from advisor.catalog.values import Offer
from advisor.plan.solve.stage import Effort

BRIEF_OPTIONS = 10
BRIEF_EFFORT = Effort(
    rehearsed_requests=4_000, kinds_tried=3, holds_up_to=False, every_kind=False, options=BRIEF_OPTIONS
)
"""4,000 requests show 99 % to within 0.31 points (two standard errors of a share)."""
BRIEF_NOTE = (
    f"a brief plan: the {BRIEF_OPTIONS} cheapest single types, each in its cheapest region, no rejections, and a "
    f"replay of {BRIEF_EFFORT.rehearsed_requests:,} requests; `advisor recommend` of the workload file alone has more"
)


def offers_in(
    offers: Mapping[tuple[str, str], tuple[Offer, ...]], regions: Collection[str]
) -> dict[tuple[str, str], tuple[Offer, ...]]:
    """The offers of some regions, each named provider/region."""
    return {
        key: tuple(offer for offer in group if f"{offer.provider}/{offer.region}" in regions)
        for key, group in offers.items()
    }
