"""A fleet of serving engines with a known truth: what its metrics pages say, as agents record and servers scrape them.

Requests arrive at random or in bursts, with log-normal lengths; some are aborted; engines restart; every page is the
text that vLLM shows, so that the agent's own reader and a real server read the same.
"""

import json
from dataclasses import dataclass, field

import numpy as np

from advisor.samples.agent.latest import Latest
from advisor.samples.exporters import shipped
from advisor.samples.metrics import METRICS, Kind, Row, Scope, Stats, Target
from advisor.samples.places import day_folder, day_of
from advisor.samples.sources.engines import PageReader, read_labels
from advisor.samples.store.row_tables import HOST_KEY, INTERVAL_KEY, SCHEMA_KEY, SCHEMA_V2, encode_parquet, tables_of
from samples.query.fleets import END_US

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen3-32B"
START = END_US // 1_000_000 - 6 * 3600
"""Since 1970; a whole minute."""
BUCKETS = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000], dtype=float)
"""vLLM's, 1, 2, 5 × 10ⁿ."""
HITS = 0.29
ROW = 15


@dataclass
class Load:
    """What a service is sent."""

    model: str = LLAMA
    requests_per_second: float = 2.0
    prompt_median: float = 500.0
    answer_median: float = 150.0
    sigma: float = 0.9
    burstiness: float = 0.0
    """Coefficient of variation of the rate over stretches of 30 s."""
    aborted: float = 0.03
    seconds_per_token: float = 0.0
    """How long each token of an answer takes."""


@dataclass
class Process:
    """One engine: requests in order of the time they end at, and when it restarts; those in flight then never end."""

    model: str
    arrivals: np.ndarray
    """In order; of those that never end too."""
    ends: np.ndarray
    prompts: np.ndarray
    answers: np.ndarray
    is_aborted: np.ndarray
    restarts: tuple = ()
    before: int = 0
    """Requests that it had served before everything began; their lengths are those of the first ones."""
    sums: dict = field(default_factory=dict)

    def __post_init__(self):
        count = self.ends.size
        columns = {
            "requests": np.ones(count), "aborted": self.is_aborted.astype(float), "prompt": self.prompts,
            "answer": self.answers, "hits": np.round(self.prompts * HITS),
        }  # fmt: skip
        for number, bound in enumerate(BUCKETS):
            columns[f"prompt<{number}"] = (self.prompts <= bound).astype(float)
            columns[f"answer<{number}"] = (self.answers <= bound).astype(float)
        self.sums = {name: np.concatenate(([0.0], np.cumsum(values))) for name, values in columns.items()}

    def page(self, second, engine="0"):
        """The metrics page at a time."""
        until = np.searchsorted(self.ends, second, side="right")
        since = max((at for at in self.restarts if at <= second), default=None)
        first = 0 if since is None else np.searchsorted(self.ends, since, side="right")
        head = {name: 0.0 if since is not None else values[self.before] for name, values in self.sums.items()}
        at = {name: values[until] - values[first] + head[name] for name, values in self.sums.items()}
        who = f'engine="{engine}",model_name="{self.model}"'
        came = np.searchsorted(self.arrivals, [since or 0.0, second], side="right")
        running = np.diff(came)[0] - (until - first)
        lines = [
            f'vllm:request_success_total{{finished_reason="stop",{who}}} {at["requests"] - at["aborted"]}',
            f'vllm:request_success_total{{finished_reason="abort",{who}}} {at["aborted"]}',
            f'vllm:prompt_tokens_total{{{who}}} {at["prompt"]}',
            f'vllm:generation_tokens_total{{{who}}} {at["answer"]}',
            f'vllm:prefix_cache_queries_total{{{who}}} {at["prompt"]}',
            f'vllm:prefix_cache_hits_total{{{who}}} {at["hits"]}',
            f'vllm:num_requests_running{{{who}}} {running}',
            f'vllm:num_requests_waiting{{{who}}} 0',
        ]  # fmt: skip
        for name, what in (("prompt", "prompt"), ("answer", "generation")):
            base = f"vllm:request_{what}_tokens"
            lines += [f'{base}_bucket{{{who},le="{bound}"}} {at[f"{name}<{n}"]}' for n, bound in enumerate(BUCKETS)]
            lines += [f'{base}_bucket{{{who},le="+Inf"}} {at["requests"]}', f"{base}_count{{{who}}} {at['requests']}",
                      f"{base}_sum{{{who}}} {at[name]}"]  # fmt: skip
        return "\n".join(lines) + "\n"


def processes(load, count, seconds, seed=1, restarts=(), before=()):
    """The engines of one service, among which its requests are divided at random."""
    chance = np.random.default_rng(seed)
    begins = START + np.sort(arrivals(load, seconds, chance))
    lengths = [np.maximum(np.round(median * np.exp(load.sigma * chance.standard_normal(begins.size))), 1)
               for median in (load.prompt_median, load.answer_median)]  # fmt: skip
    lengths = [np.minimum(values, 50_000) for values in lengths]
    aborted = chance.random(begins.size) < load.aborted
    of = chance.integers(0, count, begins.size)
    ends = begins + load.seconds_per_token * lengths[1]
    order = np.argsort(ends, kind="stable")
    engines = []
    for number in range(count):
        anew = tuple(START + at for at in dict(restarts).get(number, ()))
        is_lost = np.any([(begins < at) & (ends > at) for at in anew], axis=0) if anew else np.zeros(ends.size, bool)
        ended = order[(of[order] == number) & ~is_lost[order]]
        engines.append(Process(load.model, begins[of == number], ends[ended], lengths[0][ended], lengths[1][ended],
                               aborted[ended], anew, dict(enumerate(before)).get(number, 0)))  # fmt: skip
    return engines


def arrivals(load, seconds, chance):
    """Times from 0 at which requests come: a slow wave, and bursts where there are any."""
    stretches = np.arange(-30.0 * chance.random(), seconds, 30.0)
    rate = load.requests_per_second * (1 + 0.5 * np.sin(2 * np.pi * stretches / seconds))
    if load.burstiness:
        shape = 1 / load.burstiness**2
        rate = rate * chance.gamma(shape, 1 / shape, stretches.size)
    counts = chance.poisson(rate * 30)
    times = np.repeat(stretches, counts) + chance.random(counts.sum()) * 30
    return times[(times >= 0) & (times < seconds)]


@dataclass
class Truth:
    """What was really asked of a service."""

    mean: float
    peak: float
    prompts: np.ndarray
    answers: np.ndarray

    @classmethod
    def of(cls, engines, seconds):
        """Of the engines of a service."""
        begins = np.concatenate([one.arrivals for one in engines])
        per_minute = np.bincount(((begins - START) // 60).astype(int), minlength=seconds // 60)
        return cls(begins.size / seconds, per_minute.max() / 60,
                   np.concatenate([one.prompts for one in engines]), np.concatenate([one.answers for one in engines]))  # fmt: skip


def record(
    directory, host, engine_at, endpoint, seconds, *, skew=0, name="engines-a", kind="vllm", start=START, facts=None
):
    """Rows of an agent that reads one endpoint, whichever engine answers there at each time.

    Args:
        directory: of the samples.
        host: whose agent it is.
        engine_at: the engine that answers, by second.
        endpoint: address that it was given.
        seconds: how long.
        skew: seconds by which its clock is ahead.
        name: of the file.
        kind: of the engine.
        start: when it begins, since 1970.
        facts: what the host says of itself.
    """
    reader = reader_of(kind)
    days = {}
    for second in range(start, start + seconds + 1, ROW):
        for values in reader.read(engine_at(second).page(second)).engines:
            target = Target(host, kind, values.rank, name=values.model, endpoint=endpoint)
            stats = {metric: Stats(value, value, value, value, 15) for metric, value in values.values.items()}
            assert set(stats) <= {one for one, metric in METRICS.items() if metric.kind is not Kind.HISTOGRAM}
            row = Row(target, (second + skew) // ROW * ROW * 1_000_000, stats, values.buckets)
            days.setdefault(day_of(row.end_us), []).append(row)
    metadata = {SCHEMA_KEY: SCHEMA_V2.encode(), INTERVAL_KEY: b"15.0"}
    metadata |= {HOST_KEY: json.dumps(facts).encode()} if facts else {}
    texts = ["host", "engine", "endpoint", "model", "gap_reason", "read_errors"]
    for day, rows in days.items():
        folder = day_folder(directory, day, host)
        folder.mkdir(parents=True, exist_ok=True)
        content = encode_parquet(tables_of(rows)[Scope.ENGINE], texts, {}, metadata)
        (folder / f"{name}.parquet").write_bytes(content)


def scraped(engine_at, seconds, *, job, instance, phase=4.0, interval=15, missed=(), start=START, **labels):
    """Series of a server that scrapes one address."""
    series = {}
    for number, second in enumerate(np.arange(start + phase, start + seconds, interval)):
        if number in missed:
            continue
        for line in engine_at(second).page(second).splitlines():
            series.setdefault(line.rsplit(" ", 1)[0], []).append((int(second * 1000), float(line.rsplit(" ", 1)[1])))
    return [(_labels(text, job=job, instance=instance, **labels), points) for text, points in series.items()]


def _labels(text, **more):
    name, _, rest = text.partition("{")
    return {"__name__": name, **read_labels("{" + rest), **more}


def reader_of(kind):
    """A reader of an engine's pages."""
    exporter = shipped().exporters[kind]
    return PageReader(exporter, shipped().of(exporter))


def page_scraped(engine, seconds, *, host, phase=3.0, interval=15, skew=0, **labels):
    """Series of a server that scrapes the page of an agent whose clock is so many seconds ahead."""
    reader, latest = reader_of("vllm"), Latest()
    series = {}
    for second in np.arange(START + phase, START + seconds, interval):
        row_end = (second + skew) // ROW * ROW
        (values,) = reader.read(engine.page(row_end - skew)).engines
        target = Target(host, "vllm", values.rank, name=values.model, endpoint="http://127.0.0.1:8000/metrics")
        stats = {metric: Stats(value, value, value, value, 15) for metric, value in values.values.items()}
        latest.take(Row(target, int(row_end) * 1_000_000, stats, values.buckets))
        for line in latest.page(int((second + skew) * 1e6)).decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                series.setdefault(name, []).append((int(second * 1000), float(value)))
    more = {"job": "advisor-agent", "instance": f"{host}:9464", **labels}
    return [(_labels(text, **more), points) for text, points in series.items()]
