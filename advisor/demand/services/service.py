"""Replicas of one model among the engines that were read: each process counted once, on one clock, by the minute."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advisor.demand.services.readings import Booleans, EngineView, Floats, Readings, allowance, growth, replicas_at
from advisor.names import architecture_key
from advisor.records import dataclass, replace
from advisor.samples.metrics import ROW_SECONDS
from advisor.units import SECONDS_PER_MINUTE

SPREAD_SECONDS = 300.0
"""Longest time between two readings over which the counts of an engine are laid evenly."""
_LEAST_COVERAGE = 0.9
"""Share of the replicas' time in a step that has to be known."""
_MISTAKEN = 0.05
"""Share of a growth that another replica's reading may make."""
_FINE = 2
"""Readings in a step from which on its ends are interpolated."""
_MOST_STEPS = 20_000
_FEWEST_STEPS = 40
_SLOW_STEPS = 41
"""Steps of a slow search: changes over ten minutes are the same at every shift."""
_SURE = 10.0
"""Standard errors by which a shift has to agree better than none."""
_BEYOND_STEPS = 2
"""So that a shift as far as clocks may be apart has neighbours."""
_LEAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """An engine at one place, over its restarts."""

    view: EngineView
    readings: Readings
    takes_turns: bool
    """Whether its address answers for others too, so that it is read now and then only."""

    @property
    def there_seconds(self) -> tuple[float, float]:
        """First and last second it was there: where others answer at its address too, as long as any of them did."""
        mine, all_there = self.readings.seconds, self.view.readings.seconds
        begin = mine[0] if not self.takes_turns or mine[0] - all_there[0] < SPREAD_SECONDS else all_there[0]
        end = mine[-1] if not self.takes_turns or all_there[-1] - mine[-1] < SPREAD_SECONDS else all_there[-1]
        return float(begin), float(end)

    def growth(self) -> tuple[Floats, Booleans]:
        """Requests from each reading to the next, and where it was started anew between them."""
        return growth(self.readings, takes_turns=self.takes_turns)


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """Requests of several replicas together, in steps of whole minutes."""

    start_seconds: float
    step_seconds: float
    requests: Floats
    """In each step; NaN: too few of the replicas are known."""


def replicas_of(view: EngineView) -> list[Replica]:
    """The replicas that answer at an engine's address: one, or as many as its counters jump between.

    Whose a reading is stays open until counters part: as long as the counter takes to grow by twenty times what it was
    ever mistaken by, and five minutes at least. Of readings closer than that each first one and the last are kept.
    """
    chains = replicas_at(view.readings)
    if len(chains) == 1:
        is_whole = chains[0].size == view.readings.seconds.size
        return [Replica(view, view.readings if is_whole else view.readings.at(chains[0]), takes_turns=False)]
    all_readings = [view.readings.at(chain) for chain in chains]
    apart_seconds = 0.0
    for readings in all_readings:
        grown, is_start = growth(readings, takes_turns=True)
        mistaken, whole = -float(np.where(is_start, 0.0, grown).min(initial=0.0)), float(grown.sum())
        if mistaken and whole > 0:
            open_seconds = mistaken / (_MISTAKEN * whole) * float(np.ptp(readings.seconds))
            apart_seconds = max(apart_seconds, SPREAD_SECONDS, open_seconds)
    if not apart_seconds:
        return [Replica(view, readings, takes_turns=True) for readings in all_readings]
    replicas = []
    for readings in all_readings:
        is_kept = np.append(np.diff(np.floor(readings.seconds / apart_seconds)) > 0, True)
        is_kept[0] = True
        replicas.append(Replica(view, readings.at(np.flatnonzero(is_kept)), takes_turns=True))
    return replicas


def minutes_of(
    replicas: Sequence[Replica], spread_seconds: float = SPREAD_SECONDS, *, with_starts: bool = False
) -> Minutes | None:  # fmt: skip
    """Requests in each step that lies wholly in the observed time of a service's replicas; None where there is none.

    A step counts where nine tenths of the time of the replicas that were there are known, and is scaled up by the rest.
    Growth is laid evenly over gaps up to *spread_seconds*. *with_starts*: what a process counted since it started is
    all that came since the last reading.
    """
    slowest = max((replica.readings.interval_seconds for replica in replicas if not replica.takes_turns), default=0.0)
    step = SECONDS_PER_MINUTE * max(float(np.ceil(round(slowest / SECONDS_PER_MINUTE, 1))), 1.0)
    lags = [_lag(replica.readings, step) for replica in replicas]
    begins = min(replica.readings.seconds[0] + lag for replica, lag in zip(replicas, lags, strict=True))
    ends = max(replica.readings.seconds[-1] + lag for replica, lag in zip(replicas, lags, strict=True))
    first, last = int(np.ceil(round(begins / step, 6))), int(np.floor(round(ends / step, 6)))
    if last <= first:
        return None
    marks: Floats = step * np.arange(first, last + 1, dtype=np.float64)
    pairs = zip(replicas, lags, strict=True)
    parts = (_laid(replica, marks - lag, spread_seconds, with_starts=with_starts) for replica, lag in pairs)
    counted, observed, present = sum(parts, np.zeros((3, last - first)))
    coverage = np.divide(observed, present, out=np.zeros(last - first), where=present > 0)
    requests = np.divide(counted, coverage, out=np.full(last - first, np.nan), where=coverage >= _LEAST_COVERAGE)
    return Minutes(first * step, step, requests)


def _lag(readings: Readings, step: float) -> float:
    """Usual seconds from the last reading of a step to its end: with few readings steps end where these do.

    Between readings that are closer together what was counted is interpolated.
    """
    if readings.interval_seconds <= step / _FINE:
        return 0.0
    number = np.ceil(np.round(readings.seconds / step, 9))
    is_last = np.append(np.diff(number) > 0, True)
    return float(np.median(number[is_last] * step - readings.seconds[is_last]))


def _laid(replica: Replica, marks: Floats, spread_seconds: float, *, with_starts: bool) -> Floats:
    """Requests, known seconds and seconds with the replica between consecutive marks, ``(3, marks - 1)``."""
    seconds, elapsed = replica.readings.seconds, np.diff(replica.readings.seconds)
    grown, is_start = replica.growth()
    is_long = elapsed > max(SPREAD_SECONDS, 2 * replica.readings.interval_seconds)
    was_down = is_start & is_long
    if was_down.any():
        usual = allowance(seconds, replica.readings.requests).after(np.full(grown.size, SPREAD_SECONDS))
        was_down &= grown <= usual
    is_known = ~(is_start & (is_long | (not with_starts)))
    if np.isfinite(spread_seconds) and not replica.takes_turns:
        is_known &= ~is_long
    parts = (np.where(is_known, grown, 0.0), np.where(is_known, elapsed, 0.0), np.where(was_down, elapsed, 0.0))
    counted, observed, away = (np.diff(np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))) for part in parts)
    return np.array([counted, observed, np.diff(np.clip(marks, *replica.there_seconds)) - away])


def restarts(replica: Replica) -> int:
    """Number of restarts."""
    return int(np.count_nonzero(replica.growth()[1]))


def begun(replicas: Sequence[Replica]) -> list[Replica]:
    """Replicas that came after the others began at nothing: what they counted before their first reading is theirs."""
    first = min(replica.readings.seconds[0] for replica in replicas)
    return [
        _with_start(replica) if replica.readings.seconds[0] > first + SPREAD_SECONDS else replica
        for replica in replicas
    ]


def _with_start(replica: Replica) -> Replica:
    readings = replica.readings
    interval = readings.interval_seconds
    usual = allowance(readings.seconds, readings.requests).after(np.array([interval]))
    if replica.takes_turns or not interval or readings.requests[0] > usual[0]:
        return replica
    first = readings.at(np.array([0]))
    start = Readings(first.seconds - interval, 0.0 * first.requests, 0.0 * first.tokens, 0.0 * first.in_flight)
    return replace(replica, readings=readings.with_more(start))


def clock_shifts(replicas: Sequence[Replica]) -> dict[str, float]:
    """Seconds by which the clocks of hosts are ahead of most others', of those that are not with them.

    Requests in each 15 s, less their mean over ten minutes, are correlated between the busiest host and each other one,
    up to as far as clocks may be apart. Without bursts there is nothing to tell by, and nothing to be blurred.
    """
    counts = _counts_by_host(replicas)
    if len(counts) < 2:
        return {}
    busiest = max(counts, key=lambda host: float(np.nansum(counts[host])))
    reach = round(max(replica.view.skew_seconds for replica in replicas) / ROW_SECONDS) + _BEYOND_STEPS
    ahead = {host: _ahead_steps(counts[busiest], mine, reach) * ROW_SECONDS for host, mine in counts.items()}
    usual = float(np.median(list(ahead.values())))
    return {host: seconds - usual for host, seconds in ahead.items() if abs(seconds - usual) >= _LEAST_SECONDS}


def by_one_clock(replicas: Sequence[Replica], shifts: Mapping[str, float]) -> list[Replica]:
    """The replicas by the clock of most hosts."""
    shifted = []
    for replica in replicas:
        shift = 0.0 if replica.takes_turns else shifts.get(replica.view.host, 0.0)
        readings = replace(replica.readings, seconds=replica.readings.seconds - shift)
        shifted.append(replace(replica, readings=readings) if shift else replica)
    return shifted


def _counts_by_host(replicas: Sequence[Replica]) -> dict[str, Floats]:
    """Requests in each 15 s of hosts whose agents read that often; NaN where one of their replicas was not read."""
    told = [
        replica
        for replica in replicas
        if replica.view.skew_seconds
        and not (replica.takes_turns or replica.readings.is_thinned)
        and 0 < replica.readings.interval_seconds <= ROW_SECONDS
    ]
    if not told:
        return {}
    end = max(replica.readings.seconds[-1] for replica in told)
    begin = max(min(replica.readings.seconds[0] for replica in told), end - _MOST_STEPS * ROW_SECONDS)
    marks: Floats = np.arange(begin, end, ROW_SECONDS, dtype=np.float64)
    counts: dict[str, Floats] = {}
    for replica in told if marks.size > _FEWEST_STEPS else ():
        host = replica.view.host
        counts[host] = counts.get(host, 0.0) + _counts(replica, marks)
    return counts


def _counts(replica: Replica, marks: Floats) -> Floats:
    seconds = replica.readings.seconds
    grown, is_start = replica.growth()
    is_known = ~is_start & (np.diff(seconds) <= 2 * ROW_SECONDS)
    total, observed = (
        np.interp(marks, seconds, np.append(0.0, np.cumsum(part)))
        for part in (grown, np.where(is_known, np.diff(seconds), 0.0))
    )
    return np.where(np.diff(observed) > 0.99 * ROW_SECONDS, np.diff(total), np.nan)


def _ahead_steps(reference: Floats, mine: Floats, reach: int) -> float:
    """Steps by which a host's clock is ahead of the reference's; 0 where bursts do not tell."""
    first, second = _bursts(reference), _bursts(mine)
    agreement = np.array([_agreement_at_lag(first, second, lag) for lag in range(-reach, reach + 1)])
    best = int(np.argmax(agreement))
    if best in {0, 2 * reach} or agreement[best] < agreement[reach] + _SURE:
        return 0.0
    left, top, right = agreement[best - 1 : best + 2]
    return best - reach + float(0.5 * (left - right) / (left - 2 * top + right))


def _bursts(counts: Floats) -> Floats:
    """Deviations from the mean over ten minutes, in standard deviations of chance; 0 where unknown."""
    is_observed = ~np.isnan(counts)
    kernel = np.ones(_SLOW_STEPS)
    observed = np.maximum(np.convolve(is_observed, kernel, "same"), 1.0)
    mean = np.convolve(np.nan_to_num(counts), kernel, "same") / observed
    return np.where(is_observed & (mean > 0), (np.nan_to_num(counts) - mean) / np.sqrt(np.maximum(mean, 1e-9)), 0.0)


def _agreement_at_lag(first: Floats, second: Floats, lag: int) -> float:
    """Correlation at a lag, in its standard errors."""
    early, late = (first[: first.size - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
    size = float(np.sqrt((early**2).sum() * (late**2).sum()))
    return float(early @ late) / size * float(np.sqrt(early.size)) if size else 0.0


_COMPARED = 300
"""Readings of one replica that are held against another's."""
_AGREES = 0.95
_CLOSE = 0.2
"""Share of the time between readings within which half of them agree: counters grow almost evenly over it."""
_SHIFT_SECONDS = 5.0
_COARSE = 64
_COARSE_AGREES = 0.8
_FEWEST = 3
_TELLING = 10
"""Readings in which requests came."""
_VARIES = 0.02
"""Standard deviation of a request's tokens from reading to reading, over their mean."""


def distinct(replicas: Sequence[Replica]) -> tuple[list[Replica], list[tuple[Replica, Replica]]]:
    """Each engine once, with all that any observer read of it; and which replicas were the same as which kept one.

    The clock of an agent on the engine's own host is kept where there is one, else that of whoever read it most often.
    """
    ordered = sorted(replicas, key=lambda replica: (not replica.view.is_local, -replica.readings.seconds.size))
    kept: list[Replica] = []
    same: list[tuple[Replica, Replica]] = []
    coarse = _Coarse(ordered)
    places: list[int] = []
    for place, replica in enumerate(ordered):
        for number in coarse.alike(place, places):
            shift = _agreement(replica, kept[number])
            if shift is not None:
                same.append((replica, kept[number]))
                kept[number] = _completed(kept[number], replica, shift)
                break
        else:
            kept.append(replica)
            places.append(place)
    return kept, same


class _Coarse:
    """Counters at a few moments: which replicas may be the same at all."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.views = [replica.view for replica in replicas]
        begin = min((replica.readings.seconds[0] for replica in replicas), default=0.0)
        end = max((replica.readings.seconds[-1] for replica in replicas), default=0.0)
        moments = np.linspace(begin, end, _COARSE)
        intervals = np.array([max(replica.readings.interval_seconds, 1.0) for replica in replicas])
        slacks = intervals + [replica.view.skew_seconds for replica in replicas]
        self.value = _counters_at(replicas, moments, 0 * intervals)
        self.within = [
            tuple(_counters_at(replicas, moments, times * reach) for times in (-2, 2)) for reach in (intervals, slacks)
        ]
        """Counters two readings earlier and later; then as far off as the observers' clocks may be, too."""

    def alike(self, place: int, others: Sequence[int]) -> Iterator[int]:
        """Others whose counters stand where that replica's do; one that was not read stands anywhere."""
        theirs = np.array(others, dtype=np.intp)
        value, both = self.value[place], ~np.isnan(self.value[place][0]) & ~np.isnan(self.value[theirs][:, 0])
        near, far = (
            (~((low[theirs] > value) | (value > high[theirs])).any(axis=1) & both).sum(axis=1)
            >= _COARSE_AGREES * both.sum(axis=1)
            for low, high in self.within
        )
        mine = self.views[place]
        for number in np.flatnonzero(far).tolist():
            other = self.views[others[number]]
            if mine is not other and mine.rank == other.rank and (near[number] or not _on_one_machine(mine, other)):
                yield number


def _on_one_machine(mine: EngineView, other: EngineView) -> bool:
    """Whether two hosts' loopback addresses can be one engine only if both names are of one machine, with one clock."""
    return mine.is_local and other.is_local and mine.host != other.host


def _counters_at(replicas: Sequence[Replica], moments: Floats, later_seconds: Floats) -> Floats:
    """Requests and tokens some time after moments, ``(replicas, 2, moments)``; NaN where not read."""
    counters = np.full((len(replicas), 2, moments.size), np.nan)
    for values, replica, later in zip(counters, replicas, later_seconds, strict=True):
        readings = replica.readings
        inside = (moments >= readings.seconds[0]) & (moments <= readings.seconds[-1])
        for row, counter in enumerate((readings.requests, readings.tokens)):
            values[row, inside] = np.interp(moments[inside] + later, readings.seconds, counter)
    return counters


def _agreement(replica: Replica, other: Replica) -> float | None:
    """Seconds by which the other's clock is ahead where both read one engine; None: they are two.

    At one shift of the clocks each reading has to lie between what the other counted before and after it, and half of
    them close to the line between the two; requests and tokens alike. Two engines with the same load drift apart by
    the square root of their requests. Engines on the loopback of two hosts are one only where tokens tell: probes of
    one length give the engines of all hosts the same counters.
    """
    mine, theirs = replica.readings, other.readings
    reach = replica.view.skew_seconds + other.view.skew_seconds
    if _on_one_machine(replica.view, other.view):
        if not _lengths_differ(mine):
            return None
        reach = 0.0
    is_inside = (mine.seconds >= theirs.seconds[0] - reach) & (mine.seconds <= theirs.seconds[-1] + reach)
    inside = np.flatnonzero(is_inside)
    if inside.size < _FEWEST:
        return None
    some = mine.at(inside[np.linspace(0, inside.size - 1, min(inside.size, _COMPARED)).astype(np.intp)])
    late = max(replica.view.late_seconds, other.view.late_seconds)
    width = max(mine.interval_seconds, theirs.interval_seconds, 1.0)
    shift = 0.0
    for step, span in ((_SHIFT_SECONDS, reach), (_SHIFT_SECONDS / 10, _SHIFT_SECONDS if reach else 0.0)):
        pairs = [_Pair(some, theirs, at) for at in (shift + np.arange(-span, span + step / 2, step)).tolist()]
        agreeing = [pair for pair in pairs if _share_within(pair, width, late + step) >= _AGREES]
        if not agreeing:
            return None
        shift = min(agreeing, key=_off).shift
    return shift if _is_close(_Pair(some, theirs, shift), _CLOSE * width + late) else None


def _lengths_differ(readings: Readings) -> bool:
    """Whether requests have tokens of their own, so that no two engines count alike."""
    requests, tokens = np.diff(readings.requests), np.diff(readings.tokens)
    some = (requests > 0) & (tokens > 0)
    each = tokens[some] / requests[some]
    return each.size >= _TELLING and float(np.std(each)) > _VARIES * float(np.mean(each))


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Readings of one observer against all of another's, whose clock is so much ahead."""

    some: Readings
    theirs: Readings
    shift: float

    @property
    def at(self) -> Floats:
        """Times of the readings, by the other's clock."""
        return self.some.seconds + self.shift

    @property
    def counters(self) -> list[tuple[Floats, Floats]]:
        """Both sides of each counter that both have."""
        pairs = [(self.some.requests, self.theirs.requests), (self.some.tokens, self.theirs.tokens)]
        return [pair for pair in pairs if not any(np.isnan(values).any() for values in pair)]

    def is_read(self, width: float) -> Booleans:
        """Whether the other was read at about that time too."""
        seconds = self.theirs.seconds
        after = np.clip(np.searchsorted(seconds, self.at), 1, seconds.size - 1)
        is_near = seconds[after] - seconds[after - 1] <= 3 * width
        return np.asarray(is_near & (self.at >= seconds[0]) & (self.at <= seconds[-1]))

    def counted(self, other: Floats, later_seconds: float) -> Floats:
        """Counts of the other so much later, between its readings."""
        return np.interp(self.at + later_seconds, self.theirs.seconds, other)


def _share_within(pair: _Pair, width: float, slack: float) -> float:
    """Share of the readings that lie between the other's reading before and after them."""
    is_read = pair.is_read(width)
    if np.count_nonzero(is_read) < _FEWEST:
        return 0.0
    seconds = pair.theirs.seconds
    before = np.maximum(np.searchsorted(seconds, pair.at - slack, side="right") - 1, 0)
    after = np.minimum(np.searchsorted(seconds, pair.at + slack), seconds.size - 1)
    agrees = [(mine >= other[before] - 0.5) & (mine <= other[after] + 0.5) for mine, other in pair.counters]
    return float(np.all(agrees, axis=0)[is_read].mean())


def _off(pair: _Pair) -> float:
    """Median distance of the readings from the other's, in the counter that tells most."""
    mine, other = pair.counters[-1]
    return float(np.median(np.abs(mine - pair.counted(other, 0.0))[pair.is_read(np.inf)]))


def _is_close(pair: _Pair, seconds: float) -> bool:
    """Whether half of the readings are no further off the other's than it counts in so many seconds, and a request."""
    is_read = pair.is_read(np.inf)
    requests = max(float(np.ptp(pair.some.requests)), 1.0)
    for mine, other in pair.counters:
        off = np.median(np.abs(mine - pair.counted(other, 0.0))[is_read])
        grown = np.mean((pair.counted(other, seconds) - pair.counted(other, 0.0))[is_read])
        if off > grown + float(np.ptp(mine)) / requests:
            return False
    return True


def _completed(kept: Replica, twin: Replica, shift: float) -> Replica:
    """The kept replica with what the other observer read while its own did not."""
    mine, more = kept.readings, replace(twin.readings, seconds=twin.readings.seconds + shift)
    after = np.searchsorted(mine.seconds, more.seconds)
    before = np.where(after > 0, mine.seconds[np.maximum(after - 1, 0)], -np.inf)
    following = np.where(after < mine.seconds.size, mine.seconds[np.minimum(after, mine.seconds.size - 1)], np.inf)
    distance = 2 * max(mine.interval_seconds, more.interval_seconds)
    missing = np.flatnonzero((more.seconds - before > distance) & (following - more.seconds > distance))
    if not missing.size:
        return kept
    return replace(kept, readings=mine.with_more(more.at(missing)))


_CACHE_FOLDER = re.compile(r"models--.*?--([^/]+)")
_REVISION = re.compile(r"(?:[0-9a-f]{7,64}|main|latest|snapshots|\d+)")
_STORED = re.compile(
    r"-(?:fp8|fp4|nvfp4|mxfp4|bf16|fp16|int[48]|[48]-?bit|awq|gptq|bnb|gguf|marlin|dynamic|block|quantized|turbo|w\d+a\d+|q\d\w*)$"
)
_SIZE = re.compile(r"\d[bm](?![a-z])")


def served_key(name: str) -> str:
    """Key of the model in a name: owner, path, case, marks and storage precision aside.

    ``meta-llama/Llama-3.1-8B-Instruct``, ``/models/llama_3.1_8b_instruct/`` and
    ``RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic`` have one key.
    """
    key = re.sub(r"[_.:\s]+", "-", _last_part(name).casefold()).removeprefix("meta-")
    while (shorter := _STORED.sub("", key)) != key:
        key = shorter
    return key.replace("-", "")


def loose_key(name: str) -> str:
    """Key as by :func:`served_key`, with the tuning left out too: how an engine runs it is the same."""
    return served_key(architecture_key(re.sub(r"[_.:\s]+", "-", _last_part(name).casefold())))


def _last_part(name: str) -> str:
    """The part of a path or repository that names the model."""
    parts = [part for part in re.split(r"[/\\]", name.strip()) if part]
    for part in reversed(parts):
        folder = _CACHE_FOLDER.fullmatch(part)
        if folder:
            return folder[1]
        if not _REVISION.fullmatch(part):
            return part
    return parts[-1] if parts else name


def matching(wanted: str, served: Sequence[str], *, is_stated: bool = False) -> tuple[str, ...]:
    """Served names, as engines call theirs, that mean the wanted model, by the strictest comparison that finds any.

    *is_stated*: it was written down as one of the served names; spelled so, it means no other.
    """
    keys = (str.casefold, served_key, loose_key) if is_stated else (served_key, loose_key)
    for key in keys:
        same = tuple(name for name in served if key(name) == key(wanted))
        if same:
            return same
    return ()


def is_alias(name: str, models: Sequence[str]) -> bool:
    """Whether a name says nothing of which model it is: no owner, no size, no family of a known model."""
    families = {match[0] for model in models if (match := re.match(r"[a-z]{3,}", served_key(model)))}
    key = served_key(name)
    return "/" not in name and not _SIZE.search(key) and not any(family in key for family in families)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose demand is asked for, and what the workload states of it."""

    model: str
    """Of the workload."""
    where: str
    """The source, for messages."""
    field: str
    """Where the workload names the source, such as ``demand.samples``."""
    served_as: str | None = None
    """Name under which the engines serve it; None: one of the model's own."""
    known_models: tuple[str, ...] = ()
    """Names of models, by which a name that belongs to another model is told from an alias."""
    context_tokens: int | None = None
    """No request is longer; None: unknown."""
    input_tokens: float | None = None
    """Stated, for engines that do not count them."""
    output_tokens: float | None = None
    requests_per_day: float | None = None
    """Stated volume, which counters make unneeded."""
    is_one_pass: bool = False
    """Whether requests are answered in one pass: lengths are stated as the size of an item and the items of a request,
    and what is not stated is counted in texts and their tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """The replicas of one model, each once."""

    replicas: Sequence[Replica]
    twins: Sequence[tuple[Replica, Replica]]
    minutes: Minutes | None
    """What was counted over long gaps left unknown."""
    level: Minutes | None
    """The same with that laid evenly over the gaps."""
    shifts: Mapping[str, float]
    """Seconds by which clocks of hosts were ahead of most others'."""

    @property
    def views(self) -> list[EngineView]:
        """View of each replica that is counted."""
        return list({id(replica.view): replica.view for replica in self.replicas}.values())

    @property
    def engines(self) -> str:
        """Engines of the replicas, in words."""
        return ", ".join(sorted({view.engine for view in self.views}))

    @property
    def mean(self) -> float | None:
        """Requests per second; None: unknown."""
        for minutes in (self.level, self.minutes):
            if minutes is not None and not np.isnan(minutes.requests).all():
                return float(np.nanmean(minutes.requests)) / minutes.step_seconds
        return None


def service_of(views: Sequence[EngineView]) -> Service:
    """Replicas of one model, each counted once whoever read it."""
    kept, twins = distinct([replica for view in views for replica in replicas_of(view)])
    shifts = clock_shifts(kept)
    replicas = begun(by_one_clock(kept, shifts))
    level = minutes_of(replicas, np.inf)
    if level is not None and np.isnan(level.requests).all():
        level = minutes_of(replicas, np.inf, with_starts=True)
    return Service(replicas, twins, minutes_of(replicas), level, shifts)
