"""Utilisation of accelerated hosts, host by host, from samples of the agent or a Prometheus-compatible server."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from statistics import fmean

from advisor.audit.values import Bill, Utilisation, epoch_seconds
from advisor.records import dataclass
from advisor.samples.metrics import METRICS, Kind
from advisor.samples.need.fleet import METRICS_NEEDED, AcceleratorNeed, assess_summaries
from advisor.samples.need.limits import Code
from advisor.samples.query.embedded import open_backend
from advisor.samples.query.values import Accelerator, QueryBackend, Summary, Window

_US = 1_000_000
_ACTIVITY = ("busy_ratio", "sm_active_ratio")
"""Metrics that show use: the first of them that an accelerator has."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Measured use of hosts."""

    hosts: Sequence[Utilisation]
    notes: Sequence[str]
    window: Window | None = None
    """Common time of samples and bill; None: there is none."""
    backend: QueryBackend | None = None

    def over(self, window: Window) -> Mapping[str, Utilisation]:
        """Use of each host within a part of the window, by name."""
        if self.backend is None:
            return {}
        hosts = self.hosts if window == self.window else _hosts(self.backend, window)
        return {use.host: use for use in hosts}


def read_telemetry(places: Sequence[str], bill: Bill, *, extrapolates: bool) -> Telemetry:
    """Use of each host in the part of the bill's period that was sampled.

    Args:
        places: directories of samples, or the address of a server.
        bill: its period bounds what is asked.
        extrapolates: samples from outside the period count too; the period is then taken to have been alike.

    Raises:
        InputError: nothing can be read there.
    """
    backend = open_backend(places)
    whole = backend.window()
    if whole is None:
        return Telemetry((), (f"{', '.join(places)}: no samples there",))
    window: Window | None = whole
    if not extrapolates:
        start, end = bill.start, bill.end
        window = None
        if start is not None and end is not None:
            window = whole.common(Window(round(epoch_seconds(start) * _US), round(epoch_seconds(end) * _US)))
    if window is None:
        note = (
            f"the samples are of {_days(whole.start_us)} to {_days(whole.end_us)}, the bill is of other days: no "
            "compute is attributed; --extrapolate takes the bill's time to have been like the sampled"
        )
        return Telemetry((), (note,))
    hosts = tuple(_hosts(backend, window, extrapolates=extrapolates))
    notes = (*backend.notes(), *(() if hosts else ("no accelerator says how busy it was",)))
    return Telemetry(hosts, notes, window, backend)


def _hosts(backend: QueryBackend, window: Window, *, extrapolates: bool = False) -> Iterator[Utilisation]:
    gauges = [name for name in backend.metrics(window) if name in METRICS_NEEDED and METRICS[name].kind is Kind.GAUGE]
    summaries = list(backend.summaries(gauges, window))
    telemetry = _Answers(
        {(summary.accelerator, summary.metric): summary for summary in summaries},
        {need.who: need for need in assess_summaries(summaries)},
        window,
        extrapolates,
    )
    for host, accelerators in groupby(sorted(telemetry.needs, key=lambda who: who.place), key=lambda who: who.host):
        if (use := _of_host(host, list(accelerators), telemetry)) is not None:
            yield use


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers of a backend over a window."""

    summaries: Mapping[tuple[Accelerator, str], Summary]
    needs: Mapping[Accelerator, AcceleratorNeed]
    window: Window
    extrapolates: bool
    """Whether what was not observed is taken to have been like the rest."""

    def verdict(self, who: Accelerator) -> str:
        """Verdict on an accelerator by what the audit knows, or takes to be so."""
        verdict = self.needs[who].verdict
        return (verdict.likely if self.extrapolates and verdict.code is Code.UNKNOWN else verdict.code).value


def _of_host(host: str, accelerators: Sequence[Accelerator], telemetry: _Answers) -> Utilisation | None:
    """Mean over the accelerators of a host; of those that MIG divides, over the instances."""
    divided = {who.index for who in accelerators if who.mig_index is not None}
    whole = [who for who in accelerators if who.mig_index is not None or who.index not in divided]
    seen = ([telemetry.summaries.get((who, metric)) for metric in _ACTIVITY] for who in whole)
    activity = [summary for each in seen if (summary := next(filter(None, each), None)) is not None]
    if not activity:
        return None
    uses = [need.memory.kv.max for who in whole if (need := telemetry.needs[who]).memory is not None and need.memory.kv]
    return Utilisation(
        host=host,
        mean=fmean(min(summary.mean, 1.0) for summary in activity),
        p95=fmean(min(summary.p95, 1.0) for summary in activity),
        observed_ratio=sum(min(summary.coverage_ratio, 1.0) for summary in activity) / len(whole),
        seconds=(telemetry.window.start_us / _US, telemetry.window.end_us / _US),
        accelerators=len({who.index for who in accelerators}),
        verdicts=tuple(map(telemetry.verdict, whole)),
        kv_max=max(uses, default=None),
    )


def _days(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / _US, tz=UTC).strftime("%Y-%m-%d")
