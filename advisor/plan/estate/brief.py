"""What a plan leaves out where it is one of many, so that each takes a second and a few kilobytes."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from advisor.catalog import Catalog
from advisor.catalog.values import Offer
from advisor.plan.fleet.stage import Effort
from advisor.workload.values import Workload

BRIEF_OPTIONS = 10
BRIEF_EFFORT = Effort(rehearsed_requests=5_000, kinds_tried=3, holds_up_to=False)
"""5,000 requests show 99 % to within 0.3 points (two standard errors of a share)."""
BRIEF_NOTE = (
    f"a brief plan: the {BRIEF_OPTIONS} cheapest single types, each in its cheapest region, no rejections, and a "
    f"replay of {BRIEF_EFFORT.rehearsed_requests:,} requests; `advisor recommend` of the workload file alone has more"
)


def cheapest_offers(
    offers: Mapping[tuple[str, str], tuple[Offer, ...]], workload: Workload, catalog: Catalog
) -> dict[tuple[str, str], tuple[Offer, ...]]:
    """The offers of each type that are the cheapest for one of the workload's ways of paying."""
    return {key: tuple(dict.fromkeys(_cheapest(group, workload, catalog))) for key, group in offers.items()}


def _cheapest(group: Sequence[Offer], workload: Workload, catalog: Catalog) -> Iterator[Offer]:
    for purchase in workload.purchase:
        priced = [(price.usd_per_hour, one) for one in group if (price := catalog.price(one, purchase)) is not None]
        if priced:
            yield min(priced, key=lambda pair: pair[0])[1]


def offers_in(
    offers: Mapping[tuple[str, str], tuple[Offer, ...]], regions: Collection[str]
) -> dict[tuple[str, str], tuple[Offer, ...]]:
    """The offers of some regions, each named provider/region."""
    return {
        key: tuple(one for one in group if f"{one.provider}/{one.region}" in regions) for key, group in offers.items()
    }
