"""Replacement: what the code of a plan does to what the code of an earlier plan runs, without writing either."""

from collections.abc import Callable, Iterator, Sequence

from advisor.catalog import Catalog
from advisor.codegen.container import Language, Wanted
from advisor.codegen.generate import Generated, generate
from advisor.codegen.model import ComputeGroup
from advisor.codegen.rollout import Deployed, Former, Rollout
from advisor.errors import AdvisorError
from advisor.plan.values import Plan
from advisor.records import dataclass, replace

_LAUNCHED = (
    "instance_type",
    "is_spot",
    "platform",
    "root_volume_gib",
    "replicas_per_instance",
    "accelerators_per_replica",
)
"""Fields of a group that its instances are started with; with another value they are replaced."""
_NAMED_FILES = 4
_WHATEVER = Wanted(unconfirmed=True)
"""Code of both plans is compared, whether or not their fleets should be started."""
_Pair = tuple[tuple[ComputeGroup, Deployed], tuple[ComputeGroup, Deployed]]
"""A group before and after, each with the root that holds it."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Groups and files that differ between the code of two plans; groups as people say them."""

    retires: tuple[str, ...] = ()
    """Kept beside the plan until `--cut-over finish`."""
    new: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    """Before and after, of groups that go on and whose instances are started anew."""
    resized: tuple[tuple[str, str], ...] = ()
    """Before and after, of groups that change in number or schedule alone."""
    files: tuple[str, ...] = ()
    """Paths that are created, changed or removed."""
    cache: str = ""
    """Response cache that comes, goes or changes, in words; "" where none does."""
    not_generated: str = ""
    """Why there is no code to compare; "" where there is."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The same in sentences, what goes first."""
        if self.not_generated:
            return (f"not compared: {self.not_generated}",)
        return (
            *(f"retires: {words}, beside the new ones until `--cut-over finish`" for words in self.retires),
            *(f"new: {words}" for words in self.new),
            *(f"replaces: {before} → {after}" for before, after in self.replaced),
            *(
                f"resizes: {before} → {after}" if before != after else f"runs in other hours: {after}"
                for before, after in self.resized
            ),
            *filter(None, (self.cache,)),
            self._file_words,
        )

    @property
    def _file_words(self) -> str:
        if not self.files:
            return "no file differs"
        more = ", …" if len(self.files) > _NAMED_FILES else ""
        return f"files: {len(self.files)} differ ({', '.join(self.files[:_NAMED_FILES])}{more})"


def replacement(before: Plan, after: Plan, language: Language, catalog: Catalog) -> Replacement:
    """Replacements in what the code of *before* deployed, when the code of *after* is applied."""
    try:
        former = generate(before, language, _WHATEVER, catalog)
        targets = {root: rollout.planned.target for root, rollout in former.rollouts.items()}
        left = Former(former.rollouts, targets, former.roots, former.plan_digest, language=language)
        now = generate(after, language, _WHATEVER, catalog, former=left)
    except AdvisorError as error:
        return Replacement(not_generated=error.message)
    # Of roots that the later code no longer has, all groups go.
    gone = [rollout.planned for root, rollout in former.rollouts.items() if root not in now.rollouts]
    going = [Rollout(replace(planned, groups=(), backends=()), before=planned) for planned in gone]
    rollouts = [*now.rollouts.values(), *going]
    kept = [pair for root, rollout in now.rollouts.items() for pair in _going_on(former.rollouts.get(root), rollout)]
    return Replacement(
        retires=tuple(described(group) for rollout in rollouts for group in rollout.retiring),
        new=tuple(described(group) for root, rollout in now.rollouts.items() for group in _new(root, rollout, former)),
        replaced=tuple(_pairs(kept, _is_replaced)),
        resized=tuple(_pairs(kept, _is_resized)),
        cache=_cache_words(before, after),
        files=tuple(
            sorted(path for path in {*former.files, *now.files} if former.files.get(path) != now.files.get(path))
        ),
    )


def _cache_words(before: Plan, after: Plan) -> str:
    """Nodes of the response cache that the later code adds, removes or puts in place of others."""
    caches = [plan.fleet and plan.fleet.response_cache for plan in (before, after)]
    was, now = (f"{cache.nodes_words} in {cache.region}" if cache else "" for cache in caches)
    if was == now:
        return ""
    if was and now:
        return f"response cache: {was} → {now}"
    return f"new response cache: {now}" if now else f"removes the response cache: {was}"


def _new(root: str, rollout: Rollout, former: Generated) -> Sequence[ComputeGroup]:
    """Groups of a root that the earlier code had not."""
    last = former.rollouts.get(root)
    if last is None:
        return rollout.planned.groups
    former_keys = {*(group.key for group in last.planned.groups), *rollout.renamed.values()}
    return [group for group in rollout.planned.groups if group.key not in former_keys]


def _going_on(last: Rollout | None, rollout: Rollout) -> Iterator[_Pair]:
    """Groups of both plans, under the same key or another one."""
    if last is None:
        return
    now = {group.key: group for group in rollout.planned.groups}
    for group in last.planned.groups:
        successor = now.get(rollout.renamed.get(group.key, group.key))
        if successor is not None:
            yield (group, last.planned), (successor, rollout.planned)


def _pairs(kept: Sequence[_Pair], holds: Callable[[_Pair], bool]) -> Iterator[tuple[str, str]]:
    for pair in kept:
        if holds(pair):
            (before, _), (after, _) = pair
            left = _left_types(pair) if before.instance_type == after.instance_type else []
            yield described(before), f"{described(after)}{', no longer as ' if left else ''}{' or '.join(left)}"


def _is_replaced(pair: _Pair) -> bool:
    before, after = pair
    return _launched(*before) != _launched(*after) or bool(_left_types(pair))


def _left_types(pair: _Pair) -> list[str]:
    """Types that instances of a group no longer start as: those that run as one are replaced."""
    (before, _), (after, _) = pair
    return [name for name in before.startable_types if name not in after.startable_types]


def _is_resized(pair: _Pair) -> bool:
    (before, _), (after, _) = pair
    return not _is_replaced(pair) and _sizes(before) != _sizes(after)


def _launched(group: ComputeGroup, deployed: Deployed) -> tuple[object, ...]:
    container = next((backend.container for backend in deployed.backends if backend.key == group.backend), None)
    return (*(getattr(group, name) for name in _LAUNCHED), container)


def _sizes(group: ComputeGroup) -> tuple[object, ...]:
    return group.instances, group.min_instances, group.max_instances, group.schedule


def described(group: ComputeGroup) -> str:
    """``2 × spot g7e.12xlarge in us-east-1``, or with the fewest where the number follows the hours."""
    low, high = group.min_instances, group.instances
    count = f"{high}" if low == high else f"{low}…{high}"
    return f"{count} × {'spot ' if group.is_spot else ''}{group.instance_type} in {group.region}"
