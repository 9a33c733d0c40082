"""Measurements of token models, shipped or given, as arrays: a row is a replica under load, with measured seconds."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.catalog import Catalog
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.performance import Deployment, Scenario
from advisor.performance.calibration import TARGETS, Group
from advisor.performance.constants import ConstantTable, Quantity
from advisor.performance.deployments import Packed, classes_of, pack
from advisor.performance.one_pass import one_pass
from advisor.performance.physics import Floats
from advisor.performance.regimes import Load, Timing, cell_of
from advisor.performance.setups import Abstention, Resolved, Setup, resolve, setup_from
from advisor.records import dataclass, replace
from advisor.tables import Record, read_records
from advisor.units import MS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Measurement:
    """One set-up measured under one load, throughputs of all accelerators together; None: not measured or stated."""

    where: str
    """File and line, or file and entry, for messages."""
    setup: Setup
    scenario: Scenario
    concurrency: float | None = None
    """Users over all replicas, or the batch."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    """Per token after the first."""
    output_tokens_per_second: float | None = None
    samples_per_second: float | None = None
    source: str = ""
    """Who published it; "" for the user's own."""
    prefix_cache_hit_ratio: float | None = None
    """Share of the prompt's tokens that a cache held; None where nobody stated any, which is taken as none."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not used, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a file held: nothing is dropped without a reason."""

    measurements: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]


FILES = ("measurements.csv", "measurements_cc_by_sa.csv")
"""The second holds what may only be passed on under CC-BY-SA-4.0: delete it, rebuild, and nothing of it is left."""
DOCUMENTS = "measurement_documents.csv"
_NUMBERS = (
    "concurrency", "input_tokens", "output_tokens", "ttft_ms", "tpot_ms", "output_tokens_per_second",
    "samples_per_second",
)  # fmt: skip
Strings = npt.NDArray[np.str_]
Indices = npt.NDArray[np.intp]
GROUP_OF = {
    Scenario.FIXED_CONCURRENCY: Group.LOOP,
    Scenario.FIXED_BATCH: Group.BATCH,
    Scenario.SINGLE_STREAM: Group.STREAM,
    Scenario.SATURATED: Group.SATURATED,
}
SCENARIO_OF = {group: scenario for scenario, group in GROUP_OF.items()}
GROUPS = tuple(Group)
QUANTITIES = (Quantity.TTFT, Quantity.TPOT, Quantity.THROUGHPUT)


def load_measurements(directory: Path | None = None) -> Reading:
    """Every shipped measurement; rows without a set-up's speed are left out. Raises InputError for a bad table."""
    root = directory or data_dir("instance_catalog")
    sources = {row.text("document"): row.text("source") for row in read_records(root / DOCUMENTS)}
    measurements: list[Measurement] = []
    left_out: list[LeftOut] = []
    for path in (root / name for name in FILES):
        for record in read_records(path) if path.is_file() else ():
            if reason := _unusable(record):
                left_out.append(LeftOut(record.text("id"), reason))
            else:
                measurements.append(_measurement(record, sources))
    return Reading(tuple(measurements), tuple(left_out))


def _unusable(record: Record) -> str:
    scenario, flag = record.text("scenario"), record.optional_text("flag")
    if scenario not in set(Scenario):
        return f"{scenario}: the load depends on an arrival rate that is not published"
    return flag


def _measurement(record: Record, sources: dict[str, str]) -> Measurement:
    numbers: dict[str, Any] = {name: record.optional_number(name) for name in _NUMBERS}
    scenario, source = record.choice("scenario", Scenario), sources[record.text("document")]
    return Measurement(record.text("id"), setup_from(record.cells), scenario, source=source, **numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """One row per measurement; NaN for what was not measured. Throughputs are of one replica."""

    deployments: tuple[Deployment, ...]
    """Distinct ones."""
    place: Indices
    """Deployment of each row."""
    group: Indices
    """Position in :data:`GROUPS`."""
    load: Load
    ttft_s: Floats
    tpot_s: Floats
    output_tokens_per_second: Floats
    sources: Strings
    where: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.place.size)

    def take(self, index: Indices) -> "Observations":
        """The rows at the given positions."""
        names = ("place", "group", "ttft_s", "tpot_s", "output_tokens_per_second", "sources")
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in names}
        where = tuple(self.where[at] for at in index.tolist())
        return replace(self, load=self.load.take(index), where=where, **columns)

    def without(self, dropped: Iterable[int]) -> "Observations":
        """All rows but some."""
        return self.take(np.setdiff1d(np.arange(self.size), np.array(list(dropped), dtype=np.intp)))

    def packed(self, table: ConstantTable) -> Packed:
        """The replica of each row."""
        return pack(self.deployments, table).take(self.place)

    def of_group(self, group: Group) -> Indices:
        """Rows of one group."""
        return np.flatnonzero(self.group == GROUPS.index(group))

    def accelerators(self) -> Strings:
        """Accelerator of each row."""
        return self._named(lambda deployment: deployment.accelerator.name)

    def engines(self) -> Strings:
        """Engine class of each row."""
        return self._named(lambda deployment: classes_of(deployment)[0])

    def cells(self) -> Strings:
        """Architecture and accelerator of each row: the unit that accuracy is judged by."""
        return self._named(cell_of)

    def crowds(self) -> Strings:
        """Cell and engine of each row: what is measured much at once."""
        return np.char.add(self.cells(), self.engines())

    def measured_seconds(self, group: Group, target: str) -> Floats:
        """Measured seconds of a target; a whole batch and a saturated token follow from the throughput."""
        if target == "ttft":
            return self.ttft_s
        if target == "tpot":
            return self.tpot_s
        per_token = 1 / self.output_tokens_per_second
        return per_token if group is not Group.STREAM else np.where(np.isnan(per_token), self.tpot_s, per_token)

    def measured(self, quantity: Quantity) -> Floats:
        """Seconds, or tokens per second; a closed loop's throughput follows from its two latencies."""
        if quantity is not Quantity.THROUGHPUT:
            return self.ttft_s if quantity is Quantity.TTFT else self.tpot_s
        out = np.maximum(self.load.output_tokens, 1.0)
        derived = self.load.concurrency * out / (self.ttft_s + (out - 1) * self.tpot_s)
        loop = self.group == GROUPS.index(Group.LOOP)
        return np.where(loop & np.isnan(self.output_tokens_per_second), derived, self.output_tokens_per_second)

    def _named(self, name: Callable[[Deployment], str]) -> Strings:
        return np.array([name(deployment) for deployment in self.deployments])[self.place]


def seconds_of(target: str, timing: Timing) -> Floats:
    """Predicted seconds of a target, as :meth:`Observations.measured_seconds` gives them measured."""
    if target == "ttft":
        return timing.ttft_s
    return timing.tpot_s if target == "tpot" else 1 / timing.output_tokens_per_second


def targets() -> list[tuple[Group, str]]:
    """Every target that is fitted."""
    return [(group, target) for group in GROUPS for target in TARGETS[group]]


def observe(measurements: Sequence[Measurement], catalog: Catalog) -> tuple[Observations, list[LeftOut]]:
    """Measurements of token models that a prediction could be made for, and why the others are left out."""
    setups: dict[Setup, tuple[Resolved | Abstention, int]] = {}
    deployments: list[Deployment] = []
    rows: list[tuple[float, ...]] = []
    named: list[tuple[str, str]] = []
    left_out: list[LeftOut] = []
    for measurement in measurements:
        if measurement.setup not in setups:
            resolved = resolve_or_abstain(measurement.setup, catalog)
            if isinstance(resolved, Resolved) and not one_pass(resolved.model):
                deployments.append(resolved.deployment)
            setups[measurement.setup] = resolved, len(deployments) - 1
        resolved, place = setups[measurement.setup]
        if isinstance(resolved, Abstention):
            left_out.append(LeftOut(measurement.where, resolved.reason))
        elif one_pass(resolved.model):
            continue
        elif reason := _unanswerable(measurement, resolved):
            left_out.append(LeftOut(measurement.where, reason))
        else:
            group = GROUPS.index(GROUP_OF[measurement.scenario])
            rows.append((place, group, *_numbers(measurement, resolved.replicas)))
            named.append((measurement.source, measurement.where))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 9).T
    observed = Observations(
        deployments=tuple(deployments),
        place=columns[0].astype(np.intp),
        group=columns[1].astype(np.intp),
        load=Load(*columns[2:6]),
        ttft_s=columns[6],
        tpot_s=columns[7],
        output_tokens_per_second=columns[8],
        sources=np.array([source for source, _ in named]),
        where=tuple(where for _, where in named),
    )
    return observed, left_out


def resolve_or_abstain(setup: Setup, catalog: Catalog) -> Resolved | Abstention:
    """A set-up as the catalog resolves it, or why it cannot be."""
    try:
        return resolve(setup, catalog)
    except InputError as error:
        return Abstention(error.message)


def _unanswerable(measurement: Measurement, resolved: Resolved) -> str:
    """Why no prediction could be compared with a measurement, or ""."""
    prompt, answer = measurement.input_tokens, measurement.output_tokens
    if answer is None or (prompt is None and measurement.scenario is not Scenario.SINGLE_STREAM):
        return "prompt or answer length is not stated"
    if measurement.concurrency is None and measurement.scenario in (Scenario.FIXED_CONCURRENCY, Scenario.FIXED_BATCH):
        return "the number of users is not stated"
    limit, held = resolved.deployment.shape.max_context_tokens, (prompt or 1) + answer - 1
    if limit and held > limit:
        return f"{held:,.0f} tokens are held before the last one is generated, the model takes {limit:,}"
    return ""


def _numbers(measurement: Measurement, replicas: int) -> tuple[float, ...]:
    """Load and results of one replica."""
    users, working = measurement.concurrency or 1.0, float(replicas)
    if measurement.scenario is Scenario.SINGLE_STREAM:
        users, working = 1.0, 1.0
    elif measurement.scenario is not Scenario.SATURATED:
        working = min(working, users)
    share = 1.0 if measurement.scenario is Scenario.SATURATED else users / working
    return (
        share,
        measurement.input_tokens or 1.0,
        measurement.output_tokens or np.nan,
        measurement.prefix_cache_hit_ratio or 0.0,
        (measurement.ttft_ms or np.nan) / MS_PER_SECOND,
        (measurement.tpot_ms or np.nan) / MS_PER_SECOND,
        (measurement.output_tokens_per_second or np.nan) / working,
    )
