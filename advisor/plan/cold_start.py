"""Weights of a replica, the time until it serves with them, and what has to run already because of that."""

import math

import numpy as np

from advisor import units
from advisor.candidates import Candidate
from advisor.catalog import Catalog
from advisor.catalog.planning import Fact, StartFacts
from advisor.catalog.precisions import LoadedWeights, QualityLoss
from advisor.catalog.values import InstanceType
from advisor.demand.values import Floats
from advisor.models.model import SERVES_GGUF
from advisor.performance import Interval
from advisor.records import dataclass, replace

METRIC_DELAY_S = 60.0
"""From a rise of the load until a scaler orders an instance: one period of a metric (CloudWatch's, a minute)."""
DISK_GB_PER_SECOND = 0.5
"""What the volume of an instance gives: 500 MB/s, as the generated Terraform orders it."""
ENGINE_RESIDUAL_S = 13.0
"""Largest distance of a measured engine start from the line fitted through them, either way."""

_LARGE_ACCELERATORS = 8
_PLAIN_LINKS = ("", "none", "pcie", "ici")
_IMAGES = {
    "nvidia": "image_vllm_cuda",
    "amd": "image_vllm_rocm",
    "aws": "image_vllm_neuron",
    "intel": "image_vllm_gaudi",
    "google": "image_vllm_tpu",
}


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds of each stage until a replica serves; the ends of the range add up as if all were slow together."""

    launch_s: Interval
    """From the order to a machine with its driver."""
    image_s: Interval
    """Download and unpacking of the container image."""
    weights_s: Interval
    """Weights of one replica into its accelerators; the replicas of an instance load side by side."""
    conversion_s: Interval
    """Published weights made into a GGUF by llama.cpp; zero for all others."""
    engine_s: Interval
    """Start of the process, compilation, profiling, graphs, warm-up."""
    total_s: Interval
    warm_pool_total_s: Interval
    """The same for an instance that was stopped with its disk: image, weights, GGUF and compile cache are there."""

    @property
    def lead_hours(self) -> float:
        """Hours by which a scheduled instance is ordered ahead: the upper edge of the total, in whole minutes."""
        return units.whole_minutes(self.total_s.high) / units.MINUTES_PER_HOUR

    @property
    def reactive_delay_s(self) -> float:
        """Seconds from a rise of the load until capacity ordered because of it serves, at the upper edge."""
        return self.total_s.high + METRIC_DELAY_S


def cold_start(candidate: Candidate, facts: StartFacts, machine_s: Fact | None = None) -> ColdStart:
    """Cold start of a candidate: ``launch + image + weights + conversion + engine``, from the catalog's tables.

    *machine_s*: from the order to a machine with its driver; None: as of others of its kind.
    """
    machine, vendor = candidate.instance_type, candidate.accelerator.vendor
    memory = candidate.memory
    weights_gib, served_gib = memory.weights_gib, memory.checkpoint_gib - candidate.converted_gib
    network = (machine.network_gbit_per_second or math.inf) / units.BITS_PER_BYTE
    launch = _range(machine_s or facts[_launch(machine, vendor)])
    size = _range(_image(candidate, facts))
    image = _seconds(size, facts["pull"], min(network, DISK_GB_PER_SECOND))
    weights = _from_hub((_downloaded_gib(candidate), served_gib), candidate.tensor_parallel, network, facts)
    conversion = Interval(*facts.conversion_s(candidate.precision, candidate.converted_gib))
    compiled, recompiled = (
        facts.compilation(vendor, memory.checkpoint_gib, is_cached=is_cached) for is_cached in (False, True)
    )
    engine = _engine(weights_gib, compiled, facts, cached=False)
    kept = _seconds(_exactly(served_gib), facts["weights_volume"], _in_gib(DISK_GB_PER_SECOND))
    made = _sum(weights, conversion)
    resumed = (_range(facts["launch_vm"]), _fastest(kept, made), _engine(weights_gib, recompiled, facts, cached=True))
    total = _sum(launch, image, made, engine)
    return ColdStart(launch, image, weights, conversion, engine, total, _sum(*resumed))


def start_of(candidate: Candidate, catalog: Catalog) -> ColdStart:
    """Cold start of a candidate on machines as generated code orders them."""
    machine = candidate.instance_type
    return cold_start(candidate, catalog.cold_start, catalog.machine_start(machine.provider, machine.name))


def image_gb(candidate: Candidate, facts: StartFacts) -> float:
    """A serving image, compressed."""
    return _image(candidate, facts).value


def download_gb(candidate: Candidate, facts: StartFacts) -> float:
    """Image and weights, which a start from a hub fetches from outside the network."""
    return image_gb(candidate, facts) + _downloaded_gib(candidate) * units.BYTES_PER_GIB / units.BYTES_PER_GB


def _downloaded_gib(candidate: Candidate) -> float:
    """Weights that a start downloads: published ones where a GGUF is made of them."""
    return candidate.converted_gib or candidate.memory.checkpoint_gib


def _image(candidate: Candidate, facts: StartFacts) -> Fact:
    """Size of the image of an engine, as large as that of vLLM where it is not known."""
    vendor = candidate.accelerator.vendor
    return facts.images.get((candidate.engine, vendor)) or facts[_IMAGES.get(vendor, _IMAGES["nvidia"])]


def _launch(machine: InstanceType, vendor: str) -> str:
    """Whole boards of eight and more accelerators on links of their own (p4d, p5, trn1.32xlarge) start like metal."""
    if vendor == "google":
        return "launch_tpu"
    large = (machine.accelerator_count or 0) >= _LARGE_ACCELERATORS and machine.interconnect not in _PLAIN_LINKS
    return "launch_gpu_large" if large else "launch_gpu"


def _from_hub(
    sizes_gib: tuple[float, float], tensor_parallel: int, network_gb_per_second: float, facts: StartFacts
) -> Interval:  # fmt: skip
    """Weights from a hub: ``stored ÷ min(hub, network, disk) + read ÷ (rate to one accelerator × accelerators)``.

    What is stored is read, in 16 bit where the engine quantises it, but for the GGUF that llama.cpp makes of it.
    """
    stored, read = map(_exactly, sizes_gib)
    slowest = _in_gib(min(network_gb_per_second, DISK_GB_PER_SECOND))
    loaded = _seconds(read, facts["weights_local"], math.inf, tensor_parallel)
    return _sum(_seconds(stored, facts["weights_hub"], slowest), loaded)


def _exactly(gib: float) -> Interval:
    return Interval(gib, gib, gib)


def _in_gib(gb: float) -> float:
    return gb * units.BYTES_PER_GB / units.BYTES_PER_GIB


def _engine(weights_gib: float, compiled: Fact | None, facts: StartFacts, *, cached: bool) -> Interval:
    """``process + base + seconds per GiB × weights`` (a line through runs of 8B to 235B), and compilation elsewhere."""
    kind = "engine_init_cached" if cached else "engine_init"
    line = facts[f"{kind}_base"].value + facts[f"{kind}_per_weights"].value * weights_gib
    init = Interval(line, max(line - ENGINE_RESIDUAL_S, 0.0), line + ENGINE_RESIDUAL_S)
    extra = [] if compiled is None else [_range(compiled)]
    return _sum(_range(facts["process_start"]), init, *extra)


def _range(fact: Fact) -> Interval:
    return Interval(fact.value, fact.low, fact.high)


def _seconds(size: Interval, rate: Fact, limit: float, streams: int = 1) -> Interval:
    """``size ÷ min(rate × streams, limit)``: the least size at the highest rate is the lower end."""
    value, low, high = (min(each * streams, limit) for each in (rate.value, rate.low, rate.high))
    return Interval(size.value / value, size.low / high, size.high / low)


def _sum(*stages: Interval) -> Interval:
    return Interval(
        sum([stage.value for stage in stages]),
        sum([stage.low for stage in stages]),
        sum([stage.high for stage in stages]),
    )


def _fastest(interval: Interval, other: Interval) -> Interval:
    return Interval(min(interval.value, other.value), min(interval.low, other.low), min(interval.high, other.high))


@dataclass(frozen=True, slots=True)
class Reactive:
    """Requests missed by a policy that orders capacity when it sees the load. NaN: too little of the load is known."""

    missed_ratio: float
    """Share of the requests beyond a capacity that only follows the load."""
    headroom_requests_per_second: float
    """Capacity that has to run beside what the load needs, for no more to be missed than the SLO allows."""


def reactive(requests_per_minute: Floats, delay_s: float, within_ratio: float) -> Reactive:
    """Part of the rate ``r(t)`` that a capacity ``c(t) = r(t - delay) + headroom`` misses, both minute by minute.

    ``Σ max(r(t) - c(t), 0) ≤ (1 - within_ratio) × Σ r(t)`` gives the least headroom: with the rises dₖ within the
    delay in falling order, ``headroom = max over k of (d₁ + … + dₖ - allowed) ÷ k``. A delay is an upper edge: of all
    whole minutes up to it the worst counts, so that a longer one never looks better because the load happens to repeat.
    """
    counts = np.asarray(requests_per_minute, dtype=np.float64)
    longest = max(math.ceil(delay_s / units.SECONDS_PER_MINUTE), 1)
    reactives = [lagged for lag in range(1, longest + 1) if (lagged := _lagging(counts, lag, within_ratio)) is not None]
    if not reactives:
        return Reactive(math.nan, math.nan)
    return Reactive(
        max(lagged.missed_ratio for lagged in reactives),
        max(lagged.headroom_requests_per_second for lagged in reactives),
    )


def _lagging(counts: Floats, lag: int, within_ratio: float) -> Reactive | None:
    """The same at one delay in minutes, without minutes of which one end is unknown; None where none had requests."""
    rises = counts[lag:] - counts[:-lag]
    is_observed = ~np.isnan(rises)
    served = counts[lag:][is_observed]
    if not served.sum() > 0:
        return None
    summed = np.cumsum(-np.sort(-rises[is_observed]))
    allowed = (1 - within_ratio) * served.sum()
    headroom = max(float(((summed - allowed) / np.arange(1, summed.size + 1)).max()), 0.0)
    missed = float(np.maximum(rises[is_observed], 0.0).sum() / served.sum())
    return Reactive(missed, headroom / units.SECONDS_PER_MINUTE)


def minimum_warm_replicas(
    requests_per_minute: Floats, delay_s: float, within_ratio: float, replica_rate: float, peak_rate: float
) -> int:
    """Replicas that a reactive policy may never fall below: ``⌈(lowest rate + headroom) ÷ rate of a replica⌉``.

    At most those of the peak, which are also the answer where too little is known of the load. *delay_s*: see
    :attr:`ColdStart.reactive_delay_s`. *within_ratio*: share of the requests that has to be within the SLO.
    """
    headroom = reactive(requests_per_minute, delay_s, within_ratio).headroom_requests_per_second
    if math.isnan(headroom):
        return math.ceil(peak_rate / replica_rate)
    lowest = float(np.nanmin(requests_per_minute)) / units.SECONDS_PER_MINUTE
    return math.ceil(min(lowest + headroom, peak_rate) / replica_rate)


PUBLISHED_RATIO = 1.0
"""Quality of published weights: what others are measured against."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a model in one precision, as one engine loads them."""

    precision: str
    engine: str
    loaded: LoadedWeights | None
    """None: no repository is known that it can load."""
    loss: QualityLoss | None
    """None: not measured, or nothing is lost."""

    @property
    def repository(self) -> str:
        """Repository on the hub; "" where the user has to name one."""
        return "" if self.loaded is None else self.loaded.repository

    @property
    def scheme(self) -> str:
        """Scheme of quantisation; "" for published weights, and where nobody knows."""
        return "" if self.loaded is None else self.loaded.scheme

    @property
    def is_published(self) -> bool:
        """Whether they are the model's own, as they stand on the hub or cast between 16 and 32 bit."""
        return self.loaded is not None and not self.loaded.scheme

    @property
    def quality_ratio(self) -> float | None:
        """Share of what published weights score that they keep, 1 at most; None where unknown."""
        if self.is_published:
            return PUBLISHED_RATIO
        return None if self.loss is None else min(self.loss.recovery_ratio, PUBLISHED_RATIO)

    @property
    def words(self) -> str:
        """Origin of the weights, and how much quality they keep, with the source of that."""
        if self.loaded is None:
            where = "quantise them yourself"
        elif self.loaded.made_while_loading:
            where = _made(self.engine, self.repository)
        else:
            where = self.repository
        told = f"{self.precision} weights: {where}"
        if self.loss is None or self.quality_ratio is None:
            return f"{told}; quality loss not known"
        is_alike = self.scheme.partition(",")[0] in ("", *self.loss.schemes)
        alike = "" if is_alike else f" as {' or '.join(self.loss.schemes)}"
        of_model = f" on {self.loss.of_model}" if self.loss.of_model else ""
        measured = f" (measured{of_model}{alike})" if alike or of_model else ""
        origin = self.loss.provenance
        return (
            f"{told}; keeps {units.kept_words(self.quality_ratio)} of its {self.loss.measure}{measured}, "
            f"{origin.source.partition(' (')[0]}, {origin.as_of}"
        )


def _made(engine: str, repository: str) -> str:
    """How an engine comes to weights of fewer bits than the published ones."""
    if engine.startswith(SERVES_GGUF):
        return f"made of {repository} by llama.cpp when a server first starts"
    return f"made by {engine} while it loads {repository}"


def weights_of(catalog: Catalog, model: str, precision: str, engine: str) -> Weights:
    """The weights that an engine loads for a model."""
    weights = Weights(precision, engine, catalog.precisions.loaded(model, precision, engine), None)
    if weights.is_published:
        return weights
    own = catalog.precisions.gguf_scheme(precision) if engine.startswith(SERVES_GGUF) else ""
    return replace(weights, loss=catalog.precisions.quality_loss(model, precision, weights.scheme or own))
