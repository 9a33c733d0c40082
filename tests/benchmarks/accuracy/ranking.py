"""Whether the accelerator that is predicted cheapest per token truly is, on cells that the fit has not seen."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from errors import percent, table

from advisor.calibration.fits import HeldOut
from advisor.calibration.observations import SCENARIO_OF, Observations
from advisor.catalog import Catalog
from advisor.performance.calibration import Group
from advisor.performance.constants import Quantity
from advisor.performance.physics import Floats
from advisor.performance.regimes import architecture, bits_per_param

CLEAR = 0.10
"""Measured difference beyond which a pair is no tie."""

Key = tuple[object, ...]
Costs = dict[str, tuple[float, float]]
"""By accelerator: measured and predicted, per token."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the accelerators of one set cost per token."""

    group: Group
    architecture: str
    measured: Floats
    predicted: Floats

    @property
    def regret(self) -> float:
        """How much dearer the choice is than the cheapest."""
        return float(self.measured[np.argmin(self.predicted)] / self.measured.min() - 1)

    def pairs(self) -> list[tuple[bool, bool]]:
        """Of each pair: whether its order is right, and whether it is no tie."""
        found = []
        for a, b in combinations(range(self.measured.size), 2):
            measured, predicted = (float(np.log(some[a] / some[b])) for some in (self.measured, self.predicted))
            found.append((measured * predicted > 0, abs(measured) > np.log1p(CLEAR)))
        return found


def hourly_prices(catalog: Catalog) -> dict[str, float]:
    """USD for an hour of one accelerator, on demand, where it is cheapest."""
    cheapest: dict[str, float] = {}
    for offer in catalog.offers:
        machine = catalog.instance_type(offer.provider, offer.instance_type)
        if offer.on_demand is None or not machine.accelerator_count:
            continue
        each = offer.on_demand.usd_per_hour / machine.accelerator_count
        cheapest[machine.accelerator] = min(each, cheapest.get(machine.accelerator, np.inf))
    return cheapest


def rank(held: HeldOut, prices: Mapping[str, float]) -> list[Ranked]:
    """Every set of two or more accelerators that have a price, with one model, precision, load and count."""
    sets: dict[Key, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    measured, predicted = held.observed.measured(Quantity.THROUGHPUT), held.predicted[Quantity.THROUGHPUT]
    for at in np.flatnonzero(np.isfinite(measured / predicted)).tolist():
        name = held.observed.deployments[held.observed.place[at]].accelerator.name
        if name in prices:
            sets[_key(held.observed, at)][name].append((1 / measured[at], 1 / predicted[at]))
    return list(_ranked(sets, prices))


def _key(observed: Observations, at: int) -> Key:
    """What accelerators must share to be compared."""
    one, load = observed.deployments[observed.place[at]], observed.load
    count = one.tensor_parallel * one.pipeline_parallel * one.attention_data_parallel
    lengths = (load.concurrency[at], load.input_tokens[at], load.output_tokens[at])
    return tuple(Group)[observed.group[at]], architecture(one), bits_per_param(one), count, *lengths


def _ranked(
    sets: Mapping[Key, Mapping[str, list[tuple[float, float]]]], prices: Mapping[str, float]
) -> Iterator[Ranked]:  # fmt: skip
    """Several measurements of one accelerator (other engines, other dates) count as their geometric mean."""
    for key, by_name in sets.items():
        if len(by_name) > 1 and isinstance(key[0], Group):
            means = [prices[name] * np.exp(np.log(rows).mean(axis=0)) for name, rows in by_name.items()]
            yield Ranked(key[0], str(key[1]), *np.array(means).T)


def ranking_table(held: HeldOut, catalog: Catalog) -> str:
    """How often the choice is right: by price among those that are sold, and by accelerator-time among all."""
    names = {one.accelerator.name for one in held.observed.deployments}
    lines = []
    for what, prices in (("USD", hourly_prices(catalog)), ("accelerator-time", dict.fromkeys(names, 1.0))):
        ranked = rank(held, prices)
        by_group = {SCENARIO_OF[group].value: [one for one in ranked if one.group is group] for group in Group}
        lines += [_line(what, name, some) for name, some in (by_group | {"all": ranked}).items()]
    header = (
        "per token", "scenario", "sets", "architectures", "best is right", "best within 10 %", "pairs right",
        "clear pairs right", "clear pairs", "mean regret",
    )  # fmt: skip
    return table(header, (line for line in lines if line))


def _line(what: str, scenario: str, ranked: list[Ranked]) -> list[str]:
    if not ranked:
        return []
    pairs = [pair for one in ranked for pair in one.pairs()]
    clear = [right for right, is_clear in pairs if is_clear]
    regrets = np.array([one.regret for one in ranked])
    shares = (np.mean(regrets <= 0), np.mean(regrets <= CLEAR), np.mean([right for right, _ in pairs]))
    return [
        what,
        scenario,
        f"{len(ranked):,}",
        f"{len({one.architecture for one in ranked})}",
        *(percent(float(share)) for share in shares),
        percent(float(np.mean(clear)) if clear else np.nan),
        f"{len(clear):,}",
        percent(float(regrets.mean())),
    ]
