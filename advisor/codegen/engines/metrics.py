"""Where engines answer clients and tell how busy they are: a row of ``engines.csv`` each, with its source.

The names of their metrics are those that the agent reads, in the table of exporters.
"""

from collections.abc import Mapping
from pathlib import Path

from advisor.codegen.container import Engine
from advisor.records import dataclass
from advisor.samples import exporters
from advisor.tables import Record, read_records, read_rows
from advisor.units import MICROSECONDS_PER_MS, MS_PER_SECOND

_WHOLE_ANSWER = "e2e_seconds"
_QUANTILES = "e2e_quantiles_us"
_MICROSECONDS = "e2e_us"
_OF_EACH_ENGINE = ("engine", "dp_rank")
"""Labels by which vLLM and SGLang tell the engines behind one port apart."""
_US_PER_SECOND = MICROSECONDS_PER_MS * MS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Answers:
    """Counter of answers of an engine, and matchers of its labels."""

    counter: str
    requests: str
    """Matcher of those to clients; "": all of them are."""
    errors: str


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Path and names of an engine's Prometheus metrics."""

    path: str
    waiting: str
    running: str
    kv_cache_used: str
    """Share, from 0 to 1; "" where it says nothing of the load."""
    finished: str
    """A counter; "": it does not count what it finishes."""
    latency: str
    """Histogram without ``_bucket``: times to the first token, of answers in one pass to the whole one; "": none."""
    latency_per_second: float
    """Units of the histogram in a second: 1, or those of microseconds."""
    quantiles_us: str
    """Summary of the same of the last minute in microseconds, where it stands in for a histogram; "": it does not."""
    switched_on_by: str
    """Options in a file that the generated command does not give, without which there are none; "": always there."""
    answers: Answers | None
    served_methods: tuple[str, ...]
    """Values of the label ``method`` of requests for an inference, where it counts others with them; empty: it does
    not."""
    failed: str
    """Counter of requests that failed, whoever is to blame, beside :attr:`finished`; "": it does not tell them so."""
    progress: str
    """A counter that grows while requests run, whenever they end; "": none is known."""
    picker: str
    """As endpoint pickers of the Gateway API call the engine; "": they do not know it."""

    @property
    def times(self) -> str:
        """The histogram, or the summary in its place; "": the engine tells no times."""
        return self.latency or self.quantiles_us

    @property
    def load(self) -> tuple[str, ...]:
        """Names of the series that tell how busy and how quick the engine is: what alerts ask for is among them."""
        histogram = tuple(f"{self.latency}_{part}" for part in ("bucket", "count", "sum") if self.latency)
        summary = (self.quantiles_us, f"{self.quantiles_us}_count") if self.quantiles_us else ()
        return (*filter(None, (self.waiting, self.running, self.progress)), *histogram, *summary)

    @property
    def served(self) -> str:
        """Matcher of requests for an inference, on :attr:`finished` and :attr:`failed`; "": all of them are."""
        return f'method=~"{"|".join(self.served_methods)}"' if self.served_methods else ""

    def error_rates(self, matchers: str, window: str, by: str = "", kept: str = "") -> tuple[str, str] | None:
        """Queries for requests per second that end in an error, and for all; None: the engine does not count errors.

        *by*: labels by which results stay apart. *kept*: expression that follows each rate, such as ``and on (instance)
        …``.
        """
        grouped = f" by ({by})" if by else ""

        def rate(counter: str, *more: str) -> str:
            picked = ",".join(filter(None, (matchers, *more)))
            return f"sum{grouped} (rate({counter}{{{picked}}}[{window}]){kept})"

        if self.failed:
            failing = rate(self.failed, self.served)
            return failing, f"({rate(self.finished, self.served)} + {failing})"
        if self.answers is None:
            return None
        every = self.answers.requests
        return rate(self.answers.counter, every, self.answers.errors), rate(self.answers.counter, every)

    @property
    def tells_progress(self) -> bool:
        """Whether it tells that an engine hangs: it has requests and makes no progress on them."""
        return bool(self.progress)

    def stalled_query(self, matchers: str, window: str, by: str = "") -> str:
        """Query with a result for each engine that has requests and made no progress over a window, such as ``120s``.

        *by*: labels by which results stay apart, beside those of the engines of a replica.
        """
        engines = ", ".join(filter(None, (by, *_OF_EACH_ENGINE)))
        has_requests = f"sum by ({engines}) ({self.running}{{{matchers}}}) > 0"
        return f"{has_requests} and sum by ({engines}) (rate({self.progress}{{{matchers}}}[{window}])) == 0"

    def quantile_query(self, quantile: float, matchers: str, window: str, by: str = "") -> str:
        """Query for a quantile of the times in seconds over a window, such as ``300s``.

        Histograms add up. Summaries do not: each replica's quantiles of a minute are averaged, over minutes with
        requests and over replicas, of which a balancer gives each the same. *quantile*: from 0 to 1; of a summary one
        that it holds.
        """
        if self.latency:
            query = histogram_query(self.latency, quantile, matchers, window, by)
            return query if self.latency_per_second == 1 else f"{query} / {self.latency_per_second:.0f}"
        picked = ",".join(filter(None, (matchers, f'quantile="{quantile:g}"')))
        grouped = f" by ({by})" if by else ""
        with_requests = f"({self.quantiles_us}{{{picked}}} >= 0)[{window}:1m]"
        return f"avg{grouped} (avg_over_time({with_requests})) / {_US_PER_SECOND:.0f}"


def histogram_query(name: str, quantile: float, matchers: str, window: str, by: str = "") -> str:
    """Query for a quantile of a histogram; arguments as of :meth:`EngineMetrics.quantile_query`."""
    labels = f"{by}, le" if by else "le"
    picked = f"{{{matchers}}}" if matchers else ""
    return f"histogram_quantile({quantile:g}, sum by ({labels}) (rate({name}_bucket{picked}[{window}])))"


def _metrics(row: Record) -> EngineMetrics:
    names = _page_names(row)
    is_token_by_token = row.text("latency") != _WHOLE_ANSWER
    counter = row.optional_text("answers")
    answers = None
    if counter:  # probes and scrapes are not requests
        every, failed = f'{row.text("answers_path")}=~"/v1/.+"', f'{row.text("answers_status")}=~"5.."'
        answers = Answers(counter, every, failed)
    return EngineMetrics(
        path=row.text("metrics_path"),
        waiting=names["requests_waiting"],
        running=names.get("requests_running", ""),
        kv_cache_used=names["kv_cache_used_ratio"] if is_token_by_token else "",
        finished=names.get("requests_finished", ""),
        latency=names.get(_MICROSECONDS) or names.get(row.text("latency"), ""),
        latency_per_second=_US_PER_SECOND if _MICROSECONDS in names else 1.0,
        quantiles_us=names.get(_QUANTILES, ""),
        switched_on_by=row.optional_text("switched_on_by"),
        answers=answers,
        served_methods=tuple(filter(None, row.optional_text("served_methods").split(";"))),
        failed=row.optional_text("failed"),
        progress=row.optional_text("progress"),
        picker=row.optional_text("picker"),
    )


def _page_names(row: Record) -> Mapping[str, str]:
    return {
        **_names(row.optional_text("exporter")),
        **dict(pair.split("=") for pair in row.optional_text("own_names").split(";") if pair),
    }


def _names(exporter: str) -> Mapping[str, str]:
    """Metric of the product → usual name of it on the exporter's page."""
    return {
        row["metric"]: row["name"]
        for row in read_rows(Path(exporters.__file__).with_name("names.csv"))
        if row["exporter"] == exporter and row["order"] == "1"
    }


_ROWS = {row.choice("engine", Engine): row for row in read_records(Path(__file__).with_name("engines.csv"))}
METRICS: Mapping[Engine, EngineMetrics] = {
    engine: _metrics(row) for engine, row in _ROWS.items() if row.optional_text("metrics_path")
}
"""Of the engines that publish any; an image of the user's own is not among them."""
PAGE_NAMES: Mapping[Engine, Mapping[str, str]] = {engine: _page_names(_ROWS[engine]) for engine in METRICS}
"""Metric of the product → name on the engine's page."""
CLIENT_PATHS: Mapping[Engine, tuple[str, ...]] = {
    engine: tuple(row.text("client_paths").split(";")) for engine, row in _ROWS.items()
}
"""First parts of the paths that clients of an engine call: none that administers it or tells of its load."""
GENERATION_PATHS: Mapping[Engine, str] = {
    engine: path for engine, row in _ROWS.items() if (path := row.optional_text("generation_path"))
}
"""Path that an engine answers once it has made a token, of those whose path of health answers while they hang.

Not of SGLang, whose path of health makes a token, nor of vLLM, which has none and tells its progress.
"""
GENERATION_SECONDS = 120
"""How long such a token is waited for: that of a long queue comes late, and its engine works."""
STREAMING = tuple(engine for engine, row in _ROWS.items() if row.text("streams") == "yes")
"""Engines that stream weights from object storage."""


def published(engine: Engine) -> EngineMetrics | None:
    """The metrics that the generated command of *engine* publishes; None where it publishes none."""
    metrics = METRICS.get(engine)
    return None if metrics is None or metrics.switched_on_by else metrics


def without_times(words: str, engine: Engine) -> str:
    """Why the alarm on a latency is missing for an engine."""
    return f"no alarm on {words} of {engine.value}, which tells no times of its requests"
