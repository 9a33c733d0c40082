"""A proposal as the text of a workload file, with a comment beside everything that is a guess or unknown."""

import re
from collections.abc import Iterator, Mapping

from advisor.discovery.proposal import DEMAND, LENGTHS, MODEL, Proposal
from advisor.discovery.values import Machine, Observed
from advisor.names import printable
from advisor.units import MS_PER_SECOND
from advisor.workload.values import PRECISIONS

_PLAIN = re.compile(r"[A-Za-z][\w./-]*|[0-9]+[dh]")
_LITERAL = re.compile(r"[ -&(-~]+")
"""Printable ASCII without an apostrophe."""
_WORDS = ("y", "n", "yes", "no", "true", "false", "on", "off", "null")
_DEFAULT_PRECISION = "bf16"
_WITHIN_RATIO = 0.95


def workload_text(proposal: Proposal, window: str) -> str:
    """The whole file but for its first line.

    Args:
        proposal: what it says.
        window: over which latency was measured, in words.
    """
    return "\n".join([*_head(proposal), *_slo(proposal, window), *_demand(proposal), *_current(proposal), ""])


def _head(proposal: Proposal) -> Iterator[str]:
    service = proposal.service
    yield _comment(f"{service.origin}: {deployment_words(proposal)}")
    for remark in proposal.remarks:
        yield _comment(f"Note: {remark}")
    yield f"name: {_scalar(service.name[:100])}"
    if any(missing.key == MODEL for missing in proposal.missing):
        yield _comment(next(missing.why for missing in proposal.missing if missing.key == MODEL), "MISSING: ")
        yield _comment(f"model: {proposal.model or 'OWNER/NAME'}")
    else:
        yield f"model: {_scalar(proposal.model)}"
    if proposal.precision in PRECISIONS and proposal.precision != _DEFAULT_PRECISION:
        yield f"precisions: [{proposal.precision}]  # as today; others keep less or more of the model's quality"
    elif not proposal.precision:
        yield _comment("In which precision the weights are served today is not known: bf16 is taken.")
    if proposal.context_tokens:
        yield f"context_tokens: {proposal.context_tokens}  # the longest request that its engine takes today"


def deployment_words(proposal: Proposal) -> str:
    """Engine, replicas and accelerators: ``vLLM, 3 replicas of 2 accelerators``."""
    service = proposal.service
    engine = service.launch.engine or (service.observed.engine if service.observed else "") or "engine unknown"
    words = [engine]
    if service.replicas is not None:
        words.append(f"{service.replicas} replica{'' if service.replicas == 1 else 's'}")
    if service.accelerators:
        words.append(f"{service.accelerators} accelerator{'' if service.accelerators == 1 else 's'} each")
    return ", ".join(words)


def _slo(proposal: Proposal, window: str) -> Iterator[str]:
    slo = proposal.slo
    stated = proposal.answers.fields.get("slo")
    if stated:
        yield f"slo: {stated}"
        return
    if slo.is_unknown:
        yield _comment("No latency was measured, and without targets none is kept:")
        yield _comment("slo: {ttft_p95: 1s, tpot_p95: 50ms}")
        return
    targets = {"ttft_p95": slo.ttft_p95_ms, "tpot_p95": slo.tpot_p95_ms, "e2e_p95": slo.e2e_p95_ms}
    pairs = ", ".join(f"{key}: {_duration(value)}" for key, value in targets.items() if value is not None)
    latency = proposal.service.observed.latency if proposal.service.observed else slo
    measured = (latency.ttft_p95_ms, latency.tpot_p95_ms, latency.e2e_p95_ms)
    today = ", ".join(
        f"{key} {_duration(value)}" for key, value, target in zip(targets, measured, targets.values(), strict=True)
        if value is not None and target is not None
    )  # fmt: skip
    yield _comment(f"Proposed: what users got in the {window} before this was written ({today}), rounded up.")
    yield _comment("Agreed targets go here; looser ones cost less. A 95th percentile is what 95% of the requests keep.")
    yield f"slo: {{{pairs}, within_ratio: {_WITHIN_RATIO}}}"


def _demand(proposal: Proposal) -> Iterator[str]:
    observed = proposal.service.observed
    reasons = {missing.key: missing.why for missing in proposal.missing}
    answers = proposal.answers
    if observed is None and DEMAND not in reasons:
        yield (
            f"demand: {{declared: {{requests_per_second: {answers.requests_per_second:g}, "
            f"input_tokens: {answers.input_tokens:g}, output_tokens: {answers.output_tokens:g}}}}}"
        )
        return
    if observed is None:
        yield _comment(reasons.get(DEMAND, ""), "MISSING: ")
        yield _comment("demand: {declared: {requests_per_second: 1, input_tokens: 1000, output_tokens: 200}}")
        return
    yield "demand:"
    yield f"  {observed.source}:"
    for key, value in _source_fields(proposal, observed).items():
        yield f"    {key}: {_value(value)}"
    if LENGTHS in reasons:
        yield _comment(reasons[LENGTHS], "    # MISSING: ")
        yield "    # input_tokens: 1000"
        yield "    # output_tokens: 200"


def _source_fields(proposal: Proposal, observed: Observed) -> Mapping[str, str | float | tuple[str, ...]]:
    stated = {"input_tokens": proposal.answers.input_tokens, "output_tokens": proposal.answers.output_tokens}
    return {**observed.fields, **{key: value for key, value in stated.items() if value is not None}}


def _current(proposal: Proposal) -> Iterator[str]:
    if "current" in proposal.answers.fields:
        yield f"current: {proposal.answers.fields['current']}"
    elif proposal.current is None:
        yield _comment("current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 1}")
        yield from _place(proposal)
    else:
        machine, count = proposal.current
        yield f"current: {current_words(machine, count)}"
        if machine.purchase == "spot":
            yield "purchase: [on_demand, spot]"
        elif machine.purchase == "managed":
            yield "purchase: [on_demand, managed]"
    if (proposal.service.replicas or 0) >= 2:
        yield _comment(f"{proposal.service.replicas} replicas run today; where the load needs fewer and one may fail:")
        yield _comment("limits: {min_replicas: 2}")


def _place(proposal: Proposal) -> Iterator[str]:
    """Provider and region, where these are all that is known of the machines."""
    places = {(machine.provider, machine.region) for machine in proposal.service.machines}
    if len(places) == 1 and all(next(iter(places))):
        ((provider, region),) = places
        yield _comment("Where it runs; with other names, plans are made there too.")
        yield f"providers: [{_scalar(provider)}]"
        yield f"regions: [{_scalar(region)}]"


def current_words(machine: Machine, count: int) -> str:
    """Value of ``current``."""
    place = {"provider": machine.provider, "region": machine.region, "instance_type": machine.instance_type}
    words = ", ".join(f"{key}: {_scalar(value)}" for key, value in place.items())
    return f"{{{words}, count: {count}, purchase: {machine.purchase or 'on_demand'}}}"


def _duration(milliseconds: float | None) -> str:
    """Text such as ``1.5s`` or ``50ms``; measured values to three digits."""
    value = milliseconds or 0.0
    return f"{value / MS_PER_SECOND:.3g}s" if value >= MS_PER_SECOND else f"{value:.3g}ms"


def _value(value: str | float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    return _scalar(value) if isinstance(value, str) else f"{value:g}"


def _scalar(text: str) -> str:
    """Text as a YAML scalar: plain where nothing in it has a meaning, else quoted, odd characters as their numbers."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if _LITERAL.fullmatch(text):
        return f"'{text}'"
    escaped = (each if each.isascii() and each.isalnum() else f"\\U{ord(each):08x}" for each in text)
    return f'"{"".join(escaped)}"'


def _comment(text: str, start: str = "") -> str:
    """One line of comment, whatever is in the text."""
    line = "".join(each if each.isprintable() else "?" for each in " ".join(printable(text).split()))
    return f"{start}{line}" if start.lstrip().startswith("#") else f"# {start}{line}"
