"""The whole of generated code as it lies there, against what was generated: for its plan, and by its record.

What a plan states is held against code that is generated anew of the plan. All else is held against the record of the
directory, since another release generates other code of the same plan: whatever differs there was edited.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path, PurePosixPath

from advisor.checks.code_facts import (
    ABSENT,
    VARIABLE,
    Difference,
    Facts,
    Subject,
    differences,
    facts_of,
    is_object,
    overridden,
    settings_of,
    words_of,
)
from advisor.codegen.applying.rules import RULES
from advisor.codegen.container import Language, Wanted
from advisor.codegen.generate import Generated, generate
from advisor.codegen.hcl import read_hcl
from advisor.codegen.inputs.table import inputs_of_plan
from advisor.codegen.rollout import Former
from advisor.codegen.selection import of_fleet
from advisor.codegen.stack import digest_of
from advisor.codegen.targets import targets_of
from advisor.codegen.writing.checkout import checkout_of
from advisor.codegen.writing.kustomizations import KUSTOMIZATION, with_names
from advisor.codegen.writing.record import read_record
from advisor.errors import AdvisorError
from advisor.plan.values import Plan
from advisor.reading import check_regular, read_text
from advisor.records import dataclass, replace

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
_NAMES = ("name", "name_prefix", "display_name", "labels")
"""Arguments that name what runs."""
_TAGGED = ("aws_", "azurerm_")
"""First words of resources whose tags are names: elsewhere firewalls and routes go by them."""
_META_ARGUMENTS = frozenset(("count", "for_each", "provider", "depends_on"))
"""Arguments of Terraform's own, which decide whether and where a resource is."""
_SET_UP_KINDS = ("Kustomization", "Component")
_OF_CLUSTER = (("metadata", "annotations"), ("metadata", "labels"), ("spec", "parentRefs"), ("spec", "hostnames"))
"""Places in objects that are filled in for a cluster."""
_PLACEHOLDER = "set-"
"""Start of a value in generated objects that its user is to replace."""
_BESIDE_KINDS = re.compile(
    r"^(output|data)\.|_(iam|kms|cloudwatch_(metric|log)|sns|ce|budgets|monitoring|role_assignment|"
    r"monitor_(metric|scheduled|diagnostic|data|action)|log_analytics|consumption|billing|security_group|firewall|"
    r"network_security|user_assigned_identity|service_account|secret_manager|federated_identity)(_|\.)|"
    r"(^|/)(monitoring|alerts|budget|identity|policies|encryption|settings|checks|configuration)\.py|kubernetes/.*\.sh$|\.txt$|"
    r"(^|/)kubernetes/(weights/|.*prometheus-rule\.yaml$)|^local\.\w*(alarm|alert|metric|dashboard|budget|tags|labels|name$)"
)
"""Resources, files and values of what watches, permits and names: the user's to edit."""
_NOT_CODE = re.compile(
    r"(^|/)(tests|examples)/|\.(md|toml|json|example|hcl)$|(^|/)(Pulumi\.[\w-]*\.?yaml|\.trivyignore\.yaml)$"
)
"""Files that deploy nothing, and the configuration of a stack, which is the user's."""
_OVERRIDE = re.compile(r"(^|_)override\.tf$")
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


def is_code_of(plan: Plan, former: Former) -> bool:
    """Whether the code of a directory was generated of this very plan, as its record says."""
    return plan.fleet is not None and former.plan_digest == digest_of(plan, of_fleet(plan.fleet))


def compare(plan: Plan, infra: Path, former: Former) -> Comparison:
    """Differences of generated code in *infra* from code that is generated of *plan* for the same target.

    Raises InputError if a file cannot be read, or is not valid.
    """
    if any(rollout.before is not None for rollout in former.rollouts.values()):
        return Comparison((), (f"{NOT_COMPARED}: a cut-over is under way",))
    generated = _generated(plan, infra, former)
    if generated is None:
        return Comparison((), (f"{NOT_COMPARED}: it is like no code that is generated of this plan",))
    objects = {path for path in generated.files if is_object(path)}
    is_compared = not objects or (bool(former.rollouts) and any((infra / path).is_file() for path in objects))
    files = {path: text for path, text in generated.files.items() if is_compared or path not in objects}
    folders = {PurePosixPath(path).parent for path in files}
    checkout = checkout_of(infra, read_record(infra), files)
    last = {path: text for path, text in checkout.last().items() if PurePosixPath(path).parent in folders}
    # The settings of a short program are of this package: a whole one declares them.
    is_short = former.language is Language.PYTHON and bool(former.as_component)
    whole = _generated(plan, infra, replace(former, as_component=False)) if is_short else None
    told: list[tuple[_Weight, str, str]] = []
    for root in generated.roots:
        prefix = f"{root}/" if root else ""
        texts, recorded = (_of_root(each, prefix) for each in (files, last))
        planned, there = _facts(texts), _there(infra / root, {*texts, *recorded}, _of_root(checkout.places, prefix))
        declared = _facts(_of_root(whole.files, prefix)) if whole else planned
        of_root = (*_told(planned, _facts(recorded), there), *_given(declared, infra / root))
        told += [(weight, f"{prefix}{name}", words) for weight, name, words in of_root]
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
    """Code of a plan for the target of a directory; None where that is not known, or cannot be generated.

    Code of this very plan goes on from what it followed, as another run would write it.
    """
    recorded = set(former.targets.values())
    providers = sorted({group.provider for group in plan.fleet.groups}) if plan.fleet else []
    names = [target.name for target in targets_of(providers[0])] if len(providers) == 1 else [""]
    attempts, anew = [], Former(inputs=former.inputs)
    for name in [*recorded] if len(recorded) == 1 else [""] if recorded else names:
        wanted = Wanted(target=name, form=former.form, as_component=bool(former.as_component), unconfirmed=True)
        for before in (former, anew) if is_code_of(plan, former) else (anew,):
            try:
                attempt = generate(plan, former.language or Language.TERRAFORM, wanted, former=before)
            except AdvisorError:
                continue
            if all(rollout.before is None for rollout in attempt.rollouts.values()):
                attempts.append(attempt)
                break
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


def _there(root: Path, paths: Iterable[str], places: Mapping[str, str]) -> Facts:
    """Values of the files of a root as they lie there, its override files last.

    *places*: file of its code → the one of its folder that holds it under another name.
    """
    held = {name: str(PurePosixPath(name).with_name(PurePosixPath(place).name)) for name, place in places.items()}
    as_generated = {PurePosixPath(own).name: PurePosixPath(name).name for name, own in held.items()}
    names = {path.name for path in root.glob("*.tf")} | {
        name for name in paths if (root / held.get(name, name)).is_file()
    }
    facts: Facts = {}
    for name in sorted(names, key=lambda name: (bool(_OVERRIDE.search(name)), name)):
        file = root / held.get(name, name)
        text = _read(file)
        if file.name == KUSTOMIZATION:
            text = with_names(text.encode(), as_generated).decode()
        own = facts_of(text, name, str(file))
        facts = overridden(facts, own) if _OVERRIDE.search(name) else {**facts, **own}
    return facts


def _given(declared: Facts, root: Path) -> Iterator[tuple[_Weight, str, str]]:
    """Values that an input which the plan rests on is given in files of variables, and in each stack of Pulumi."""
    files = {path.name: settings_of(_read(path), path.name) for path in _setting(root)}
    last = {name: file for file, values in files.items() if not file.endswith(".yaml") for name in values}
    for file, values in files.items():
        for name in sorted(inputs_of_plan() & values.keys()):
            subject = (VARIABLE, f"{VARIABLE}.{name}")
            if subject in declared and last.get(name, file) == file:
                of_file = differences(declared[subject].get("default", ABSENT), values[name])
                if told := [each for each in of_file if _counts(subject, (("default", *each[0]), *each[1:]))]:
                    yield _Weight.RUNS, f"{file}:{name}", words_of(told)


def _setting(root: Path) -> list[Path]:
    """Files that give inputs their values, in the order in which the last one counts."""
    plain = [root / name for name in ("terraform.tfvars", "terraform.tfvars.json")]
    others = sorted([*root.glob("*.auto.tfvars"), *root.glob("*.auto.tfvars.json"), *root.glob("Pulumi.*.yaml")])
    return [path for path in (*plain, *others) if path.is_file()]


def _told(planned: Facts, recorded: Facts, there: Facts) -> Iterator[tuple[_Weight, str, str]]:
    """Weight, name and words of each difference of a root; without a record, edits are told by code generated anew."""
    generated = recorded or planned
    yield from ((_Weight.PLANNED, name, words) for name, words in _other_groups(planned, there))
    for subject in sorted({*planned, *generated}):
        last, own = generated.get(subject, ABSENT), there.get(subject, ABSENT)
        if own is ABSENT:
            if _is_missing(subject, planned.get(subject, ABSENT), last, there):
                is_of_plan = last is ABSENT or not recorded
                told = "is in the code of the plan and" if is_of_plan else "was generated and is"
                yield _weight(subject, ((), last, ABSENT), bool(recorded)), subject[1], f"{told} not in the directory"
            continue
        last = own if last is ABSENT else last
        of_plan = (each for each in differences(planned.get(subject, own), own) if _is_stated(subject, each[0]))
        edits = (each for each in differences(last, own) if not _is_stated(subject, each[0]))
        by_weight: dict[_Weight, list[Difference]] = {}
        for each in filter(lambda each: _counts(subject, each), (*of_plan, *edits)):
            by_weight.setdefault(_weight(subject, each, bool(recorded)), []).append(each)
        yield from ((weight, subject[1], words_of(by_weight[weight])) for weight in sorted(by_weight))


def _other_groups(planned: Facts, there: Facts) -> Iterator[tuple[str, str]]:
    """Entries of data that the plan has and the code has not, and the reverse."""
    for kind in _FACTS:
        in_plan, in_code = ({name for of_kind, name in facts if of_kind == kind} for facts in (planned, there))
        others = " and ".join(sorted(in_code - in_plan))
        if not in_code and kind not in _GROUPS:
            continue
        for name in sorted(in_plan - in_code):
            yield name, "is in the plan and not in the code" + (f", which has {others}" if others else "")
        if others and not in_plan - in_code:
            yield others, "is in the code and not in the plan"


def _is_missing(subject: Subject, planned: object, last: object, there: Facts) -> bool:
    """Whether something that is not there was generated, or is stated by the plan; what a file holds goes with it."""
    kind, name = subject
    file, _, part = name.partition(":")
    if kind == "python" and part and (kind, file) not in there:
        return False
    if kind in _FACTS:  # told by their names, where there are any
        return last is not ABSENT and kind not in _GROUPS and all(kind != other for other, _ in there)
    if last is not ABSENT or kind not in ("resource", "module", "file"):
        return last is not ABSENT
    if kind != "file":
        return _is_stated(subject, ())
    return any(_is_stated(subject, path) for path, *_ in differences(planned, ABSENT))


def _is_stated(subject: Subject, path: tuple[str, ...]) -> bool:
    """Whether a plan states the value at a path in a subject; without a path, whether it states that it is there."""
    kind, name = subject
    if kind == "file":
        is_of_plan = is_object(name) and not _BESIDE_KINDS.search(name)
        return is_of_plan and (not path or not _OF_PODS.isdisjoint(path))
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
    if kind == VARIABLE and path[:1] == ("default",):
        is_none = expected is ABSENT and there == 0 and len(path) > 1
        return name.removeprefix(f"{VARIABLE}.") in inputs_of_plan() and not is_none
    if expected is ABSENT and is_object(name):
        return len(path) > 1 and path[-1] != _KEPT_BESIDE
    if path[-1:] == ("resources",) and isinstance(expected, list) and isinstance(there, list):
        return not set(map(str, expected)) <= set(map(str, there))
    may_be_greater = bool(path) and (path[-1].startswith("max") or path[-1].endswith("_gib"))
    return not (may_be_greater and isinstance(expected, int) and isinstance(there, int) and there > expected)


def _weight(subject: Subject, difference: Difference, is_recorded: bool) -> _Weight:  # noqa: FBT001
    kind, name = subject
    path, expected, _ = difference
    if _is_stated(subject, path):
        return _Weight.PLANNED
    if kind == VARIABLE and path[:1] == ("default",):
        return _Weight.RUNS
    label = f"{kind}.{name}" if kind in ("local", *_FACTS) else name
    is_beside = (
        not is_recorded
        or kind == VARIABLE
        or not _BESIDE.isdisjoint((kind, name, *path))
        or any(part.endswith("_alarms") for part in path)
        or (kind == "resource" and bool(path) and _is_of_user(name, path, expected))
        or (kind == "file" and len(path) > 1 and _is_set_up(path, expected))
        or _BESIDE_KINDS.search(label) is not None
    )
    return _Weight.BESIDE if is_beside else _Weight.RUNS


def _is_of_user(address: str, path: tuple[str, ...], expected: object) -> bool:
    """Whether an argument of a resource names it, or was added to those that were generated."""
    is_added = expected is ABSENT and len(path) == 1 and path[0] not in _META_ARGUMENTS
    return is_added or path[0] in _NAMES or (path[0] == "tags" and address.startswith(_TAGGED))


def _is_set_up(path: tuple[str, ...], expected: object) -> bool:
    """Whether a place in an object is filled in for its cluster, as generated files ask for."""
    kind = path[0].partition(" ")[0]
    if kind in _SET_UP_KINDS:
        return path[1] not in ("resources", "replicas")
    return path[1:3] in _OF_CLUSTER or (isinstance(expected, str) and expected.startswith(_PLACEHOLDER))
