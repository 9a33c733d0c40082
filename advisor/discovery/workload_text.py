"""A proposal as the text of a workload file, with a comment beside every guess, and that text read back.

The first line of a written file holds a digest of the rest; a file whose digest does not fit, or that has none, is a
person's. What lacks something goes to the folder ``incomplete``, which `advisor recommend` does not read.
"""

import hashlib
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain, count
from pathlib import Path

from advisor.atomic_files import make_directory, write_text
from advisor.catalog import Catalog
from advisor.discovery import Latency, Machine
from advisor.discovery.proposal import DEMAND, KIND, LENGTHS, MODEL, Proposal, kept_targets, known_model, rounded_up
from advisor.errors import AdvisorError, InputError
from advisor.names import printable
from advisor.performance.model import shipped_model
from advisor.pipeline import prepared, question_for
from advisor.plan.request import PlanRequest, requirements_of
from advisor.reading import read_text
from advisor.records import dataclass
from advisor.units import milliseconds, three_digits
from advisor.workload.document import read_workload
from advisor.workload.values import PRECISIONS, MeasuredLatency

_FIRST_LINE = "# Written by `advisor init` ({}); a file that was edited is left as it is."
_DIGEST = re.compile(r"# Written by `advisor init` \(([0-9a-f]{16})\)")


class Written(StrEnum):
    """Fate of a file."""

    NEW = "written"
    UPDATED = "updated"
    SAME = "unchanged"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Result:
    """A file, and what became of it."""

    path: Path
    written: Written


def write_workload(path: Path, text: str) -> Result:
    """Write a workload file, unless a person edited it. Raises InputError if it cannot be read or written."""
    whole = f"{_FIRST_LINE.format(_digest(text))}\n{text}"
    if not path.exists():
        make_directory(path.parent)
        write_text(path, whole)
        return Result(path, Written.NEW)
    before = read_text(path, "workload")
    if before == whole:
        return Result(path, Written.SAME)
    if not is_unedited(before):
        return Result(path, Written.KEPT)
    write_text(path, whole)
    return Result(path, Written.UPDATED)


def remove_unedited(path: Path) -> None:
    """Remove a written file that nobody edited, where there is one."""
    if path.is_file() and is_unedited(read_text(path, "workload")):
        path.unlink()


def is_edited(path: Path) -> bool:
    """Whether there is a file that a person wrote or edited."""
    return path.is_file() and not is_unedited(read_text(path, "workload"))


def is_unedited(text: str) -> bool:
    """Whether a file is as it was written."""
    first, _, rest = text.partition("\n")
    match = _DIGEST.match(first)
    return match is not None and match[1] == _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_names(names: Iterable[tuple[str, str]]) -> list[str]:
    """File names without suffix for services, each once; the second name of a pair tells those of one name apart."""
    taken: set[str] = set()
    given = []
    for name, qualifier in names:
        stem = _slug(name)
        candidates = chain((stem, f"{_slug(qualifier)}-{stem}"), (f"{stem}-{number}" for number in count(2)))
        chosen = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(chosen)
        given.append(chosen)
    return given


def _slug(name: str) -> str:
    """Name of lower-case letters, digits and hyphens; none that means something in a folder of workloads."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"{slug}-service".strip("-") if slug in {"", "estate", "workload"} else slug


_PLAIN = re.compile(r"[A-Za-z][\w./-]*|[0-9]+[dh]")
_LITERAL = re.compile(r"[ -&(-~]+")
"""Printable ASCII without an apostrophe."""
_WORDS = ("y", "n", "yes", "no", "true", "false", "on", "off", "null")
_DEFAULT_PRECISION = "bf16"
_WITHIN_RATIO = 0.95
_WIDTH = 116
_NEXT_LINE = "\n  "
_TEXTS = "input_tokens: 300"
_SIZES = {
    "embedding": _TEXTS,
    "encoder": _TEXTS,
    "asr": "audio_seconds: 30",
    "vision": "images: {count: 1}",
    "tabular": "rows: 1",
    "diffusion": "steps: 30, images: {width: 1024, height: 1024, count: 1}",
}
"""Examples of the size of a request, by the task of models that answer in one pass."""
_TARGETS = ("ttft_p95", "tpot_p95", "e2e_p95")


@dataclass(frozen=True, slots=True)
class Trial:
    """Outcome of a trial: one of both."""

    question: PlanRequest | None
    reason: str
    """Why it cannot be planned; "" where it can."""


def tried(text: str, folder: Path, catalog: Catalog) -> Trial:
    """The question that a workload file asks, with its demand, without planning."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".trial-", suffix=".txt", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            question = question_for(prepared(read_workload(Path(stream.name)), catalog), catalog, shipped_model())
            requirements_of(question, catalog)
            return Trial(question, "")
    except OSError as error:
        hint = "give a folder that you may write to"
        raise InputError(f"cannot write: {error.strerror or error}", where=str(folder), hint=hint) from error
    except AdvisorError as error:
        return Trial(None, f"{error.message} ({error.hint})" if error.hint else error.message)


def workload_text(proposal: Proposal, window: str) -> str:
    """The whole file but for its first line."""
    return "\n".join([*_head(proposal), *_slo(proposal, window), *_demand(proposal), *_current(proposal), ""])


def _head(proposal: Proposal) -> Iterator[str]:
    service = proposal.service
    yield _comment(": ".join(filter(None, (service.origin, deployment_words(proposal)))))
    for remark in proposal.remarks:
        yield _comment(f"Note: {remark}")
    yield f"name: {_scalar(service.name[:100])}"
    if lacking := next((missing.why for missing in proposal.missing if missing.key == MODEL), ""):
        yield _comment(lacking, "MISSING: ")
        yield _comment(f"model: {proposal.model or 'OWNER/NAME'}")
    else:
        yield f"model: {_scalar(proposal.model)}"
    if proposal.precision in PRECISIONS and proposal.precision != _DEFAULT_PRECISION:
        yield f"precisions: [{proposal.precision}]  # as today; others keep less or more of the model's quality"
    elif not proposal.precision:
        yield _comment("In which precision the weights are served today is not known: bf16 is taken.")
    if proposal.context_tokens:
        yield f"context_tokens: {proposal.context_tokens}  # the longest request that its engine takes today"
    if proposal.engine:
        yield f"engines: [{proposal.engine}]  # as today; without this line others too, as those of TPUs and Trainium"
    elif (engine := service.launch.engine) and not _lacks_kind(proposal):
        yield _comment(f"Plans are made with another engine than {engine}.")


def _lacks_kind(proposal: Proposal) -> bool:
    return any(missing.key == KIND for missing in proposal.missing)


def deployment_words(proposal: Proposal) -> str:
    """Engine, replicas and accelerators: ``vLLM, 3 replicas, 2 accelerators each``; no engine that its origin names."""
    service = proposal.service
    engine = service.launch.engine or (service.observed.engine if service.observed else "") or "engine unknown"
    words = [] if service.origin.startswith(f"{engine} ") else [engine]
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
        example = "latency_p95: 500ms" if _lacks_kind(proposal) else "ttft_p95: 1s, tpot_p95: 50ms"
        yield _comment(f"slo: {{{example}}}")
        return
    targets = dict(zip(_TARGETS, slo.values, strict=True))
    pairs = ", ".join(f"{key}: {_duration(value)}" for key, value in targets.items() if value is not None)
    got = _latency_words(kept_targets(proposal.measured))
    usually = "usually got" if proposal.rises else "got"
    yield _comment(f"Proposed: what users {usually} in the {window} before this was written ({got}), rounded up.")
    yield from map(_comment, _judged(proposal))
    yield _comment("Agreed targets go here; looser ones cost less. A 95th percentile is what 95% of the requests keep.")
    yield f"slo: {{{pairs}, within_ratio: {_WITHIN_RATIO}}}"


def _judged(proposal: Proposal) -> Iterator[str]:
    """How today's machines stand under the targets, where that is not as it should be."""
    judged = proposal.judged
    if proposal.rises:
        yield f"{busy_words(proposal)}: today's machines miss the targets then."
    elif judged is not None and judged.is_looser:
        tight = map(rounded_up, kept_targets(proposal.measured).values)
        pairs = zip(tight, proposal.slo.values, strict=True)
        looser = _latency_words(Latency(*(value if value != target else None for value, target in pairs)))
        yield f"Looser than {looser}, which a plan would not confirm for today's machines in the busiest minute."
    elif judged is not None and proposal.current is not None and judged.needed != proposal.current[1]:
        needed = "no number" if judged.needed is None else str(judged.needed)
        yield f"By the plan's model {needed} of today's machines would keep them, though {proposal.current[1]} do:"
        yield "measure before you buy more (advisor calibrate), or agree on looser targets."


def busy_words(proposal: Proposal) -> str:
    """Latency in the busiest stretches: ``in the busiest twentieth of the time it was ttft_p95 3s``."""
    observed = proposal.service.observed
    busiest = observed.by_load.busiest if observed and observed.by_load else Latency()
    return f"In the busiest twentieth of the time it was {_latency_words(kept_targets(busiest))}"


def _latency_words(latency: Latency) -> str:
    """Text such as ``ttft_p95 449ms, tpot_p95 34.6ms``."""
    values = zip(_TARGETS, latency.values, strict=True)
    return ", ".join(f"{key} {_duration(value)}" for key, value in values if value is not None)


def _demand(proposal: Proposal) -> Iterator[str]:
    observed = proposal.service.observed
    reasons = {missing.key: missing.why for missing in proposal.missing}
    answers = proposal.answers
    if KIND in reasons:
        model = known_model(proposal.model)
        yield _comment(reasons[KIND], "MISSING: ")
        size = _SIZES.get(model.task if model else "", _TEXTS)
        yield _comment(f"demand: {{declared: {{requests_per_second: 1, {size}}}}}")
        return
    if observed is None and DEMAND not in reasons:
        tokens = f"input_tokens: {answers.input_tokens:g}, output_tokens: {answers.output_tokens:g}"
        yield f"demand: {{declared: {{requests_per_second: {answers.requests_per_second:g}, {tokens}}}}}"
        return
    if observed is None:
        yield _comment(reasons.get(DEMAND, ""), "MISSING: ")
        yield _comment("demand: {declared: {requests_per_second: 1, input_tokens: 1000, output_tokens: 200}}")
        return
    yield "demand:"
    yield f"  {observed.source}:"
    lengths = {"input_tokens": answers.input_tokens, "output_tokens": answers.output_tokens}
    stated = {key: value for key, value in lengths.items() if value is not None}
    for key, value in {**observed.fields, **stated}.items():
        yield f"    {key}: {_value(value)}"
    if LENGTHS in reasons:
        yield _comment(reasons[LENGTHS], "    # MISSING: ")
        yield "    # input_tokens: 1000"
        yield "    # output_tokens: 200"


def _current(proposal: Proposal) -> Iterator[str]:
    judged = proposal.judged
    if "current" in proposal.answers.fields:
        yield f"current: {proposal.answers.fields['current']}"
    elif proposal.current is None:
        yield _comment("current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 1}")
        yield from _place(proposal.service.machines)
    else:
        machine, count = proposal.current
        for note in judged.notes if judged else ():
            is_key = "." in note.partition(" ")[0]  # such as current.measured
            sentence = note if is_key else f"{note[0].upper()}{note[1:]}"
            yield from map(_comment, textwrap.wrap(f"{sentence}.", _WIDTH))
        yield f"current: {current_words(machine, count, judged.measured if judged else None)}"
        yield from _place([machine])
        if machine.purchase == "spot":
            yield "purchase: [on_demand, spot]"
        elif machine.purchase == "managed":
            yield "purchase: [on_demand, managed]"
    yield from _limits(proposal)


def _limits(proposal: Proposal) -> Iterator[str]:
    """Limits that keep what today's machines can lose: two replicas where several run, a spare where there is one."""
    judged, limits = proposal.judged, list[str]()
    if proposal.is_redundant:
        runs = f"{proposal.service.replicas} replicas run today, on hosts of their own"
        limits.append("min_replicas: 2")
        if judged is not None and judged.may_fail:
            yield _comment(f"{runs}, and the targets hold without any one of them; 1 allows fewer.")
        else:
            yield _comment(f"{runs}; 1 allows fewer. `survive: instance` asks that any one of them may fail.")
            limits.append("survive: nothing")
    if judged is not None and judged.waiting_ratio:
        waits = "this share of the requests waits when one is withdrawn; 0 buys one."
        yield _comment(f"Today's spot machines have no spare: {waits}")
        limits.append(f"fault_tolerant_ratio: {judged.waiting_ratio:g}")
    if limits:
        yield f"limits: {{{', '.join(limits)}}}"


def _place(machines: Sequence[Machine]) -> Iterator[str]:
    """Provider and region, where all machines that are known have the same."""
    places = {(machine.provider, machine.region) for machine in machines}
    if len(places) == 1 and all(next(iter(places))):
        ((provider, region),) = places
        yield _comment("It stays where it runs; without these two lines a plan may move it, and says what that saves.")
        yield f"providers: [{_scalar(provider)}]"
        yield f"regions: [{_scalar(region)}]"


def current_words(machine: Machine, count: int, measured: MeasuredLatency | None) -> str:
    """Value of ``current``."""
    place = {"provider": machine.provider, "region": machine.region, "instance_type": machine.instance_type}
    words = ", ".join(f"{key}: {_scalar(value)}" for key, value in place.items())
    words = f"{words}, count: {count}, purchase: {machine.purchase or 'on_demand'}"
    if measured is None:
        return f"{{{words}}}"
    latency = zip(_TARGETS, (measured.ttft_p95_ms, measured.tpot_p95_ms, measured.e2e_p95_ms), strict=True)
    numbers = [f"requests_per_second: {three_digits(measured.requests_per_second)}"]
    numbers += [f"{key}: {_duration(value)}" for key, value in latency if value is not None]
    return f"{{{words},{_NEXT_LINE}measured: {{{', '.join(numbers)}}}}}"


def _duration(value: float | None) -> str:
    """Text such as ``1.5s`` or ``50ms``; measured values to three digits."""
    return milliseconds(value or 0.0).replace(" ", "")


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
