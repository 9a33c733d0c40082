"""Questions to directories of samples, answered from the counts of their days and the rows of their engines.

An accelerator is its UUID: on its host always, and across hosts that do not have all days of the window (a renamed
host, a machine that was replaced).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.samples.metrics import ACCELERATOR_METRICS, ENGINE_METRICS, METRICS, ROW_SECONDS, Kind
from advisor.samples.query.counts import Counted
from advisor.samples.query.engines import GAUGE_COLUMNS, EngineRows, survey
from advisor.samples.query.values import Accelerator, QueryBackend, Summary, Window
from advisor.samples.store.files import SCHEMES, is_store
from advisor.samples.store.reading import HostReader, Store

_Answer = tuple[Accelerator, list[Summary]]
_GAUGES = tuple(metric.name for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE)
_ENGINE_GAUGES = tuple(metric.name for metric in ENGINE_METRICS if metric.kind is Kind.GAUGE)


class EmbeddedBackend:
    """Answers from the files of agents; implements :class:`advisor.samples.query.values.QueryBackend`."""

    def __init__(self, places: Sequence[str]) -> None:
        """Look at the names of the files; none is opened yet. *places*: directories or addresses in object storage.

        Raises:
            InputError: there is no such directory.
        """
        self._store = Store(places)
        self._asked: tuple[Window, list[_Answer]] | None = None

    def window(self) -> Window | None:
        """Window from the first to the last row; None where there is none."""
        return self._store.window()

    def accelerators(self, window: Window) -> Sequence[Accelerator]:
        """Accelerators with rows in a window, in order of host, index and MIG instance."""
        return [accelerator for accelerator, _ in self._answers(window)]

    def metrics(self, window: Window) -> Sequence[str]:
        """Names of gauges that have values in a window."""
        names = {summary.metric for _, summaries in self._answers(window) for summary in summaries}
        return [name for name in METRICS if name in names]

    def summaries(self, metrics: Sequence[str], window: Window) -> Iterator[Summary]:
        """Some metrics of all accelerators, host by host.

        Raises:
            InputError: there is no metric of that name.
        """
        for name in metrics:
            if name not in METRICS:
                raise InputError(f"there is no metric {name}", hint=f"one of {', '.join(METRICS)}")
        for _, summaries in self._answers(window):
            yield from (summary for summary in summaries if summary.metric in metrics)

    def notes(self) -> Sequence[str]:
        """Files that were left out so far, and why."""
        return self._store.notes()

    def _answers(self, window: Window) -> list[_Answer]:
        """Everything that there is in a window, read once: a few numbers of each accelerator and metric."""
        if self._asked is None or self._asked[0] != window:
            answers = [answer for group in self._store.answers(window, _of_hosts) for answer in group]
            self._asked = (window, sorted(answers, key=lambda answer: answer[0].place))
        return self._asked[1]


def _of_hosts(hosts: HostReader) -> list[_Answer]:
    surveyed = survey(hosts, GAUGE_COLUMNS)
    answers = [_of_engine(engine, hosts.window) for engine in surveyed.engines if not engine.is_gap.all()]
    return [*(_of_accelerator(counted, hosts.window) for counted in surveyed.accelerators if counted.rows), *answers]


def _of_accelerator(counted: Counted, window: Window) -> _Answer:
    who = counted.who
    gauges = [(name, counted.gauges[name]) for name in _GAUGES if name in counted.gauges]
    return who, [
        Summary(who, name, gauge.p50, gauge.p95, gauge.max, gauge.mean, _coverage(gauge.rows, window), gauge.rows)
        for name, gauge in gauges
    ]


def _of_engine(engine_rows: EngineRows, window: Window) -> _Answer:
    key = engine_rows.key
    who = Accelerator(key.host, -1 if key.rank is None else key.rank, None, key.endpoint, key.model)
    summaries = []
    for name in _ENGINE_GAUGES:
        means, greatest = engine_rows.columns[name], engine_rows.columns[f"{name}_max"]
        observed = means[~np.isnan(means)]
        if observed.size:
            p50, p95 = (float(value) for value in np.quantile(observed, (0.5, 0.95)))
            most = float(np.nanmax(np.fmax(means, greatest)))
            coverage_ratio = _coverage(observed.size, window)
            summaries.append(Summary(who, name, p50, p95, most, float(observed.mean()), coverage_ratio, observed.size))
    return who, summaries


def _coverage(rows: int, window: Window) -> float:
    return min(rows * ROW_SECONDS / window.seconds, 1.0)


_HINT = (
    "give directories that `advisor agent run --output` writes to, or addresses of copies of them "
    f"({'…, '.join(SCHEMES)}…); or else one address of a Prometheus-compatible server (https://…), or cloudwatch://REGION"
)


def open_backend(places: Sequence[str], *, metrics: Path | None = None) -> QueryBackend:
    """The backend for directories or an address; what carries large libraries loads only when it is asked for.

    *metrics*: file that maps further names of metrics, for Prometheus-compatible servers.

    Raises:
        InputError: nothing can answer for it, or what can is not installed.
    """
    if all(map(is_store, places)):
        return EmbeddedBackend(places)
    if len(places) > 1:
        raise InputError("only directories can be read together", where=", ".join(places), hint=_HINT)
    place = places[0]
    if place.startswith(("http://", "https://")):
        from advisor.samples.query.prometheus import PrometheusBackend  # noqa: PLC0415 - one backend of several

        return PrometheusBackend.at(place, metrics=metrics)
    if place.startswith("cloudwatch://"):
        from advisor.samples.query.cloudwatch import CloudWatchBackend  # noqa: PLC0415 - one backend of several

        return CloudWatchBackend.at(place)
    raise InputError("no reader knows this kind of address", where=place, hint=_HINT)
