"""The stages in order: plan → choice → stacks → cut-over from what runs → code → check.

Files are checked one by one before they are written: text, secrets and syntax. Names, and what the providers take, are
checked by the tests of the templates and by ``terraform validate``.
"""

import ast
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from advisor.catalog import Catalog
from advisor.codegen import revisions
from advisor.codegen.container import Form, Language, Wanted
from advisor.codegen.cut_over import (
    check_program,
    left_behind,
    left_out,
    notes_of_hand_over,
    rollout_of,
    staged,
    with_hand_overs,
    with_names_apart,
    words,
)
from advisor.codegen.cut_over_words import notes_of, unweighting
from advisor.codegen.forms import adapted
from advisor.codegen.hcl import read_hcl
from advisor.codegen.inputs.table import EVERY, declared_inputs
from advisor.codegen.kept import growing, joint, moving, recommitting, releasing, renaming, repinning, stating, widening
from advisor.codegen.model import Component, ComputeGroup, Stack
from advisor.codegen.registries import IMAGES, images_of, pinned
from advisor.codegen.rollout import AT_ONCE, Former, Rollout, former_engines, former_regions, successors
from advisor.codegen.selection import Choice, choose, reason_against
from advisor.codegen.service_costs import at_service_prices
from advisor.codegen.serving import check_wanted, planned_engine, without_cache
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import cluster_of, obstacle_on, target_of, targets_of
from advisor.codegen.targets.managed_kubernetes import with_own_namespace
from advisor.errors import AdvisorError, InputError
from advisor.plan.document import as_written, plan_to_json
from advisor.plan.values import Plan
from advisor.records import dataclass, field, replace

_SECRETS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a hub token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
}
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_KUBERNETES = "kubernetes/"
_CHART_VALUES = "values.yaml"
"""What a Helm chart is given is not an object."""
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Fault of generated code, and its place."""

    path: str
    line: int
    """From 1; 0: the file as a whole."""
    message: str

    def __str__(self) -> str:
        """``path:line: message``."""
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class UnsoundCode(AdvisorError):  # noqa: N818 - what it says of the code
    """Generated code that does not pass its check: a fault of this program, or of a template that was changed."""

    exit_code = 3


def check_files(files: Mapping[str, str]) -> None:
    """Refuse files (relative path → text) that are unsound. Raises UnsoundCode with each finding and its place."""
    faults = sorted(findings_of_files(files), key=lambda fault: (fault.path, fault.line))
    if not faults:
        return
    shown = "\n  ".join(map(str, faults[:_MOST_SHOWN]))
    more = f"\n  and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
    raise UnsoundCode(
        f"the generated code does not pass its own check, so nothing is written:\n  {shown}{more}",
        hint="please report it with the plan; --option RANK generates another option",
    )


def findings_of_files(files: Mapping[str, str]) -> Iterator[Finding]:
    """Findings in each file by itself."""
    for path, text in files.items():
        yield from _path(path)
        if not text.endswith("\n"):
            yield Finding(path, 0, "does not end with a line end")
        for number, line in enumerate(text.splitlines(), start=1):
            odd = {c for c in line if c in _BIDIRECTIONAL or (unicodedata.category(c) == "Cc" and c != "\t")}
            if odd:
                yield Finding(path, number, f"holds the control character U+{ord(min(odd)):04X}")
            for what, pattern in _SECRETS.items():
                if pattern.search(line):
                    yield Finding(path, number, f"holds what looks like {what}")
        read = _SYNTAXES.get(PurePosixPath(path).suffix)
        if read is not None:
            yield from read(path, text)


def _path(path: str) -> Iterator[Finding]:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        yield Finding(path, 0, "is outside the directory")


def _python(path: str, text: str) -> Iterator[Finding]:
    try:
        ast.parse(text)
    except SyntaxError as error:
        yield Finding(path, error.lineno or 0, f"is not valid Python: {error.msg}")


def _hcl(path: str, text: str) -> Iterator[Finding]:
    try:
        read_hcl(text, path)
    except InputError as error:
        line = error.where.rpartition(":")[2]
        yield Finding(path, int(line) if line.isdigit() else 0, error.message)


def _json(path: str, text: str) -> Iterator[Finding]:
    try:
        json.loads(text)
    except ValueError as error:
        yield Finding(path, getattr(error, "lineno", 0), f"is not valid JSON: {error}")


def _yaml(path: str, text: str) -> Iterator[Finding]:
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield Finding(path, mark.line + 1 if mark else 0, "is not valid YAML")
        return
    if _KUBERNETES in path and not path.endswith(_CHART_VALUES):
        for document in documents:
            yield from _manifest(path, document)


def _manifest(path: str, document: object) -> Iterator[Finding]:
    """A Kubernetes object says what it is and what it is called."""
    if not isinstance(document, dict):
        yield Finding(path, 0, "holds a document that is not a Kubernetes object")
        return
    missing = [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str)]
    if document.get("kind") not in ("Kustomization", "Component") and not (document.get("metadata") or {}).get("name"):
        missing.append("metadata.name")
    if missing:
        yield Finding(path, 0, f"holds a Kubernetes object without {' and '.join(missing)}")


_SYNTAXES: Mapping[str, Callable[[str, str], Iterator[Finding]]] = {
    ".hcl": _hcl,
    ".py": _python,
    ".tf": _hcl,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
}
_MOST_REGIONS = 3


def check_available(stacks: Iterable[Stack], catalog: Catalog) -> tuple[str, ...]:
    """Warnings about what the catalog does not know.

    Raises InputError if the catalog lists the type, and not in that region; the hint names the nearest regions that
    have it.
    """
    places = dict.fromkeys(
        (stack.provider, group.region, group.instance_type)
        for stack in stacks
        for group in stack.groups
        if not group.is_serverless
    )
    return tuple(warning for place in places if (warning := _warning(*place, catalog)))


def _warning(provider: str, region: str, instance_type: str, catalog: Catalog) -> str:
    """Warning of what is unknown about a place; "" when it is on sale there."""
    offers = catalog.offers_in([provider])
    if (provider, instance_type) in catalog.cpu_instances:
        offers = catalog.cpu_offers(provider, instance_type)
    of_type = {offer.region for offer in offers if offer.instance_type == instance_type}
    if region in of_type:
        return ""
    if not of_type:
        return f"the catalog does not know where {provider} sells {instance_type}: check {region}"
    if (provider, region) not in catalog.regions:
        return f"the catalog does not know {region} of {provider}: check that it has {instance_type}"
    trips = {other: catalog.geography.between_regions(provider, region, other) for other in of_type}
    # The shortest round trips first; regions of unknown place last.
    nearest = sorted((float("inf") if trip is None else trip.rtt_ms, other) for other, trip in trips.items())
    raise InputError(
        f"{region} does not have {instance_type}",
        hint=f"{provider} sells it in {', '.join(other for _, other in nearest[:_MOST_REGIONS])}; make the plan again "
        "with those regions, or generate another type with --option RANK",
    )


_RESTS_ON = "The plan rests on one entrance that sends requests to the replicas in turn, or to the least loaded of all"
_NODES = (
    "A load balancer of AWS has a node in each zone, and each counts by itself: fewer requests are within the target."
)
_SERVICES = (
    "A Service of Kubernetes chooses at random, by which more requests wait: set the Gateway to round robin or "
    "least requests of all replicas."
)


def with_balancing(stack: Stack, *, is_cluster: bool) -> Stack:
    """The stack that says what its plan rests on, where what stands in front of several replicas falls short of it."""
    replicas = sum(group.instances * group.replicas_per_instance for group in stack.groups)
    in_front = _SERVICES if is_cluster else _NODES if stack.target == "ec2" else ""
    if not stack.unit.is_one_pass or replicas == 1 or not in_front:
        return stack
    return stack.with_cautions(f"{_RESTS_ON}. {in_front}")


_BOTH_DO_NOT_FIT = (
    "finish the cut-over under way first (--cut-over shift, apply, --cut-over finish), plan with fewer kinds of "
    f"machines, or generate into another directory; {AT_ONCE}"
)

_UNKNOWN_FORMER = (
    "an older version generated what runs here: groups that the plan no longer has go in the same apply that makes the "
    "new ones; to cut over in stages, generate the former plan once more first"
)


@dataclass(frozen=True, slots=True)
class Generated:
    """Code for a plan."""

    files: Mapping[str, str]
    """Relative path → text; with several clouds or services, each in a folder of its name."""
    roots: tuple[str, ...]
    """Folders that hold a root; "": the directory itself."""
    targets: tuple[str, ...]
    plan_digest: str
    warnings: tuple[str, ...]
    """For people, before they merge."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """Root → what its code holds, for the next run."""
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Root → old key → new key of what goes on under another one, for roots whose last rollout is known."""
    successors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Root → key of what retires → key of what takes its place."""
    former_regions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Root → new region → the one that its groups take over from."""
    former_engines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Root → key → engine of what it follows, where that is another one."""
    left_out: frozenset[str] = frozenset()
    """Keys of groups and backends, and names of regions, that retired and are no longer part of the code."""
    notes: tuple[str, ...] = ()
    """What retires, what that costs, and the next command."""
    images: tuple[str, ...] = ()
    """Those that a tag names, without their digests."""
    models: tuple[str, ...] = ()
    """Those of the hub."""
    former_state: str = ""
    """State of the directory that the code goes on from; "": of none."""
    unused_inputs: frozenset[str] = frozenset()
    """Rare inputs that were asked for, and that the code does not take."""


def generate(
    plan: Plan,
    language: Language = Language.TERRAFORM,
    wanted: Wanted | None = None,
    catalog: Catalog | None = None,
    former: Former | None = None,
) -> Generated:
    """The code that deploys *plan*.

    *catalog*: which regions have which types; None: that is not checked. *former*: what earlier runs left in the
    directory that the code is for; None: it is for an empty one.

    Raises:
        InputError: nothing that this program writes can serve the plan as it is wanted, or replace what runs without
            an outage; the message says why.
        NotDeployable: no generated code can start what is planned.
        UnsoundCode: the code does not pass its own check.
    """
    wanted, former = wanted or Wanted(), former or Former()
    check_wanted(wanted)
    check_program(language, former, as_component=wanted.as_component)
    asked, is_short = wanted.inputs, wanted.as_component and language is Language.PYTHON
    # The settings of a short program are of this package: its directory does not say which of them are set.
    was_short = bool(former.as_component) and former.language is language is Language.PYTHON
    wanted = replace(wanted, inputs=asked | ({EVERY} if is_short or was_short else set()))
    # A plan in memory and a plan from a file give the same bytes.
    plan = as_written(plan)

    attempts: list[tuple[tuple[Stack, ...], tuple[str, ...], Mapping[str, Mapping[str, str]]]] = []

    def attempt(choice: Choice) -> None:
        stacks = _stacks(plan, choice, wanted, former, is_short=is_short)
        unknown = () if catalog is None else check_available(stacks, catalog)
        attempts.append((stacks, unknown, _rendered(stacks, language)))

    choice = choose(plan, wanted, reason_against(attempt))
    planned, unknown, rendered = attempts[-1]
    roots = _roots(planned)
    rollouts = {root: rollout_of(stack, root, former, language) for root, stack in zip(roots, planned, strict=True)}
    stacks = tuple(_staged(stack, rollouts[root]) for root, stack in zip(roots, planned, strict=True))
    gone = [group for root, rollout in rollouts.items() for group in left_out(former.rollouts.get(root), rollout)]
    pairs = {
        root: (former.rollouts[root].planned, now.planned) for root, now in rollouts.items() if root in former.rollouts
    }
    succession = {root: successors(*pair, rollouts[root].renamed) for root, pair in pairs.items()}
    # Of another plan, whose groups are not known, none is kept beside the new ones.
    unknown_roots = [root for root in roots if root in former.roots and root not in former.rollouts]
    unpinned = _unpinned(plan, choice, wanted)
    images, models = images_of(unpinned), revisions.models_of(unpinned)
    left = left_behind(former, roots)
    texts = _joined(rendered if stacks == planned else _rendered(stacks, language))
    files = {
        **with_hand_overs(texts, dict(zip(roots, stacks, strict=True)), left, language),
        **IMAGES.written(images, wanted.digests),
        **revisions.MODELS.written(models, wanted.commits),
    }
    check_files(files)
    return Generated(
        files=files,
        roots=tuple(sorted(roots)),
        targets=tuple(stack.target for stack in stacks),
        plan_digest=stacks[0].plan_digest,
        images=images,
        models=models,
        warnings=(
            *_engine_warnings(choice, wanted),
            *_weights_warnings(planned),
            *filter(None, (stack.budget.difference for stack in planned)),
            *((_UNKNOWN_FORMER,) if unknown_roots and former.plan_digest != planned[0].plan_digest else ()),
            *_changed_warnings(rollouts, former),
            *unknown,
        ),
        rollouts=rollouts,
        renamed={root: rollout.renamed for root, rollout in rollouts.items() if root in former.rollouts},
        successors=succession,
        former_regions={root: former_regions(*pair, succession[root]) for root, pair in pairs.items()},
        former_engines={
            root: former_engines(*pair, {**succession[root], **rollouts[root].renamed}) for root, pair in pairs.items()
        },
        left_out=frozenset(name for group in gone for name in (group.key, group.backend, group.region)).difference(
            region.name for stack in stacks for region in stack.regions
        ),
        former_state=former.state,
        unused_inputs=frozenset() if is_short else unused_inputs(asked, files),
        notes=(
            *notes_of_hand_over(roots, left),
            *_unused_clusters(plan, planned),
            *(
                tuple(note for stack in stacks for note in notes_of(target_of(stack).completed(stack)))
                or _nothing_retires(former, gone)
            ),
        ),
    )


def _unused_clusters(plan: Plan, stacks: Sequence[Stack]) -> Iterator[str]:
    """Notes on a cluster of the workload where its code starts no nodes, and what would."""
    is_there = bool(plan.workload.get("existing_cluster"))
    for stack in stacks if is_there and not any(target_of(each).is_cluster for each in stacks) else ():
        cluster = cluster_of(stack.provider)
        used = f"; --target {cluster} uses it" if cluster and not obstacle_on(stack, cluster) else ""
        yield f"existing_cluster: no effect, since the plan runs on {target_of(stack).title}{used}"


def unused_inputs(asked: frozenset[str], files: Mapping[str, str]) -> frozenset[str]:
    """Names of inputs that were asked for, and that no file declares."""
    return asked - declared_inputs(files.values()) - {EVERY}


def _staged(stack: Stack, rollout: Rollout) -> Stack:
    """The stack with what retires beside it, where its target takes both."""
    both = staged(stack, rollout)
    try:
        target = target_of(both)
    except InputError as error:
        kinds = f"{len(both.groups)} groups run until the cut-over is finished, of which {len(rollout.retiring)} retire"
        raise InputError(f"{error.message} ({kinds})", where=error.where, hint=_BOTH_DO_NOT_FIT) from error
    return target.with_quotas(both)


def _engine_warnings(choice: Choice, wanted: Wanted) -> tuple[str, ...]:
    """Warnings where the plan predicted for its own engine alone."""
    planned = sorted({f"{member.serves.engine} {member.serves.engine_version}".strip() for member in choice.members})
    if wanted.engine is None or all(planned_engine(member.serves) is wanted.engine for member in choice.members):
        return ()
    return (f"the plan predicts {' and '.join(planned)}; measure {wanted.engine.value} before relying on its numbers",)


def _weights_warnings(stacks: tuple[Stack, ...]) -> tuple[str, ...]:
    """Repositories that the code takes quantised weights from: the plan knows their names, not their answers."""
    checkpoints = {
        (backend.container.checkpoint.model_id or stack.summary.model, stack.summary.model)
        for stack in stacks
        for backend in stack.backends
    }
    return tuple(
        f"the weights come from {repository}, quantised from {model}: measure their answers, or name others"
        for repository, model in sorted(checkpoints)
        if repository != model
    )


def _changed_warnings(rollouts: Mapping[str, Rollout], former: Former) -> Iterator[str]:
    """Warnings of groups in other or more zones, or with a number that changes later, and of another model's name."""
    for root, rollout in rollouts.items():
        if root in former.rollouts:
            runs, ran = joint(rollout), joint(former.rollouts[root])
            yield from (
                *moving(runs, ran),
                *(() if rollout.stage else widening(runs, ran)),
                *stating(runs, ran),
                *releasing(runs, ran),
                *unweighting(runs, ran),
                *renaming(rollout.planned, former.rollouts[root].planned),
                *repinning(rollout.planned, former.rollouts[root]),
                *recommitting(rollout.planned, former.rollouts[root].planned),
                *growing(runs, ran, rollout.renamed),
            )


def _nothing_retires(former: Former, gone: Sequence[ComputeGroup]) -> tuple[str, ...]:
    """Notes on a stage that was asked for where every group is part of the plan."""
    if gone:
        return (f"cut-over finished: the next apply removes {words(gone)}",)
    if former.stage is not None and any(rollout.before for rollout in former.rollouts.values()):
        return ("cut-over finished: the next apply brings all to the planned sizes and shares",)
    return () if former.stage is None else (f"nothing retires: --cut-over {former.stage} changes nothing",)


def beside_total(plan: Plan, wanted: Wanted | None = None) -> tuple[str, ...]:
    """Sentences on what the code costs beside the plan's total; none where no code starts it."""
    plan, wanted = as_written(plan), wanted or Wanted()
    try:
        choice = choose(plan, wanted, reason_against(lambda choice: _stacks(plan, choice, wanted)))
    except AdvisorError:
        return ()
    return tuple(
        told
        for stack in _stacks(plan, choice, wanted)
        for told in (stack.budget.difference, *_further(target_of(stack).completed(stack), stack))
        if told
    )


def own_targets(plan: Plan, rank: int | None = None) -> tuple[str, ...]:
    """Targets that a plan, or its option of a rank, comes to where none is asked for; none where there is no code."""
    plan, wanted = as_written(plan), Wanted(rank=rank, unconfirmed=True)
    try:
        return tuple(stack.target for stack in _unpinned(plan, choose(plan, wanted, lambda _: None), wanted))
    except AdvisorError:
        return ()


def _further(completed: Stack, stack: Stack) -> Iterator[str]:
    """Cautions that a target adds to those of a stack."""
    return (caution for caution in completed.summary.cautions if caution not in stack.summary.cautions)


def _stacks(
    plan: Plan, choice: Choice, wanted: Wanted, former: Former | None = None, *, is_short: bool = False
) -> tuple[Stack, ...]:
    """Stacks of a choice, with the inputs that their roots have, and its names (a short program: the plan's)."""
    former = former or Former()
    unnamed = _unpinned(plan, choice, wanted)
    roots = _roots(unnamed)
    named = with_names_apart(unnamed, roots, Former() if is_short else former)
    again = (
        stack if stack.name == own.name else as_run(stack, wanted) for stack, own in zip(named, unnamed, strict=True)
    )
    stacks = tuple(
        replace(stack, inputs=stack.inputs | former.inputs_of(root, stack.provider))
        for root, stack in zip(roots, (_pinned(stack, wanted) for stack in again), strict=True)
    )
    return _as_components(stacks, plan, wanted) if wanted.as_component else stacks


def _pinned(stack: Stack, wanted: Wanted) -> Stack:
    """The stack with images by digest and models by commit, where one is known."""
    return revisions.at_commits(pinned(stack, wanted.digests), wanted.commits)


def _unpinned(plan: Plan, choice: Choice, wanted: Wanted) -> tuple[Stack, ...]:
    stacks = tuple(as_run(stack, wanted) for stack in stacks_of(plan, choice, wanted))
    return tuple(at_service_prices(stack, plan, choice, is_whole=len(stacks) == 1) for stack in stacks)


def as_run(stack: Stack, wanted: Wanted) -> Stack:
    """The stack as its target and form run it."""
    target = target_of(stack)
    named = with_own_namespace(stack) if target.is_cluster else stack
    formed = target.with_quotas(replace(named, target=target.name, check=target.check, form=wanted.form))
    run = adapted(formed, is_cluster=target.is_cluster, image=wanted.image)
    return with_balancing(run, is_cluster=target.is_cluster)


def _as_components(stacks: tuple[Stack, ...], plan: Plan, wanted: Wanted) -> tuple[Stack, ...]:
    """Each with the plan and what it takes of it."""
    text = json.dumps(json.loads(plan_to_json(plan)), indent=1) + "\n"
    form = "" if wanted.form is Form.MANIFESTS else wanted.form.value
    engine = wanted.engine and wanted.engine.value
    asked = {"option": wanted.rank, "engine": engine, "image": wanted.image, "form": form}
    cautions = []
    for stack, name in zip(stacks, _roots(stacks), strict=True):
        parts = {"target": wanted.target, "part": name} if len(stacks) > 1 else {"target": stack.target}
        chosen = {key: value for key, value in {**parts, **asked}.items() if value}
        cautions.append(replace(stack, component=Component(text, chosen)))
    return tuple(cautions)


def _rendered(stacks: tuple[Stack, ...], language: Language) -> Mapping[str, Mapping[str, str]]:
    """Name of the root → files."""
    rendered = {}
    for stack, name in zip(stacks, _roots(stacks), strict=True):
        target = target_of(stack)
        render = target.renderers.get(language)
        if render is None:
            others = [other.name for other in targets_of(stack.provider) if language in other.renderers]
            raise InputError(
                f"{target.title} is not written in {language.value}",
                hint=f"it is in {', '.join(written.value for written in target.renderers)}; "
                f"in {language.value} try --target {' or '.join(others)}",
            )
        held = stack if target.takes_cache else without_cache(stack, target.title)
        rendered[name] = render(target.completed(held))
    return rendered


def _roots(stacks: tuple[Stack, ...]) -> list[str]:
    """Folder of each root: the directory itself for one; else the cloud, with the target where a cloud has several."""
    if len(stacks) == 1:
        return [""]
    counts = Counter(stack.provider for stack in stacks)
    return [f"{stack.provider}-{stack.target}" if counts[stack.provider] > 1 else stack.provider for stack in stacks]


def _joined(rendered: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    return {
        f"{root}/{path}".removeprefix("/"): text
        for root, files in sorted(rendered.items())
        for path, text in files.items()
    }
