"""Services that scale to zero and are paid for by the second: how long they run, and who meets a cold start."""

import math
from collections.abc import Callable, Collection, Iterator

import numpy as np

from advisor.candidates import Rejection, Shortfall, reject
from advisor.catalog import Catalog
from advisor.catalog.planning import Serverless
from advisor.catalog.values import InstanceType
from advisor.demand.values import Floats
from advisor.plan.cold_start import ColdStart
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND, SECONDS_PER_MINUTE
from advisor.workload.values import Slo

TARGET_RATIO = 0.95
"""Latency targets hold at the 95th percentile: this share of the requests may meet no cold start."""
LONGEST_IDLE_S = 900.0
"""How long a container is taken to be kept where the service does not say: no longer than 15 minutes (Cloud Run)."""
_OFFSETS_PER_MINUTE = 12
"""Instants of a minute at which it is asked whether the service runs."""


@dataclass(frozen=True, slots=True)
class ServerlessOffer:
    """A service in a region: a column of the optimiser at ``price × share of the time in which it runs``."""

    service: Serverless
    region: str
    """"" where the service chooses."""
    instance_type: InstanceType
    """One container as a machine: candidates and their speed follow as for an instance with that accelerator."""
    container_start_s: float
    """Until software sees the accelerator; image, weights and engine come after it."""
    idle_s: float
    """How long a container without requests is kept, and paid for."""

    def first_request_s(self, replica: ColdStart) -> float:
        """Seconds that a request waits without a container: the start, weights and engine; the image is streamed."""
        loaded_s = replica.weights_s.value + replica.conversion_s.value
        return self.container_start_s + loaded_s + replica.engine_s.value


@dataclass(frozen=True, slots=True, eq=False)
class Duty:
    """Running time of a service that scales to zero."""

    billed_ratio: Floats
    """Share of each minute (or of each rate asked for) in which a container runs and is paid for; NaN: unknown."""
    cold_request_ratio: float
    """Share of all requests that wait for a cold start; NaN: unknown."""


def serverless_offers(
    catalog: Catalog,
    providers: Collection[str],
    regions: Collection[str] = (),
    allowed: Callable[[InstanceType], bool] = lambda _: True,
) -> Iterator[ServerlessOffer | Rejection]:
    """Services of these providers with an allowed machine, in each of their regions that is asked for (all without)."""
    for service in catalog.serverless:
        wanted = [region for region in service.regions or ("",) if not regions or region in regions]
        machine = _as_instance_type(service)
        if service.provider not in providers or not wanted or not allowed(machine):
            continue
        if service.usd_per_hour is None:
            reason = f"{service.service} has it, and its price is not known"
            shortfall = Shortfall("price_unknown", "USD/h", "a known price", None, reason)
            yield from (reject(machine, shortfall, region=region) for region in wanted)
            continue
        if service.cold_start_seconds is None:
            reason = "how long its containers take to start is not known"
            yield reject(machine, Shortfall("cold_start", "s", "a known start", None, reason))
            continue
        idle_s = LONGEST_IDLE_S if service.idle_seconds is None else service.idle_seconds
        for region in wanted:
            yield ServerlessOffer(service, region, machine, service.cold_start_seconds, idle_s)


def _as_instance_type(service: Serverless) -> InstanceType:
    """A container with one whole accelerator and nothing else on it."""
    return InstanceType(
        provider=service.provider,
        name=f"{service.service} {service.accelerator}",
        accelerator=service.accelerator,
        accelerator_count=1,
        accelerator_memory_gib=None,
        vcpus=None if service.vcpus is None else int(service.vcpus),
        memory_gib=service.memory_gib,
        network_gbit_per_second=None,
        local_nvme_gb=None,
        interconnect="none",
        cpu_architecture="x86_64",
        provenance=service.provenance,
    )


def duty_of_rate(requests_per_second: Floats, awake_s: float, cold_start_s: float) -> Duty:
    """Duty under Poisson arrivals at each of some rates λ, for hours that were forecast and not observed.

    A container runs when a request came within the last ``W = awake_s`` seconds: ``1 - exp(-λW)`` of the time, and
    while it starts. A request that finds none, ``exp(-λW)`` of them, waits for the start, and so do the
    ``λ × cold start`` that follow it meanwhile. Bursts leave longer pauses at the same rate: less is billed then.
    """
    rate = np.asarray(requests_per_second, dtype=np.float64)
    idle = np.exp(-rate * awake_s)
    billed = np.minimum(1 - idle + rate * idle * cold_start_s, 1.0)
    waiting = rate * np.minimum(idle * (1 + rate * cold_start_s), 1.0)
    total = float(rate.sum())
    return Duty(billed, float(waiting.sum()) / total if total else math.nan)


def duty_of_minutes(requests_per_minute: Floats, awake_s: float, cold_start_s: float) -> Duty:
    """Duty under the counts of consecutive minutes as they were observed (NaN where nobody knows).

    A container runs at an instant when a request came within ``awake_s`` seconds before it: service time and idle
    timeout together. With the requests of a minute spread at random over it, none came with probability
    ``Π (1 - oₖ)^nₖ``, oₖ being the share of minute *k* that lies within that window and nₖ its requests. A request
    that finds no container waits for a cold start, and so do those that follow it meanwhile; the container is paid
    for while it starts. Minutes before the first one are unknown.
    """
    counts = np.asarray(requests_per_minute, dtype=np.float64)
    start_minutes = cold_start_s / SECONDS_PER_MINUTE
    idle, cold, waiting = _pauses(counts, awake_s / SECONDS_PER_MINUTE, start_minutes)
    billed = np.minimum(1 - idle + counts * cold * start_minutes, 1.0)
    waiting = np.minimum(counts * waiting, counts)
    is_observed = ~np.isnan(waiting)
    total = float(counts[is_observed].sum())
    return Duty(billed, float(waiting[is_observed].sum()) / total if total else math.nan)


def _pauses(counts: Floats, awake_minutes: float, start_minutes: float) -> tuple[Floats, Floats, Floats]:
    """Probability in each minute that no container runs, at a random instant and as a request finds it.

    The third is the second times one more than the requests that are expected to follow during the start.
    """
    idle, cold, waiting = (np.zeros(counts.size) for _ in range(3))
    others = np.maximum(counts - 1, 0.0)
    for offset in (np.arange(_OFFSETS_PER_MINUTE) + 0.5) / _OFFSETS_PER_MINUTE:
        own = min(float(offset), awake_minutes)
        whole, part = divmod(awake_minutes - own, 1.0)
        empty = _all_empty(counts, int(whole)) * (1 - part) ** _minutes_ago(counts, int(whole) + 1, part)
        found_none = (1 - own) ** others * empty
        in_minute = others / (1 - own) * min(start_minutes, 1 - offset)
        later = _arrivals_after(counts, max(start_minutes - (1 - float(offset)), 0.0))
        idle += (1 - own) ** counts * empty
        cold += found_none
        waiting += found_none * (1 + in_minute + later)
    return idle / _OFFSETS_PER_MINUTE, cold / _OFFSETS_PER_MINUTE, waiting / _OFFSETS_PER_MINUTE


def _arrivals_after(counts: Floats, minutes: float) -> Floats:
    """Requests in so many minutes (not necessarily whole) after each minute; none are counted where it is unknown."""
    cumulated = np.concatenate([[0.0], np.cumsum(np.nan_to_num(counts))])
    ends = np.arange(1, counts.size + 1)
    return np.asarray(np.interp(ends + minutes, np.arange(counts.size + 1), cumulated) - cumulated[1:])


def _all_empty(counts: Floats, minutes: int) -> Floats:
    """1 where the *minutes* before a minute had no request, 0 where they had one, NaN where it is not known."""
    if minutes == 0:
        return np.ones(counts.size)
    padded = np.concatenate([np.full(minutes, np.nan), counts[:-1]])
    before = np.lib.stride_tricks.sliding_window_view(padded, minutes).sum(axis=1)
    return np.where(np.isnan(before), np.nan, before == 0)


def _minutes_ago(counts: Floats, minutes: int, weight: float) -> Floats:
    """The counts of so many minutes before; 0 where they have no weight, NaN before the first one."""
    if weight == 0:
        return np.zeros(counts.size)
    return np.concatenate([np.full(minutes, np.nan), counts])[: counts.size]


def cold_start_shortfall(duty: Duty, cold_start_s: float, slo: Slo) -> Shortfall | None:
    """Why cold starts break the SLO; None where they are rare enough or faster than the targets.

    Up to 5 % of the requests may wait for one: the targets hold at the 95th percentile.
    """
    targets = [target for target in (slo.ttft_p95_ms, slo.e2e_p95_ms) if target is not None]
    if not targets or cold_start_s * MS_PER_SECOND <= min(targets):
        return None
    allowed = 1 - TARGET_RATIO
    if math.isnan(duty.cold_request_ratio):
        reason = "how many requests would wait for a cold start is not known"
        return Shortfall("cold_start", "share of requests", allowed, None, reason)
    if duty.cold_request_ratio <= allowed:
        return None
    reason = (
        f"{duty.cold_request_ratio:.1%} of the requests would wait {cold_start_s:.0f} s for a cold start, "
        f"{allowed:.0%} may"
    )
    return Shortfall("cold_start", "share of requests", allowed, duty.cold_request_ratio, reason)
