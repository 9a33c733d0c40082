"""The whole of generated code as it lies there, against what was generated: for its plan, and by its record.

What a plan states is held against code that is generated anew of the plan. All else is held against the record of the
directory, since another release generates other code of the same plan: whatever differs there was edited.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path

from advisor.checks.code_facts import (
    ABSENT,
    Difference,
    Facts,
    Subject,
    differences,
    facts_of,
    is_object,
    settings_of,
    words_of,
)
from advisor.codegen.applying.rules import RULES
from advisor.codegen.container import Language, Wanted
from advisor.codegen.generate import Generated, generate
from advisor.codegen.hcl import read_hcl
from advisor.codegen.inputs.table import inputs_of_plan
from advisor.codegen.rollout import Former
from advisor.codegen.targets import targets_of
from advisor.codegen.writing import last_generated
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
"""Maps of data → facts of their entries that a plan states."""
_OF_PODS = frozenset((
    "replicas", "replicaCount", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount", "desiredReplicas",
    "start", "end", "weight", "values",
))  # fmt: skip
"""Names of what a plan states in objects of a cluster: numbers, times and machines of pods, and what forms take."""
_KEPT_BESIDE = "replicas"
"""Number that stays in an object though another decides, where it stood there before."""
_KARPENTER = "-karpenter"
"""End of the names of targets whose machines are in objects of the cluster alone."""
_SCALING = re.compile("autoscal|schedule|group_manager")
"""Kinds of resources that change numbers of machines."""
_BESIDE = frozenset((
    "alarms", "alerts", "queries", "metric_alerts", "host_alerts", "log_alerts", "metric_alarms", "log_alarms",
    "metrics", "scraped", "target_seconds", "longest_queue", "waiting_limit", "planned_usd_per_month",
    "description", "former_keys",
))  # fmt: skip
"""Data that change nothing that runs: alarms, the budget, and words."""
_NAMES = (("name",), ("name_prefix",), ("display_name",), ("tags",), ("labels",), ("metadata", "labels"))
"""Arguments that name what runs, of a resource as of an object."""
_VARIABLE = "variable"
_BESIDE_KINDS = re.compile(
    r"^(output|data)\.|_(iam|kms|cloudwatch_(metric|log)|sns|ce|budgets|monitoring|role_assignment|"
    r"monitor_(metric|scheduled|diagnostic|data|action)|log_analytics|consumption|billing|security_group|firewall|"
    r"network_security|user_assigned_identity|service_account|secret_manager|federated_identity)(_|\.)|"
    r"(^|/)(monitoring|alerts|budget|identity|policies|encryption|settings|checks|configuration)\.py|kubernetes/.*\.sh$|\.txt$|"
    r"^local\.\w*(alarm|alert|metric|dashboard|budget|tags|labels|name)"
)
"""Resources, files and values of what watches, permits and names: the user's to edit."""
_NOT_CODE = re.compile(
    r"(^|/)(tests|examples)/|\.(md|toml|json|example|hcl)$|(^|/)(Pulumi\.[\w-]*\.?yaml|\.trivyignore\.yaml)$"
)
"""Files that deploy nothing, and the configuration of a stack, which is the user's."""
_LEAST_ALIKE = 0.5
"""Share of equal resources from which code without a record is taken for that of a target."""
NOT_COMPARED = "when the machines of the code run, and what serves on them, was not compared"


class _Weight(IntEnum):
    """Meaning of a difference."""

    PLANNED = 1
    """The plan states it otherwise."""
    RUNS = 2
    """Edited, and changes what runs, or how."""
    BESIDE = 3
    """Edited, and changes nothing that a plan decides."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Code as it is against the code of a plan."""

    differences: tuple[tuple[str, str], ...]
    """Group, resource or file, and what runs otherwise there than planned."""
    not_compared: tuple[str, ...]
    """Reasons why something could not be looked at."""
    has_planned_groups: bool = False
    """Whether its groups are those of the plan; where Karpenter makes their machines, with its objects."""
    edits: tuple[tuple[str, str], ...] = ()
    """The same of what changes nothing that a plan decides."""


def compare(plan: Plan, infra: Path, former: Former) -> Comparison:
    """Differences of generated code in *infra* from code that is generated of *plan* for the same target.

    Args:
        plan: with a fleet.
        infra: directory of the code.
        former: record of the directory.

    Raises:
        InputError: a file cannot be read, or is not valid.
    """
    if any(rollout.before is not None for rollout in former.rollouts.values()):
        return Comparison((), (f"{NOT_COMPARED}: a cut-over is under way",))
    generated = _generated(plan, infra, former)
    if generated is None:
        return Comparison((), (f"{NOT_COMPARED}: it is like no code that is generated of this plan",))
    objects = {path for path in generated.files if is_object(path)}
    is_compared = not objects or (bool(former.rollouts) and any((infra / path).is_file() for path in objects))
    files = {path: text for path, text in generated.files.items() if is_compared or path not in objects}
    recorded = {path: text for path, text in last_generated(infra).items() if path in files}
    told: list[tuple[_Weight, str, str]] = []
    for root in generated.roots:
        prefix = f"{root}/" if root else ""
        planned, by_record = (_facts(_of_root(texts, prefix)) for texts in (files, recorded))
        there = _there(infra / root, _of_root(files, prefix))
        told += [(weight, f"{prefix}{name}", words) for weight, name, words in _told(planned, by_record, there)]
    missing = (
        "how many pods run was not compared: objects of the cluster, or the record .advisor, are not beside the code"
    )
    is_whole = is_compared or not any(target.endswith(_KARPENTER) for target in generated.targets)
    return Comparison(
        differences=tuple((name, words) for weight, name, words in told if weight is not _Weight.BESIDE),
        not_compared=() if is_compared else (missing,),
        has_planned_groups=is_whole and all(weight is not _Weight.PLANNED for weight, *_ in told),
        edits=tuple((name, words) for weight, name, words in told if weight is _Weight.BESIDE),
    )


def _generated(plan: Plan, infra: Path, former: Former) -> Generated | None:
    """Code of a plan for the target of a directory; None where that is not known, or cannot be generated."""
    recorded = set(former.targets.values())
    providers = sorted({group.provider for group in plan.fleet.groups}) if plan.fleet else []
    names = [target.name for target in targets_of(providers[0])] if len(providers) == 1 else [""]
    attempts = []
    for name in [*recorded] if len(recorded) == 1 else [""] if recorded else names:
        wanted = Wanted(target=name, form=former.form, as_component=bool(former.as_component), unconfirmed=True)
        try:
            inputs = Former(inputs=former.inputs)
            attempts.append(generate(plan, former.language or Language.TERRAFORM, wanted, former=inputs))
        except AdvisorError:
            continue
    if recorded:
        return next((attempt for attempt in attempts if recorded == set(attempt.targets)), None)
    resources = _resources((_read(path), path.name) for path in infra.rglob("*.tf"))
    shares = [
        (_alike(_resources((text, path) for path, text in attempt.files.items()), resources), number)
        for number, attempt in enumerate(attempts)
    ]
    share, number = max(shares, default=(0.0, 0))
    return attempts[number] if share >= _LEAST_ALIKE else None


def _read(path: Path) -> str:
    check_regular(path, "code")
    return read_text(path, "code")


def _resources(files: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Addresses in texts with their paths."""
    documents = [read_hcl(text, path) for text, path in files if path.endswith(".tf")]
    return frozenset(block.address for document in documents for block in document.body.of("resource"))


def _alike(first: frozenset[str], second: frozenset[str]) -> float:
    """Share of equal members, of all of both."""
    return len(first & second) / len(first | second) if first | second else 0.0


def _of_root(files: Mapping[str, str], prefix: str) -> Mapping[str, str]:
    """Files of a root that deploy something, by their paths in it."""
    within = {path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)}
    return {path: text for path, text in within.items() if not _NOT_CODE.search(path)}


def _facts(files: Mapping[str, str]) -> Facts:
    return {subject: value for path, text in files.items() for subject, value in facts_of(text, path).items()}


def _there(root: Path, files: Mapping[str, str]) -> Facts:
    """Values of the files of a root as they lie there, with those that its inputs are given."""
    names = {path.name for path in root.glob("*.tf")} | {name for name in files if (root / name).is_file()}
    facts = dict(_facts({name: _read(root / name) for name in sorted(names)}))
    for path in _setting(root):
        for name, value in settings_of(_read(path), path.name).items():
            facts["variable", f"variable.{name}"] = {
                **facts.get(("variable", f"variable.{name}"), {}),
                "default": value,
            }
    return facts


def _setting(root: Path) -> list[Path]:
    """Files that give inputs their values, in the order in which the last one counts."""
    plain = [root / name for name in ("terraform.tfvars", "terraform.tfvars.json")]
    others = sorted([*root.glob("*.auto.tfvars"), *root.glob("*.auto.tfvars.json"), *root.glob("Pulumi.*.yaml")])
    return [path for path in (*plain, *others) if path.is_file()]


def _told(planned: Facts, recorded: Facts, there: Facts) -> Iterator[tuple[_Weight, str, str]]:
    """Weight, name and words of each difference of a root; without a record, edits are told by code generated anew."""
    generated = recorded or planned
    for name, words in _other_groups(planned, there):
        yield _Weight.PLANNED, name, words
    for subject in sorted({*planned, *generated, *(subject for subject in there if subject[0] == _VARIABLE)}):
        last, own = generated.get(subject, ABSENT), there.get(subject, ABSENT)
        if own is ABSENT:
            if _is_missing(subject, planned.get(subject, ABSENT), last):
                yield (
                    _weight(subject, (), bool(recorded)),
                    subject[1],
                    "is in the code of the plan and not in the directory",
                )
            continue
        last = {} if last is ABSENT and subject[0] == _VARIABLE else own if last is ABSENT else last
        of_plan = (each for each in differences(planned.get(subject, own), own) if _is_stated(subject, each[0]))
        edits = (each for each in differences(last, own) if not _is_stated(subject, each[0]))
        by_weight: dict[_Weight, list[Difference]] = {}
        for each in filter(lambda each: _counts(subject, each), (*of_plan, *edits)):
            by_weight.setdefault(_weight(subject, each[0], bool(recorded)), []).append(each)
        yield from ((weight, subject[1], words_of(by_weight[weight])) for weight in sorted(by_weight))


def _other_groups(planned: Facts, there: Facts) -> Iterator[tuple[str, str]]:
    for kind in _GROUPS:
        in_plan, in_code = ({name for of_kind, name in facts if of_kind == kind} for facts in (planned, there))
        others = " and ".join(sorted(in_code - in_plan))
        for name in sorted(in_plan - in_code):
            yield name, "is in the plan and not in the code" + (f", which has {others}" if others else "")
        if others and not in_plan - in_code:
            yield others, "is in the code and not in the plan"


def _is_missing(subject: Subject, planned: object, last: object) -> bool:
    """Whether something that is not there is part of the code of the plan, and was generated or is stated by it."""
    kind, _ = subject
    if planned is ABSENT or kind not in ("resource", "module", "file"):
        return False
    if last is not ABSENT or kind != "file":
        return last is not ABSENT or _is_stated(subject, ())
    return any(_is_stated(subject, path) for path, *_ in differences(planned, ABSENT))


def _is_stated(subject: Subject, path: tuple[str, ...]) -> bool:
    """Whether a plan states the value at a path in a subject; without a path, whether it states that it is there."""
    kind, name = subject
    if kind == "file":
        return is_object(name) and (not path or not _OF_PODS.isdisjoint(path))
    if kind != "resource":
        return bool(path) and path[0] in _FACTS.get(kind, ())
    of_type = name.partition(".")[0]
    if not path:
        return of_type in RULES or bool(_SCALING.search(of_type))
    return of_type in RULES and ".".join(path) in RULES[of_type].arguments


def _counts(subject: Subject, difference: Difference) -> bool:
    """Whether a difference is more than the user's to choose: a greater maximum, what is added, values of inputs."""
    kind, name = subject
    path, expected, there = difference
    if kind == _VARIABLE and path[:1] == ("default",):
        return name.removeprefix(f"{_VARIABLE}.") in inputs_of_plan()
    if expected is ABSENT and is_object(name):
        return len(path) > 1 and path[-1] != _KEPT_BESIDE
    if path[-1:] == ("resources",) and isinstance(expected, list) and isinstance(there, list):
        return not set(map(str, expected)) <= set(map(str, there))
    may_be_greater = bool(path) and (path[-1].startswith("max") or path[-1].endswith("_gib"))
    return not (may_be_greater and isinstance(expected, int) and isinstance(there, int) and there > expected)


def _weight(subject: Subject, path: tuple[str, ...], is_recorded: bool) -> _Weight:  # noqa: FBT001
    kind, name = subject
    if _is_stated(subject, path):
        return _Weight.PLANNED
    label = f"{kind}.{name}" if kind in ("local", *_FACTS) else name
    is_input = kind == _VARIABLE and path[:1] == ("default",)
    is_beside = (
        not is_recorded
        or (kind == _VARIABLE and not is_input)
        or not _BESIDE.isdisjoint((kind, name, *path))
        or any(part.endswith("_alarms") for part in path)
        or (kind == "resource" and path[:1] in _NAMES)
        or (kind == "file" and path[1:3] in _NAMES)
        or _BESIDE_KINDS.search(label) is not None
    )
    return _Weight.BESIDE if is_beside and not is_input else _Weight.RUNS
