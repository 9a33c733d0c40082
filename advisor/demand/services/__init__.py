"""Demand of one service: the engines that serve its model, each counted once, and notes on what they leave open."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advisor.demand.services.readings import (
    EngineView,
    Floats,
    Grown,
    LengthCounts,
    Lengths,
    Readings,
    added,
    joint,
    lengths_of,
    one_length,
    total,
)
from advisor.demand.services.service import (
    SPREAD_SECONDS,
    Minutes,
    Service,
    Wanted,
    is_alias,
    matching,
    restarts,
    served_key,
    service_of,
)
from advisor.demand.spread import on_the_calendar
from advisor.demand.tally import arrival_rate
from advisor.demand.values import Demand, DemandProfile, TokenQuantiles
from advisor.errors import InputError
from advisor.names import first_names
from advisor.records import astuple
from advisor.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, ratio_words, span_words

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


def rates_words(by_name: Mapping[str, Sequence[EngineView]]) -> str:
    """Rates such as ``Qwen/Qwen3-32B (10 requests/s)``, the busiest first; names that mean one model together."""
    by_key: dict[str, list[str]] = {}
    for name in sorted(by_name):
        by_key.setdefault(served_key(name), []).append(name)
    groups = [(service_of([view for name in names for view in by_name[name]]).mean, names) for names in by_key.values()]
    groups.sort(key=lambda group: -(group[0] or 0.0))
    shown = []
    for mean, names in groups:
        rate = "rate unknown" if mean is None else f"{mean:.3g} requests/s"
        shown.append(f"{' and '.join(name or 'an unnamed one' for name in names)} ({rate})")
    return first_names(shown, _SHOWN)


def service_notes(service: Service) -> Iterator[str]:
    """Replicas that are counted once, and clocks and counters that were set right."""
    if service.twins:
        places = [(_place(twin.view), _place(kept.view)) for twin, kept in service.twins]
        twins = [f"{twin} is {kept}" if twin != kept else f"{twin}, twice" for twin, kept in places]
        yield f"engines that several observers read, by the same counters, count once: {first_names(twins, _SHOWN)}"
    if service.shifts:
        shifts = [f"{host} is {abs(by):.0f} s {'ahead' if by > 0 else 'behind'}" for host, by in service.shifts.items()]
        yield (
            f"clocks of hosts are apart, as bursts that reach all show: {first_names(shifts, _SHOWN)}; requests "
            "are counted by the clock of most, and a time service would set them"
        )
    by_place: dict[str, list[float]] = {}
    for replica in service.replicas:
        if replica.takes_turns:
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
        three = np.convolve(per_minute, np.ones(3) / 3, "valid") if per_minute.size > 2 else np.array([np.nan])
        busier = 0.0 if np.isnan(three).all() else float(np.nanmax(per_minute) / np.nanmax(three)) - 1.0
        more = f", and may have been up to {busier:.0%} busier" if busier else ""
        yield f"engines were read every {apart:.3g} s: the busiest minute is blurred{more}"


def _place(view: EngineView) -> str:
    return f"{view.address} ({view.observer})" if view.observer else view.address


def time_notes(per_minute: Floats, known_seconds: float) -> Iterator[str]:
    """Minutes of which the rate is not known."""
    if known_seconds < SECONDS_PER_DAY:
        yield f"the demand was observed for {span_words(known_seconds)}: busier hours of the day or week are unseen"
    unknown, every = np.count_nonzero(np.isnan(per_minute)), len(per_minute)
    if unknown:
        most = f"all but {unknown:,} of {every:,} minutes" if unknown <= _FEW * every else ""
        share = most or f"{ratio_words(1 - unknown / every)} of the minutes"
        yield f"{share} were observed; at the others not every replica was read: unknown, not idle"


_ONE_TEXT = 1.05
"""Texts a request below which a request is one text: counters are not read at the same moment."""
_MOST_HIT = 0.999


def demand_of_views(views: Sequence[EngineView], asked: Wanted, source: str) -> Demand | None:
    """Demand as serving engines counted it; None where no engine was seen.

    Where none counts requests and lengths are stated, they are the tokens of answers over the length of one. What
    stands before engines counts where no engine was seen. Raises InputError if the engines serve other models, counted
    no request, or not the lengths of requests.
    """
    counted, notes = [view for view in views if view.counts_requests], []
    has_lengths = asked.input_tokens is not None and not asked.is_one_pass
    if views and not counted and has_lengths and asked.output_tokens is not None:
        names = " and ".join(sorted({view.engine for view in views}))
        over = f"requests are tokens of answers ÷ the stated {asked.output_tokens:g}"
        notes.append(f"{names} counts tokens and no requests: {over}")
        counted = [view.in_requests(asked.output_tokens) for view in views]
    if not counted:
        return None
    engines = [view for view in counted if not view.is_gateway]
    by_name: dict[str, list[EngineView]] = {}
    for view in engines or [view for view in counted if view.engine == counted[0].engine]:
        by_name.setdefault(view.model or "", []).append(view)
    own, told = _own_names(by_name, asked)
    others = {name: group for name, group in by_name.items() if name not in own}
    beside = [f"other models are served there and not counted: {rates_words(others)}"] if others else []
    service = service_of([view for name in own for view in by_name[name]])
    if not service.mean:
        raise _without_requests(service, asked.where)
    return _demand(service, asked, source, [*notes, *told, *beside])


def _without_requests(service: Service, where: str) -> InputError:
    """Error of engines that counted no request, or were read over no whole interval."""
    seconds = np.concatenate([replica.readings.seconds[[0, -1]] for replica in service.replicas])
    span_seconds = float(np.ptp(seconds))
    if service.mean is None:
        message = f"{service.engines} was read over {span_words(span_seconds)}: too short to count requests a minute"
        return InputError(message, where=where, hint="observe an hour or more: it shows the busiest minute")
    message = f"{service.engines} counted no request there in {span_seconds / SECONDS_PER_HOUR:.3g} h"
    return InputError(message, where=where, hint="look further back, or check the selector and the hosts")


def _own_names(by_name: Mapping[str, Sequence[EngineView]], asked: Wanted) -> tuple[tuple[str, ...], list[str]]:
    """Served names that are the workload's model, and what to know of the choice."""
    wanted, served = asked.served_as or asked.model, sorted(name for name in by_name if name)
    own = matching(wanted, served, is_stated=asked.served_as is not None)
    if own:
        return own, list(name_notes(own, wanted, asked.field))
    if not served:
        return ("",), [f"the engines do not name the model that they serve: it is taken to be {asked.model}"]
    if asked.served_as is None and len(served) == 1 and is_alias(served[0], asked.known_models):
        told = f"write model: {served[0]} under {asked.field} if it is, or a selector if it is not"
        return (served[0],), [f"the engines call their model {served[0]}: it is taken to be {asked.model}; {told}"]
    told = f"if one of them is this workload's model, write its name as `model` under {asked.field}"
    if "" in by_name:
        told += "; if it is the unnamed one, leave the others out by `selector` or `hosts`"
    raise InputError(
        f"no engine there serves {wanted}: they serve {rates_words(by_name)}",
        where=asked.where,
        hint=f"{told}; else plan for theirs",
    )


def _demand(service: Service, asked: Wanted, source: str, notes: list[str]) -> Demand:
    minutes = _known(service)
    steps = round(minutes.step_seconds / SECONDS_PER_MINUTE)
    per_minute = np.repeat(minutes.requests / steps, steps)
    grown = total([view.grown for view in service.views])
    size_of = _sizes if asked.is_one_pass else _token_lengths
    prompts, answers, told = size_of(service, grown, asked)
    known_seconds = float(np.count_nonzero(~np.isnan(per_minute))) * SECONDS_PER_MINUTE
    profile = DemandProfile(on_the_calendar(minutes.start_seconds), per_minute)
    longest, hit_ratio = float(prompts.high[-1] + answers.high[-1]), 0.0
    if grown.cache_queries and grown.cache_hits is not None:
        hit_ratio = min(max(grown.cache_hits / grown.cache_queries, 0.0), _MOST_HIT)
    mean = service.mean or 0.0
    volume: tuple[str, ...] = ()
    if asked.requests_per_day is not None:
        counted = f"the engines counted {mean * SECONDS_PER_DAY:,.0f} a day"
        volume = (f"requests_per_day ({asked.requests_per_day:,.0f}) is not used: {counted}",)
    return Demand(
        requests_per_second=arrival_rate(per_minute, mean),
        input_tokens=TokenQuantiles(*(round(length, 3) for length in astuple(prompts.quantiles()))),
        output_tokens=TokenQuantiles(*(round(length, 3) for length in astuple(answers.quantiles()))),
        tokens=joint(prompts, answers).with_hits(hit_ratio),
        longest_request_tokens=longest if asked.is_one_pass else min(longest, asked.context_tokens or longest),
        source=source,
        requests=round(mean * known_seconds),
        window_seconds=known_seconds,
        notes=(
            *notes,
            *service_notes(service),
            *blur_notes(service, per_minute, steps),
            *told,
            *time_notes(per_minute, known_seconds),
            *volume,
        ),
        profile=profile,
    )


def _known(service: Service) -> Minutes:
    """The minutes as observed, or with gaps filled evenly where no minute is known without."""
    for minutes in (service.minutes, service.level):
        if minutes is not None and not np.isnan(minutes.requests).all():
            return minutes
    raise InputError(
        "the engines' counters cover no whole minute", hint="sample for some minutes while traffic is served"
    )


def _token_lengths(service: Service, grown: Grown, asked: Wanted) -> tuple[Lengths, Lengths, Sequence[str]]:
    """Lengths of prompts and of answers, and notes on them."""
    views = service.views
    prompts = _lengths([view.prompts for view in views], grown.prompt_tokens, grown.requests, asked.input_tokens)
    answers = _lengths([view.answers for view in views], grown.answer_tokens, grown.requests, asked.output_tokens)
    if prompts is None or answers is None:
        raise _no_lengths(service, asked, "input_tokens and output_tokens")
    if len(prompts.share) == 1 and len(answers.share) == 1:
        return prompts, answers, (BY_MEANS,)
    unknown = "how prompt and answer lengths go together is not recorded, so they are taken as independent"
    return prompts, answers, (f"{BY_BUCKETS}; {unknown}",)


def _sizes(service: Service, grown: Grown, asked: Wanted) -> tuple[Lengths, Lengths, Sequence[str]]:
    """Sizes of items and items of a request, as stated; texts as the engines' histograms of lengths count them.

    Engines for texts count a request once and the length of each of its texts.
    """
    told: list[str] = []
    counted = added([view.prompts for view in service.views if view.prompts is not None])
    if asked.input_tokens is not None:
        sizes: Lengths | None = one_length(asked.input_tokens)
    else:
        sizes = _lengths([counted], grown.prompt_tokens, grown.requests, None)
        sizes = sizes if sizes is None or asked.context_tokens is None else sizes.within(asked.context_tokens)
        told.append(BY_MEANS if sizes is not None and len(sizes.share) == 1 else BY_BUCKETS)
    if sizes is None:
        raise _no_lengths(service, asked, "input_tokens (of rerankers documents and tokens_per_document)")
    items = asked.output_tokens
    if items is None:
        items = counted.requests / grown.requests if counted is not None and grown.requests else 1.0
        items = items if items > _ONE_TEXT else 1.0
        told.append(
            f"the engines counted {items:.3g} texts a request"
            if counted is not None
            else "the engines count no texts: each request is taken to bring one"
        )
    return sizes, one_length(items), tuple(told)


def _no_lengths(service: Service, asked: Wanted, keys: str) -> InputError:
    return InputError(
        f"{service.engines} counts requests there, but not their tokens",
        where=asked.where,
        hint=f"state {keys} under {asked.field}, or plan from a trace",
    )


def _lengths(
    counted: Sequence[LengthCounts | None], tokens: float | None, requests: float | None, stated: float | None
) -> Lengths | None:  # fmt: skip
    """Lengths from the histograms where there are any, else the mean by counters, else as stated."""
    whole = added([length_counts for length_counts in counted if length_counts is not None])
    lengths = lengths_of(whole) if whole is not None else None
    if lengths is not None:
        return lengths
    if tokens and requests:
        return one_length(max(tokens / requests, 1.0))
    return None if stated is None else one_length(stated)


__all__ = ["EngineView", "Grown", "LengthCounts", "Readings", "Wanted", "demand_of_views"]
