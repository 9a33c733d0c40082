"""Facts of the code that a plan states beside its machines, held against code that is generated anew of the plan.

When instances run and how many at least, which precision, layout and engine serve on them, and who gets which share.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.codegen.applying.rules import RULES, everything_in
from advisor.codegen.container import Language, Wanted
from advisor.codegen.generate import Generated, generate
from advisor.codegen.hcl import NOT_LITERAL, Document, literal, read_hcl
from advisor.codegen.pricing.sources import local_map
from advisor.codegen.rollout import Former
from advisor.codegen.targets import targets_of
from advisor.codegen.writing.record import base_text, read_record
from advisor.errors import AdvisorError
from advisor.plan.values import Plan
from advisor.reading import check_regular, read_text
from advisor.records import dataclass

_GROUPS = ("groups", "node_pools")
_MACHINES = (
    "region", "instance_types", "instance_type", "machine_type", "size", "sku", "profile", "accelerator",
    "accelerators", "attached", "spot", "capacity_type", "provisioning_model", "priority",
)  # fmt: skip
_TIMES = (
    "instances", "node_count", "nodes", "min_instances", "max_instances", "min_nodes", "max_nodes", "min_replicas",
    "max_replicas", "schedule", "windows", "profiles",
)  # fmt: skip
_FACTS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(_GROUPS, frozenset((*_MACHINES, *_TIMES, "backend", "weight", "entrance_weight"))),
    "backends": frozenset(("engine", "weight", "steps")),
    "regions": frozenset(("weight",)),
}
"""Maps of generated code → facts of their entries that a plan states; the others are those of the code as generated."""
_DATA = "fleet.tf"
"""File of a root that holds what the plan decides."""
_OF_ALARMS = frozenset((
    "alarms", "alerts", "queries", "metric_alerts", "host_alerts", "log_alerts", "metric_alarms", "log_alarms",
    "metrics", "scraped", "target_seconds", "longest_queue", "waiting_limit", "planned_usd_per_month",
))  # fmt: skip
"""Data that only tells somebody something: alarms and the budget are the user's to set."""
_OF_NAMES = frozenset(("description", "former_keys"))
"""Facts of entries that change nothing that runs."""
_OF_PODS = frozenset((
    "replicas", "replicaCount", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount", "desiredReplicas",
    "start", "end", "weight", "values",
))  # fmt: skip
"""Names of numbers, times and machines of pods in objects of a cluster, and of what their forms take."""
_KEPT_BESIDE = "replicas"
"""Number that stays in an object though another decides, where it stood there before."""
_KUBERNETES = "kubernetes/"
_KARPENTER = "-karpenter"
"""End of the names of targets whose machines are in objects of the cluster alone."""
_MOST_TOLD = 3
_SCALING = re.compile("autoscal|schedule|group_manager")
"""Kinds of resources that change numbers of machines."""
_LEAST_ALIKE = 0.5
"""Share of equal resources from which code without a record is taken for that of a target."""
NOT_COMPARED = "when the machines of the code run, and what serves on them, was not compared"
Facts = Mapping[str, Mapping[str, Any]]
"""Group, backend, region or file → fact → value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Code as it is against the code of a plan."""

    differences: tuple[tuple[str, str], ...]
    """Group, backend, region or file, and what differs of it."""
    not_compared: tuple[str, ...]
    """Reasons why something could not be looked at."""
    has_planned_groups: bool = False
    """Whether its groups are those of the plan; where Karpenter makes their machines, with its objects."""


def compare(plan: Plan, infra: Path, former: Former) -> Comparison:
    """Differences of generated code in *infra* from code that is generated of *plan* for the same target.

    Args:
        plan: with a fleet.
        infra: directory of the code.
        former: record of the directory.
    """
    if any(rollout.before is not None for rollout in former.rollouts.values()):
        return Comparison((), (f"{NOT_COMPARED}: a cut-over is under way",))
    generated = _generated(plan, infra, former)
    if generated is None:
        return Comparison((), (f"{NOT_COMPARED}: it is like no code that is generated of this plan",))
    differences: list[tuple[str, str]] = []
    for root in generated.roots:
        prefix = f"{root}/" if root else ""
        planned = [
            read_hcl(text, path)
            for path, text in generated.files.items()
            if path.endswith(".tf") and path.rpartition("/")[0] == root
        ]
        there = _documents(infra / root)
        facts = _of_groups(planned, there)
        told = [*facts, *_of_other_facts(_recorded(infra, prefix), there), *_of_resources(planned, there)]
        differences += [(f"{prefix}{subject}", words) for subject, words in told]
    objects = {path: text for path, text in generated.files.items() if _is_object(path)}
    is_there = any((infra / path).is_file() for path in objects) and bool(former.rollouts)
    differences += _of_objects(objects, infra) if is_there else ()
    missing = (
        "how many pods run was not compared: objects of the cluster, or the record .advisor, are not beside the code"
    )
    is_compared = is_there or not objects
    is_whole = is_compared or not any(target.endswith(_KARPENTER) for target in generated.targets)
    return Comparison(tuple(differences), () if is_compared else (missing,), not differences and is_whole)


def _generated(plan: Plan, infra: Path, former: Former) -> Generated | None:
    """Code of a plan for the target of a directory; None where that is not known, or cannot be generated."""
    recorded = set(former.targets.values())
    providers = sorted({group.provider for group in plan.fleet.groups}) if plan.fleet else []
    names = [target.name for target in targets_of(providers[0])] if len(providers) == 1 else [""]
    attempts = []
    for name in [*recorded] if len(recorded) == 1 else [""] if recorded else names:
        wanted = Wanted(target=name, form=former.form, as_component=bool(former.as_component), unconfirmed=True)
        try:
            attempts.append(generate(plan, Language.TERRAFORM, wanted))
        except AdvisorError:
            continue
    if recorded:
        return next((attempt for attempt in attempts if recorded == set(attempt.targets)), None)
    resources = _resources([_read(path) for path in infra.rglob("*.tf")])
    shares = [(_alike(_resources(_parsed(attempt)), resources), number) for number, attempt in enumerate(attempts)]
    share, number = max(shares, default=(0.0, 0))
    return attempts[number] if share >= _LEAST_ALIKE else None


def _parsed(generated: Generated) -> list[Document]:
    return [read_hcl(text, path) for path, text in generated.files.items() if path.endswith(".tf")]


def _documents(directory: Path) -> list[Document]:
    return [_read(path) for path in sorted(directory.glob("*.tf"))]


def _read(path: Path) -> Document:
    check_regular(path, "code")
    return read_hcl(read_text(path, "code", ""), str(path))


def _resources(documents: Sequence[Document]) -> frozenset[str]:
    return frozenset(block.address for document in documents for block in document.body.of("resource"))


def _alike(first: frozenset[str], second: frozenset[str]) -> float:
    """Share of equal members, of all of both."""
    return len(first & second) / len(first | second) if first | second else 0.0


def _of_groups(planned: Sequence[Document], there: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Differences of groups, backends and regions of a root."""
    for name, facts in _FACTS.items():
        in_plan, in_code = (local_map(documents, name) or {} for documents in (planned, there))
        if name in _GROUPS and in_plan.keys() != in_code.keys():
            yield from _other_groups(in_plan, in_code)
            return
        for key in sorted(in_plan.keys() & in_code.keys()):
            values = [{fact: entry[key][fact] for fact in facts & entry[key].keys()} for entry in (in_plan, in_code)]
            if words := _words(*values):
                yield key, words


def _recorded(infra: Path, prefix: str) -> Sequence[Document]:
    """Data of a root as it was generated last; empty where the record of the directory does not hold it."""
    path = f"{prefix}{_DATA}"
    content = base_text(infra, read_record(infra).files.get(path, ""))
    return [] if content is None else [read_hcl(content.decode(), path)]


def _of_other_facts(recorded: Sequence[Document], there: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Edits of data that no plan states, such as arguments of engines: whatever changes what runs, or how.

    Another release generates other arguments of the same plan, so they are held against the record of the directory.
    """
    former, now = _data(recorded), _data(there)
    for name in sorted(former.keys() & now.keys() - _OF_ALARMS):
        in_record, in_code = former[name], now[name]
        if not (_is_of_entries(in_record) and _is_of_entries(in_code)):
            if words := _words({name: in_record}, {name: in_code}):
                yield name, words
            continue
        stated = _FACTS.get(name, frozenset()) | _OF_ALARMS | _OF_NAMES
        for key in sorted(in_record.keys() & in_code.keys()):
            values = [
                {fact: value for fact, value in entries[key].items() if fact not in stated}
                for entries in (in_record, in_code)
            ]
            if words := _words(*values):
                yield key, words


def _data(documents: Iterable[Document]) -> dict[str, Any]:
    """Local values that are literals, by name."""
    values = {
        name: literal(attribute.value.node)
        for document in documents
        for block in document.body.of("locals")
        for name, attribute in block.attributes.items()
    }
    return {name: value for name, value in values.items() if value is not NOT_LITERAL}


def _is_of_entries(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())


def _other_groups(in_plan: Facts, in_code: Facts) -> Iterator[tuple[str, str]]:
    others = " and ".join(sorted(in_code.keys() - in_plan.keys()))
    for key in sorted(in_plan.keys() - in_code.keys()):
        yield key, "is in the plan and not in the code" + (f", which has {others}" if others else "")
    if not in_plan.keys() - in_code.keys():
        yield others, "is in the code and not in the plan"


def _of_resources(planned: Sequence[Document], there: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Differences of the arguments that hold types and numbers of machines, and resources that are not there."""
    in_plan, in_code = _arguments(planned), _arguments(there)
    for address, arguments in sorted(in_plan.items()):
        if address not in in_code:
            yield address, "is in the code of the plan and not in the directory"
        elif words := _words(arguments, in_code[address]):
            yield address, words


def _arguments(documents: Sequence[Document]) -> Facts:
    """Expressions of the arguments that hold types and numbers of machines, by address."""
    return {
        block.address: {
            path: " ".join(document.source(attribute.value).split())
            for path, attribute in everything_in(block)
            if path in (RULES[block.labels[0]].arguments if block.labels[0] in RULES else ())
        }
        for document in documents
        for block in document.body.of("resource")
        if block.labels[0] in RULES or _SCALING.search(block.labels[0])
    }


def _words(planned: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Differences of facts, with both values; "" where there are none that matter."""
    told = []
    for name in sorted(planned.keys() | there.keys()):
        in_plan, in_code = planned.get(name), there.get(name)
        if in_plan != in_code and not _is_wider(name, in_plan, in_code):
            told.append(f"{name}: {_pair(in_code, in_plan)}")
    more = [f"{len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return "; ".join([*told[:_MOST_TOLD], *more])


def _is_wider(name: str, planned: object, there: object) -> bool:
    """Whether a maximum, or a disk, is greater than planned: what scales stays below it."""
    fact = name.rpartition(".")[2]
    may_be_greater = fact.startswith("max") or fact.endswith("_gib")
    return may_be_greater and isinstance(planned, int) and isinstance(there, int) and there > planned


def _pair(there: object, planned: object) -> str:
    """Both values, or of maps and lists the first entry that differs, by the attributes that do."""
    if not (isinstance(there, dict | list) and isinstance(planned, dict | list)):
        return f"{_text(there)} in the code, {_text(planned)} in the plan"
    own, others = _entries(there), _entries(planned)
    differing = [key for key in (others | own) if own.get(key) != others.get(key)]
    if not differing:
        return f"{_text(there)} in the code, {_text(planned)} in the plan, in another order"
    key, more = differing[0], len(differing) - 1
    in_code, in_plan = (_entry(key, entries, beside) for entries, beside in ((own, others), (others, own)))
    further = f"; {more} more {'entry differs' if more == 1 else 'entries differ'}" if more else ""
    return f"{in_code} in the code, {in_plan} in the plan{further}"


def _entry(key: object, entries: Mapping[object, object], others: Mapping[object, object]) -> str:
    """An entry by its key, with the attributes that differ from those of the same one among others."""
    if key not in entries:
        return f"no entry {key}"
    entry, other = entries[key], others.get(key)
    if not isinstance(entry, dict):
        return f"{key} {_text(entry)}"
    former = other if isinstance(other, dict) else {}
    differing = {name: part for name, part in entry.items() if name not in former or former[name] != part}
    return f"{key} with {', '.join(f'{name} {_text(part)}' for name, part in differing.items()) or 'less'}"


def _entries(value: Mapping[str, object] | Sequence[object]) -> dict[object, object]:
    """Entries of a map by their keys; of a list by their names, else by their numbers from 1."""
    if isinstance(value, Mapping):
        return dict(value.items())
    names = [entry.get("name", number) if isinstance(entry, dict) else number for number, entry in enumerate(value, 1)]
    return dict(zip(names if len(set(map(str, names))) == len(names) else range(1, len(names) + 1), value, strict=True))


def _text(value: object) -> str:
    if isinstance(value, dict | list):
        parts = [str(part) for part in value] if isinstance(value, list) else list(map(str, value))
        is_short = len(parts) <= _MOST_TOLD and not any(isinstance(part, dict | list) for part in value)
        return (" and ".join(parts) or "none") if is_short else f"{len(parts)} entries"
    return "none" if value is None else str(value)


def _is_object(path: str) -> bool:
    return f"/{_KUBERNETES}" in f"/{path}" and path.endswith((".yaml", ".yml"))


def _of_objects(objects: Mapping[str, str], infra: Path) -> Iterator[tuple[str, str]]:
    """Differences of the numbers and times of pods, file by file."""
    for path, text in sorted(objects.items()):
        planned = dict(_of_pods(text))
        if not (infra / path).is_file():
            if planned:
                yield path, "is in the code of the plan and not in the directory"
            continue
        there = dict(_of_pods(read_text(infra / path, "object of a cluster", "")))
        kept = {name for name in there.keys() - planned.keys() if name.endswith(f".{_KEPT_BESIDE}")}
        if words := _words(planned, {name: value for name, value in there.items() if name not in kept}):
            yield path, words


def _of_pods(text: str) -> Iterator[tuple[str, object]]:
    """Name of each fact of pods in a file of objects, and its value; none of a file that is not YAML."""
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return
    for document in documents:
        about = document.get("metadata") if isinstance(document, dict) else None
        name = about.get("name", "") if isinstance(about, dict) else ""
        kind = document.get("kind", "") if isinstance(document, dict) else ""
        yield from _leaves(document, f"{kind} {name}".strip())


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        place = f"{path}.{key}" if path else str(key)
        if key in _OF_PODS:
            yield place, entry
        else:
            yield from _leaves(entry, place)
