"""Notes on the demand of a service: what was left out, blurred or assumed."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advisor.demand.services.lengths import Lengths
from advisor.demand.services.readings import EngineView, Floats
from advisor.demand.services.replicas import (
    SPREAD_SECONDS,
    Replica,
    restarts,
)
from advisor.demand.services.service import Service, Wanted, served_key, service_of
from advisor.units import SECONDS_PER_DAY, span_words

_SHOWN = 5
_SHARP_SECONDS = 20.0
"""Readings that are no further apart show single minutes as they were."""
_FEW = 0.005
"""Share of the minutes below which their number says more."""
BY_BUCKETS = "token lengths are those of the engines' histogram buckets, the longest a bucket's end"
BY_MEANS = "only mean token lengths are known, so every request is taken to be as long: a spread needs more"


def name_notes(own: Sequence[str], wanted: str, field: str) -> Iterator[str]:
    """Names of the engines that are taken for the workload's model."""
    renamed = [name for name in own if served_key(name) != served_key(wanted)]
    if renamed:
        yield f"{' and '.join(renamed)} is taken for {wanted}"
    if len(own) > 1:
        yield (
            f"{', '.join(own[:-1])} and {own[-1]} are names of one model and counted together; "
            f"write one of them as `model` under {field} to count it alone"
        )


def other_notes(others: Mapping[str, Sequence[EngineView]]) -> list[str]:
    """Other models on the same engines, with their rates."""
    return [f"other models are served there and not counted: {rates_words(others)}"] if others else []


def rates_words(by_name: Mapping[str, Sequence[EngineView]]) -> str:
    """Rates such as ``Qwen/Qwen3-32B (10 requests/s)``, the busiest first; names that mean one model together."""
    by_key: dict[str, list[str]] = {}
    for name in sorted(by_name):
        by_key.setdefault(served_key(name), []).append(name)
    groups = [(service_of([view for name in names for view in by_name[name]]).mean, names) for names in by_key.values()]
    groups.sort(key=lambda group: -(group[0] or 0.0))
    shown = [
        f"{' and '.join(name or 'an unnamed one' for name in names)} ({_rate_words(mean)})" for mean, names in groups
    ]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _rate_words(mean: float | None) -> str:
    return "rate unknown" if mean is None else f"{mean:.3g} requests/s"


def service_notes(service: Service) -> Iterator[str]:
    """Replicas that are counted once, and clocks and counters that were set right."""
    if service.twins:
        shown = [_twin_words(twin.view, kept.view) for twin, kept in service.twins[:_SHOWN]]
        more = f" and {len(service.twins) - _SHOWN} more" if len(service.twins) > _SHOWN else ""
        yield f"engines that several observers read, by the same counters, count once: {', '.join(shown)}{more}"
    yield from _clock_notes(service.shifts)
    yield from _turn_notes([replica for replica in service.replicas if replica.takes_turns])
    anew = sum(restarts(replica) for replica in service.replicas)
    if anew:
        often = "once" if anew == 1 else f"{anew} times"
        yield f"engines were restarted {often}: what they counted just before is lost"


def blur_notes(service: Service, per_minute: Floats, steps: int) -> Iterator[str]:
    """Notes on how much busier the busiest minute may have been, where readings are too far apart to tell.

    As much as minutes are busier than three of them together: in simulated fleets that held the truth in more than four
    of five.
    """
    blurred = [
        replica.readings for replica in service.replicas if not (replica.takes_turns or replica.readings.is_thinned)
    ]
    apart = max((readings.interval_seconds for readings in blurred), default=0.0)
    if steps > 1:
        yield f"requests are counted every {steps} minutes: busier single minutes are unseen"
    elif apart > _SHARP_SECONDS:
        busier = _busier_than_three(per_minute)
        more = f", and may have been up to {busier:.0%} busier" if busier else ""
        yield f"engines were read every {apart:.3g} s: the busiest minute is blurred{more}"


def _busier_than_three(per_minute: Floats) -> float:
    """Share by which the busiest minute is above the busiest three in a row; 0 where no three are known."""
    three = np.convolve(per_minute, np.ones(3) / 3, "valid") if per_minute.size > 2 else np.array([np.nan])
    return 0.0 if np.isnan(three).all() else float(np.nanmax(per_minute) / np.nanmax(three)) - 1.0


def _clock_notes(shifts: Mapping[str, float]) -> Iterator[str]:
    if shifts:
        words = [f"{host} is {abs(by):.0f} s {'ahead' if by > 0 else 'behind'}" for host, by in shifts.items()]
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        yield (
            f"clocks of hosts are apart, as bursts that reach all show: {', '.join(words[:_SHOWN])}{more}; requests "
            "are counted by the clock of most, and a time service would set them"
        )


def _turn_notes(replicas: Sequence[Replica]) -> Iterator[str]:
    by_place: dict[str, list[float]] = {}
    for replica in replicas:
        by_place.setdefault(_place(replica.view), []).append(replica.readings.interval_seconds)
    for place, apart_seconds in by_place.items():
        yield (
            f"the counters at {place} jump back and forth: {len(apart_seconds)} replicas answer there in turn, and are "
            "counted as such, each between its own readings; scrape every replica at an address of its own"
        )
        if max(apart_seconds) >= SPREAD_SECONDS:
            yield (
                f"the counters at {place} are so alike that {span_words(max(apart_seconds))} pass until it is clear "
                "whose a reading is: busier minutes within are unseen"
            )


def _twin_words(twin: EngineView, kept: EngineView) -> str:
    return f"{_place(twin)} is {_place(kept)}" if _place(twin) != _place(kept) else f"{_place(twin)}, twice"


def _place(view: EngineView) -> str:
    return f"{view.address} ({view.observer})" if view.observer else view.address


def length_notes(prompts: Lengths, answers: Lengths) -> Iterator[str]:
    """Grounds of the token lengths."""
    if len(prompts.share) == 1 and len(answers.share) == 1:
        yield BY_MEANS
        return
    yield (f"{BY_BUCKETS}; how prompt and answer lengths go together is not recorded, so they are taken as independent")


def time_notes(per_minute: Floats, known_seconds: float) -> Iterator[str]:
    """Minutes of which the rate is not known."""
    if known_seconds < SECONDS_PER_DAY:
        yield f"the demand was observed for {span_words(known_seconds)}: busier hours of the day or week are unseen"
    unknown, every = np.count_nonzero(np.isnan(per_minute)), len(per_minute)
    if unknown:
        most = f"all but {unknown:,} of {every:,} minutes" if unknown <= _FEW * every else ""
        known = most or f"{1 - unknown / every:.0%} of the minutes"
        yield f"{known} were observed; at the others not every replica was read: unknown, not idle"


def volume_notes(asked: Wanted, mean: float) -> Iterator[str]:
    """Stated volume beside the counted one."""
    if asked.requests_per_day is not None:
        counted = mean * SECONDS_PER_DAY
        yield f"requests_per_day ({asked.requests_per_day:,.0f}) is not used: the engines counted {counted:,.0f} a day"
