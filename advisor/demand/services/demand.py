"""Demand of the engines that serve one model: selected by the model's name, each counted once."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advisor.demand.clock import on_the_calendar
from advisor.demand.services.lengths import LengthCounts, Lengths, added, joint, lengths_of, one_length
from advisor.demand.services.notes import (
    BY_BUCKETS,
    BY_MEANS,
    blur_notes,
    length_notes,
    name_notes,
    other_notes,
    rates_words,
    service_notes,
    time_notes,
    volume_notes,
)
from advisor.demand.services.readings import EngineView, Grown, total
from advisor.demand.services.replicas import (
    Minutes,
)
from advisor.demand.services.service import Service, Wanted, is_alias, matching, service_of
from advisor.demand.tally import arrival_rate
from advisor.demand.values import Demand, DemandProfile, TokenQuantiles
from advisor.errors import InputError
from advisor.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_ONE_TEXT = 1.05
"""Texts a request below which a request is one text: counters are not read at the same moment."""
_MOST_HIT = 0.999


def demand_of_views(views: Sequence[EngineView], asked: Wanted, source: str) -> Demand | None:
    """Demand as serving engines counted it; None where no engine was seen.

    Args:
        views: what was read of the engines, of every model and by every observer.
        asked: whose demand, and what is stated of it.
        source: where they were read, in words.

    Raises:
        InputError: the engines serve other models, counted no request, or not the lengths of requests.
    """
    counted, notes = _in_requests(views, asked)
    if not counted:
        return None
    by_name = _by_name(_counted_once(counted))
    own, told = _own_names(by_name, asked)
    notes += told
    service = service_of([view for name in own for view in by_name[name]])
    if not service.mean:
        raise _nothing_counted(service, asked)
    notes += other_notes({name: group for name, group in by_name.items() if name not in own})
    return _demand(service, asked, source, notes)


def _in_requests(views: Sequence[EngineView], asked: Wanted) -> tuple[Sequence[EngineView], list[str]]:
    """Engines that count requests; where none does and lengths are stated, tokens of answers over the length of one."""
    counting = [view for view in views if view.counts_requests]
    if counting or not views or asked.is_one_pass or asked.input_tokens is None or asked.output_tokens is None:
        return counting, []
    names = " and ".join(sorted({view.engine for view in views}))
    note = f"{names} counts tokens and no requests: requests are tokens of answers ÷ the stated {asked.output_tokens:g}"
    return [view.in_requests(asked.output_tokens) for view in views], [note]


def _counted_once(views: Sequence[EngineView]) -> Sequence[EngineView]:
    """The engines; where none was seen, what stands before them, of one kind."""
    engines = [view for view in views if not view.is_gateway]
    return engines or [view for view in views if view.engine == views[0].engine]


def _by_name(views: Iterable[EngineView]) -> dict[str, list[EngineView]]:
    """Views by the model's name as the engine says it; "" where it does not."""
    groups: dict[str, list[EngineView]] = {}
    for view in views:
        groups.setdefault(view.model or "", []).append(view)
    return groups


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


def _nothing_counted(service: Service, asked: Wanted) -> InputError:
    names = ", ".join(sorted({view.engine for view in service.views}))
    seconds = [
        second for replica in service.replicas for second in (replica.readings.seconds[0], replica.readings.seconds[-1])
    ]
    hours = (max(seconds) - min(seconds)) / SECONDS_PER_HOUR
    return InputError(
        f"{names} counted no request there in {hours:.3g} h",
        where=asked.where,
        hint="look further back, or check the selector and the hosts",
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
    longest = float(prompts.high[-1] + answers.high[-1])
    mean = service.mean or 0.0
    return Demand(
        requests_per_second=arrival_rate(per_minute, mean),
        input_tokens=_rounded(prompts.quantiles()),
        output_tokens=_rounded(answers.quantiles()),
        tokens=joint(prompts, answers).with_hits(_hit_ratio(grown)),
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
            *volume_notes(asked, mean),
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
    """Lengths of prompts and of answers, and notes on them.

    Raises:
        InputError: they are neither counted nor stated.
    """
    views = service.views
    prompts = _lengths([view.prompts for view in views], grown.prompt_tokens, grown.requests, asked.input_tokens)
    answers = _lengths([view.answers for view in views], grown.answer_tokens, grown.requests, asked.output_tokens)
    if prompts is None or answers is None:
        raise _no_lengths(service, asked, "input_tokens and output_tokens")
    return prompts, answers, tuple(length_notes(prompts, answers))


def _sizes(service: Service, grown: Grown, asked: Wanted) -> tuple[Lengths, Lengths, Sequence[str]]:
    """Sizes of items and items of a request, as stated; texts as the engines' histograms of lengths count them.

    Engines for texts count a request once and the length of each of its texts.

    Raises:
        InputError: sizes are neither counted nor stated.
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
        f"{', '.join(sorted({view.engine for view in service.views}))} counts requests there, but not their tokens",
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


def _hit_ratio(grown: Grown) -> float:
    """Share of the prompts' tokens that were found in the prefix cache; 0 where nobody counted."""
    if not grown.cache_queries or grown.cache_hits is None:
        return 0.0
    return min(max(grown.cache_hits / grown.cache_queries, 0.0), _MOST_HIT)


def _rounded(tokens: TokenQuantiles) -> TokenQuantiles:
    return TokenQuantiles(*(round(each, 3) for each in (tokens.mean, tokens.p50, tokens.p95, tokens.p99, tokens.max)))
