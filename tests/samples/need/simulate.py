"""A serving engine on an accelerator, second by second, with what its driver and its metrics page would say.

Requests arrive at random, wait for KV cache, are read in (prefill: tensor cores) and answered (decode: memory
bandwidth). The KV cache that is in use follows the running requests; the accelerator is busy as soon as one runs. So
what limits it is known by construction, and verdicts can be held to it.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from advisor.samples.query import Accelerator
from advisor.samples.query.counts import Counted, Counts, Grid, timeline
from advisor.samples.store.hosts import count_rows
from advisor.samples.store.row_tables import ACCELERATOR_COLUMNS

GIB = 1024.0**3
ROW_SECONDS = 15
START_US = 1_760_000_010_000_000
assert START_US % (ROW_SECONDS * 1_000_000) == 0


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, its model and its load."""

    requests_per_second: float
    prompt_tokens: float = 500
    answer_tokens: float = 200
    pool_tokens: float = 400_000
    fixed_gib: float = 18.0
    pool_gib: float = 54.0
    prefill_tokens_per_second: float = 20_000
    decode_seconds: float = 0.02
    """Of a step that gives each running request one token."""
    decode_dram: float = 0.78
    """DRAM activity while only decoding."""
    most_running: int = 256
    throttled: float = 0.0
    """Share of time with lowered clocks."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """What was read each second, by metric: of the accelerator and of the engine."""

    accelerator: dict
    engine: dict
    engine_of: Engine


def run(engine, seconds=1800, seed=1):
    """The engine under its load for so many seconds."""
    chance = np.random.default_rng(seed)
    arrivals = chance.poisson(engine.requests_per_second, seconds)
    state = _State()
    read = [state.second(engine, arriving, chance) for arriving in arrivals]
    out = {name: np.array([one[name] for one in read]) for name in read[0]}
    out["memory_used_bytes"] = np.full(seconds, (engine.fixed_gib + engine.pool_gib) * GIB)
    out["memory_total_bytes"] = np.full(seconds, 80 * GIB)
    on_it = (*_ACCELERATOR, "memory_used_bytes", "memory_total_bytes")
    return Seconds({name: out[name] for name in on_it}, {name: out[name] for name in _ENGINE}, engine)


class _State:
    """The queue, the batch and the counters of an engine."""

    def __init__(self):
        self.left = np.zeros(0)
        self.waiting, self.to_read = 0, 0.0
        self.totals = dict.fromkeys(_COUNTERS, 0.0)

    def second(self, engine, arriving, chance):
        """What is read at the end of one second."""
        self.waiting += arriving
        admitted = self._admit(engine, chance)
        prefill = min(self.to_read / engine.prefill_tokens_per_second, 1.0)
        self.to_read = max(self.to_read - engine.prefill_tokens_per_second, 0.0)
        running = self.left.size
        decode = (1.0 - prefill) if running else 0.0
        generated = np.minimum(self.left, decode / engine.decode_seconds)
        finished = int((self.left <= generated).sum())
        self.left = (self.left - generated)[self.left > generated]
        self.totals["prompt_tokens"] += admitted * engine.prompt_tokens
        self.totals["generated_tokens"] += generated.sum()
        self.totals["requests_finished"] += finished
        self.totals["power_throttled_seconds"] += engine.throttled
        return {
            **_activity(engine, prefill, decode, running),
            "requests_running": float(running),
            "requests_waiting": float(self.waiting),
            "kv_cache_used_ratio": min(running * _tokens_held(engine) / engine.pool_tokens, 1.0),
            **self.totals,
        }

    def _admit(self, engine, chance):
        """Take requests into the batch for which there is KV cache, and time to read them in."""
        room = min(int(engine.pool_tokens / _tokens_held(engine)), engine.most_running) - self.left.size
        readable = int(np.ceil(max(engine.prefill_tokens_per_second - self.to_read, 0) / engine.prompt_tokens))
        admitted = min(self.waiting, max(room, 0), readable)
        self.waiting -= admitted
        self.to_read += admitted * engine.prompt_tokens
        self.left = np.concatenate([self.left, chance.exponential(engine.answer_tokens, admitted) + 1])
        return admitted


def _tokens_held(engine):
    return engine.prompt_tokens + engine.answer_tokens / 2


def _activity(engine, prefill, decode, running):
    """What the driver says of a second with those shares of prefill and decode."""
    batch = min(running / 64, 1.0)
    return {
        "busy_ratio": min(prefill + decode, 1.0),
        "sm_active_ratio": 0.92 * prefill + decode * min(0.25 + running / 40, 0.95),
        "tensor_active_ratio": 0.75 * prefill + 0.2 * batch * decode,
        "dram_active_ratio": 0.3 * prefill + engine.decode_dram * (0.7 + 0.3 * batch) * decode,
    }


def alternate(first, second, period=120):
    """Now the one, now the other, in turns of so many seconds; counters go on from where they were."""
    length = len(first.accelerator["busy_ratio"])
    is_first = (np.arange(length) // period) % 2 == 0

    def mixed(one, other):
        return {
            name: np.cumsum(np.where(is_first, _rate(one[name]), _rate(other[name])))
            if name in _COUNTERS
            else np.where(is_first, one[name], other[name])
            for name in one
        }

    return replace(
        first, accelerator=mixed(first.accelerator, second.accelerator), engine=mixed(first.engine, second.engine)
    )


def rows_of(signals, gaps=()):
    """Rows of fifteen seconds by column, as the agent keeps them, rounded; the rows in ``gaps`` were not read."""
    rows = len(next(iter(signals.values()))) // ROW_SECONDS
    columns = {}
    for name, values in signals.items():
        by_row = values[: rows * ROW_SECONDS].reshape(rows, ROW_SECONDS)
        if name in _COUNTERS:
            columns[name] = by_row[:, -1].copy()
        else:
            columns[name], columns[f"{name}_max"] = by_row.mean(axis=1), by_row.max(axis=1)
    for values in columns.values():
        values[list(gaps)] = np.nan
    return columns


def times(columns):
    """Ends of the rows, and the grid that they fill."""
    rows = len(next(iter(columns.values())))
    ends = START_US + np.arange(1, rows + 1) * ROW_SECONDS * 1_000_000
    return ends, Grid(START_US, ROW_SECONDS * 1_000_000, rows)


def accelerator(seconds, index=0, gaps=(), without=(), mig_index=None, host="host-a", **more):
    """The accelerator, counted, leaving out what its driver does not say; with columns of rows in ``more``."""
    signals = {name: values for name, values in seconds.accelerator.items() if name not in without}
    columns = {**rows_of(signals, gaps), **more}
    ends, grid = times(columns)
    is_known = ~np.isnan(np.array(list(columns.values()))).all(axis=0)
    table = {"timestamp": pa.array(ends[is_known], pa.timestamp("us", tz="UTC")), "accelerator_index": index}
    table |= {"host": host, "accelerator_uuid": f"GPU-{index}-{mig_index}", "accelerator": "NVIDIA H100 80GB HBM3"}
    table |= {name: pa.array(values[is_known], from_pandas=True) for name, values in columns.items()}
    table |= {"mig_index": mig_index, "missed_ticks": 0}
    rows = pa.table(
        [_column(table.get(field.name), field, is_known.sum()) for field in ACCELERATOR_COLUMNS], ACCELERATOR_COLUMNS
    )
    if not rows.num_rows:
        return Counted(Accelerator(host, index, mig_index), grid, 0, {}, {}, {}, (0, 0))
    (one,) = Counts([count_rows(rows)]).accelerators({host: grid})
    return one


def _column(value, field, rows):
    if isinstance(value, pa.Array):
        return value.cast(field.type)
    filled = pa.array([value] * rows, pa.string() if isinstance(value, str) else field.type)
    return filled.dictionary_encode().cast(field.type) if isinstance(value, str) else filled


def drawn(seconds, index=0, gaps=(), without=(), mig_index=None, host="host-a"):
    """The rows of the accelerator as a chart takes them."""
    columns = rows_of({name: values for name, values in seconds.accelerator.items() if name not in without}, gaps)
    ends, grid = times(columns)
    return timeline(
        Accelerator(host, index, mig_index, f"GPU-{index}-{mig_index}", "NVIDIA H100 80GB HBM3"), grid, ends, columns
    )


def serving(seconds, rank=0, gaps=(), endpoint="http://localhost:8000/metrics", host="host-a"):
    """The engine's rows."""
    columns = rows_of(seconds.engine, gaps)
    ends, grid = times(columns)
    return timeline(Accelerator(host, rank, None, endpoint, "a-model"), grid, ends, columns)


def _rate(counter):
    return np.diff(counter, prepend=0.0)


_ACCELERATOR = (
    "busy_ratio", "sm_active_ratio", "tensor_active_ratio", "dram_active_ratio", "power_throttled_seconds",
)  # fmt: skip
_ENGINE = (
    "requests_running", "requests_waiting", "kv_cache_used_ratio", "prompt_tokens", "generated_tokens",
    "requests_finished",
)  # fmt: skip
_COUNTERS = ("prompt_tokens", "generated_tokens", "requests_finished", "power_throttled_seconds")

IDLE = Engine(0.0)
WITHIN = Engine(0.12, answer_tokens=120)
MEMORY = Engine(6.0, prompt_tokens=300, answer_tokens=800, pool_tokens=24_000)
BANDWIDTH = Engine(4.0, prompt_tokens=60, answer_tokens=900)
COMPUTE = Engine(4.6, prompt_tokens=3500, answer_tokens=3)
UNSATURATED = Engine(0.45, prompt_tokens=60, answer_tokens=250, decode_dram=0.25)
THROTTLED = Engine(4.0, prompt_tokens=60, answer_tokens=300, throttled=0.3)
