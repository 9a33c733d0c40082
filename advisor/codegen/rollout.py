"""Rollouts: what a root deployed, what it is to deploy, and what goes on under which name."""

from collections.abc import Iterator, Mapping, Sequence

from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Agent, Backend, Form, Language, Pin, Region, Stage
from advisor.codegen.model import ComputeGroup, Scaling, Stack, size_at
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace

Traits = tuple[object, object, object]
"""Place (which a group cannot change and stay the same group), purchase and type of a group."""
_PLACE, _PURCHASE, _TYPE = range(3)
_IN_PLACE = ((_PLACE, _PURCHASE, _TYPE), (_PLACE, _PURCHASE), (_PLACE,))
_ANYWHERE = (*_IN_PLACE, (_TYPE, _PURCHASE), (_TYPE,), (_PURCHASE,), ())
"""Traits that pairs have in common, one set after the other; of the last two that are left, none."""


def renamed(
    former: Mapping[str, Traits], now: Mapping[str, Traits], common: Sequence[Sequence[int]] = _IN_PLACE
) -> Mapping[str, str]:
    """Old key → new key of the groups that are the same.

    Matched by place, purchase and type, then by place and purchase, then by place alone; what stays ambiguous is not
    the same. *common*: positions of the traits to match by, in turn.
    """
    gone = {key: traits for key, traits in former.items() if key not in now}
    come = {key: traits for key, traits in now.items() if key not in former}
    pairs: dict[str, str] = {}
    for positions in common:
        left = {key: [traits[at] for at in positions] for key, traits in gone.items() if key not in pairs}
        free = {key: [traits[at] for at in positions] for key, traits in come.items() if key not in pairs.values()}
        for key, traits in left.items():
            alike = [other for other, traits_of_other in free.items() if traits_of_other == traits]
            if len(alike) == 1 and list(left.values()).count(traits) == 1:
                pairs[key] = alike[0]
    return pairs


LEFT_ALONE = ("ec2",)
"""Targets on which an update leaves what the clock or the load sets as it is at that hour, until the next change."""
AT_ONCE = "--cut-over finish --force replaces all in one apply, and with --conflicts theirs keeps your edits"
"""A way on where both cannot run beside each other."""
_REPLACED_AT_ONCE = ("sagemaker", "cloud-run", "container-apps")
"""Targets that keep all former instances until all new ones answer."""
UNASKED = ("ec2",)
"""Targets whose entrance sends a backend its share from the first second, whether it answers or not. On SageMaker, new
instances get requests once all answer; elsewhere what checks health, or the Service over all pods, decides."""
_MORE_BY_ROUNDING = 1.01
"""Ratio of loads up to which weights, which are whole, may differ for plans with the same shares."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """Part of a stack that a later run has to know."""

    name: str
    workload: str
    provider: str
    target: str
    scaling: Scaling
    groups: tuple[ComputeGroup, ...]
    backends: tuple[Backend, ...]
    regions: tuple[Region, ...]
    alarms: tuple[Alarm, ...]
    agent: Agent | None
    form: Form = Form.MANIFESTS
    pins: tuple[Pin, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Names of engines among pins, of this code and of code before it; empty: of code that named engines alone."""
    left_weights: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether this code, or code before it, leaves the weights of the entrances to a state machine."""

    @property
    def keys(self) -> frozenset[str]:
        """Keys of groups and backends."""
        return frozenset((*(group.key for group in self.groups), *(backend.key for backend in self.backends)))


@dataclass(frozen=True, slots=True)
class Rollout:
    """Content of a root: the plan, and the groups that a cut-over keeps beside it."""

    planned: Deployed
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key → new key of groups and backends that go on under another one."""
    before: Deployed | None = None
    """State before the cut-over; None: nothing retires."""
    stage: Stage | None = None

    @property
    def retiring(self) -> tuple[ComputeGroup, ...]:
        """Groups of before that go on under no key."""
        kept = {*(group.key for group in self.planned.groups), *self.renamed}
        return () if self.before is None else tuple(group for group in self.before.groups if group.key not in kept)

    @property
    def new(self) -> tuple[ComputeGroup, ...]:
        """Groups of the plan that were nothing before."""
        if self.before is None:
            return ()
        former_keys = {*(group.key for group in self.before.groups), *self.renamed.values()}
        return tuple(group for group in self.planned.groups if group.key not in former_keys)

    @property
    def former(self) -> Mapping[str, ComputeGroup]:
        """Groups of before, by the key that they go on under; empty where nothing retires."""
        groups = () if self.before is None else self.before.groups
        return {self.renamed.get(group.key, group.key): group for group in groups}

    @property
    def growing(self) -> tuple[ComputeGroup, ...]:
        """Groups that go on with more instances while another gets smaller: what it carried is theirs to take over."""
        kept = [group for group in self.planned.groups if group.key in self.former]
        changes = [_more_instances(group, self.former[group.key]) for group in kept]
        fewest = [min(by_group) for by_group in zip(*changes, strict=True)]
        return tuple(
            group
            for group, more in zip(kept, changes, strict=True)
            if any(less < 0 < count for less, count in zip(fewest, more, strict=True))
        )

    @property
    def hands_over(self) -> bool:
        """Whether groups come or grow while one that goes on gets smaller: what it carried is theirs to take over."""
        former = self.former
        kept = (group for group in self.planned.groups if group.key in former)
        has_less = any(min(_more_instances(group, former[group.key])) < 0 for group in kept)
        return bool(self.growing) or (bool(self.new) and has_less)

    @property
    def awaited(self) -> tuple[ComputeGroup, ...]:
        """Groups that are to take requests over and do not have all their instances yet."""
        keys = {group.key for group in (*self.new, *self.growing, *self.outrun)}
        return tuple(group for group in self.planned.groups if group.key in keys)

    @property
    def outrun(self) -> tuple[ComputeGroup, ...]:
        """Groups to which the entrance would at once send more requests than their instances of before carry."""
        if self.before is None or self.planned.target not in UNASKED:
            return ()
        regions = {region.name: region for region in self.before.regions}
        outrun = {
            backend.key
            for region in self.planned.regions
            if region.name in regions
            for backend in self._outrun_in(region, regions[region.name])
        }
        return tuple(group for group in self.planned.groups if group.backend in outrun and group.key in self.former)

    def _outrun_in(self, region: Region, former: Region) -> Iterator[Backend]:
        """Backends of a region that get more at its peak than they carried, and than they would by their old share."""
        if self.before is None or not (region.weight and former.weight):
            return
        carried = self._carried_before
        was = {self.renamed.get(backend.key, backend.key): backend.weight for backend in self.before.backends}
        kept = [each for each in self.planned.backends if each.region == region.name and carried.get(each.key)]
        # The entrance of each region carries the peak of all: in service it gets the part that its weight says.
        parts = ((part.peak_requests_per_second, part.weight) for part in (region, former))
        stated = [peak * weight / 1000 for peak, weight in parts if peak is not None]
        peak = max(stated) if stated else sum(carried[backend.key] for backend in kept)
        for backend in kept:
            least = max(carried[backend.key], was.get(backend.key, 0) / former.weight * peak)
            if backend.weight / region.weight * peak > least * _MORE_BY_ROUNDING:
                yield backend

    @property
    def _carried_before(self) -> Mapping[str, float]:
        """Requests per second that the instances of before carry, by the key that their backend goes on under.

        By the rate that is planned now where they serve as before: that is only another prediction.
        """
        former_backends = () if self.before is None else self.before.backends
        was = {backend.key: backend.container for backend in former_backends}
        now = {backend.key: backend.container for backend in self.planned.backends}
        planned = {group.key: group for group in self.planned.groups}
        carried: dict[str, float] = {}
        for key, group in self.former.items():
            backend = self.renamed.get(group.backend, group.backend)
            after = planned.get(key, group)
            serves_alike = (after.instance_type, now.get(after.backend)) == (group.instance_type, was[group.backend])
            rate = (after if serves_alike else group).requests_per_second_per_instance
            carried[backend] = carried.get(backend, 0.0) + group.instances * rate
        return carried

    @property
    def reworked(self) -> tuple[ComputeGroup, ...]:
        """Groups whose machines are to carry more or less each with another container: at first too few serve so."""
        if self.before is None or self.planned.target in _REPLACED_AT_ONCE:
            return ()
        former = self.former
        was, now = ({each.key: each.container for each in part.backends} for part in (self.before, self.planned))
        return tuple(
            group
            for group in self.planned.groups
            if group.key in former
            and now[group.backend] != was[former[group.key].backend]
            and (is_denser(group, former[group.key]) or is_weaker(group, former[group.key], self.planned))
        )


@dataclass(frozen=True, slots=True)
class Former:
    """State of a directory as earlier runs left it, and how this run goes on."""

    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """By root; "": the directory itself."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """Root → target, where it is known."""
    roots: tuple[str, ...] = ()
    """All of the last run, also those without a rollout."""
    plan_digest: str = ""
    """Of the plan that was generated last; "": not known."""
    stage: Stage | None = None
    """None: the stage that was reached, or the first one."""
    force: bool = False
    """Go on where that destroys what runs."""
    language: Language | None = None
    """Of the code there; None: none is, or it cannot be told."""
    as_component: bool | None = None
    """Whether that code is called from a larger program; None as above."""
    state: str = ""
    """Digest of the records of the directory; "": nobody read them."""
    inputs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Root → names of the inputs that its code takes."""
    live_roots: tuple[str, ...] = ()
    """Those of :attr:`roots` that the last run wrote: files of others, which a plan left, are kept."""

    def inputs_of(self, root: str, provider: str) -> frozenset[str]:
        """Names of the inputs that a root of the code takes as the directory is.

        A root that the last run did not write takes over from those that it wrote for the same cloud: its folder has
        another name where a plan goes from one cloud to several, and back.
        """
        of_cloud = [
            self.inputs.get(other, frozenset())
            for other in self.live_roots
            if other in self.rollouts and self.rollouts[other].planned.provider == provider
        ]
        if root in self.live_roots or not of_cloud:
            return self.inputs.get(root, frozenset())
        return frozenset().union(*of_cloud)

    @property
    def form(self) -> Form:
        """Form of the objects on its clusters."""
        return next((rollout.planned.form for rollout in self.rollouts.values()), Form.MANIFESTS)


def leaves_weights(runs: Deployed | Stack) -> bool:
    """Whether a state machine sets the weights of the entrances, and no update does.

    It takes them away by the hour, and an update would give them back to what has no instance. Code that had it keeps
    it: what it has set is in no state of the code.
    """
    if runs.target not in LEFT_ALONE or runs.scaling is not Scaling.SCHEDULED:
        return runs.left_weights
    return runs.left_weights or len(runs.backends) > len(runs.regions)


def backend_pairs(former: Deployed, now: Deployed, groups: Mapping[str, str]) -> Mapping[str, str]:
    """Old key → new key of backends that the same groups answer for, and no other."""
    answering = {group.key: group.backend for group in now.groups}
    successors: dict[str, set[str]] = {}
    predecessors: dict[str, set[str]] = {}
    for group in former.groups:
        backend = answering.get(groups.get(group.key, group.key))
        if backend is not None:
            successors.setdefault(group.backend, set()).add(backend)
            predecessors.setdefault(backend, set()).add(group.backend)
    kept = {backend.key for backend in former.backends} & {backend.key for backend in now.backends}
    return {
        old: new
        for old, (new, *others) in ((old, sorted(after)) for old, after in successors.items())
        if not others and len(predecessors[new]) == 1 and not {old, new} & kept
    }


def successors(former: Deployed, now: Deployed, renamed_keys: Mapping[str, str]) -> Mapping[str, str]:
    """Old key → new key of groups and backends that go, and of the new one that takes the place of each.

    *renamed_keys*: old key → new key of what goes on under another one.
    """
    kept = {*now.keys, *renamed_keys}
    before = {*former.keys, *renamed_keys.values()}
    gone = replace(former, groups=tuple(group for group in former.groups if group.key not in kept))
    come = replace(now, groups=tuple(group for group in now.groups if group.key not in before))
    groups = renamed(traits_of(gone), traits_of(come), _ANYWHERE)
    backends = backend_pairs(gone, come, groups)
    settled = {*backends, *backends.values()}
    left = {key: traits for key, traits in _backend_traits(former).items() if key not in kept | settled}
    free = {key: traits for key, traits in _backend_traits(now).items() if key not in before | settled}
    return {**groups, **backends, **renamed(left, free, ((_PLACE, _TYPE), (_PLACE,), (_TYPE,), ()))}


def former_engines(former: Deployed, now: Deployed, pairs: Mapping[str, str]) -> Mapping[str, str]:
    """New key → engine of what it follows, of groups and backends that another engine serves now.

    *pairs*: old key → new key; what keeps its key follows itself.
    """
    was, are = _engines(former), _engines(now)
    origins = {**{new: old for old, new in pairs.items()}, **{key: key for key in was}}
    return {new: was[old] for new, old in origins.items() if old in was and new in are and was[old] != are[new]}


def _engines(deployed: Deployed) -> Mapping[str, str]:
    engines = {backend.key: backend.container.engine.value for backend in deployed.backends}
    return {**engines, **{group.key: engines[group.backend] for group in deployed.groups}}


def former_regions(former: Deployed, now: Deployed, succession: Mapping[str, str]) -> Mapping[str, str]:
    """New region → the one that its groups take over from by *succession* (old key → new key), if it is one alone."""
    was, now_in = ({group.key: group.region for group in part.groups} for part in (former, now))
    origins: dict[str, set[str]] = {}
    for old, new in succession.items():
        if old in was and new in now_in:
            origins.setdefault(now_in[new], set()).add(was[old])
    for region in former.regions:
        origins.pop(region.name, None)
    return {region: min(before) for region, before in origins.items() if len(before) == 1}


def _backend_traits(deployed: Deployed) -> Mapping[str, Traits]:
    return {backend.key: (backend.region, None, backend.container.engine) for backend in deployed.backends}


def traits_of(deployed: Deployed) -> Mapping[str, Traits]:
    """Traits of groups by key."""
    return {group.key: (group.region, group.is_spot, group.instance_type) for group in deployed.groups}


def probes_of(deployed: Deployed) -> Mapping[str, tuple[bool, str]]:
    """Probe of a load balancer by the key of a backend, and of each of its groups."""
    probes = {backend.key: backend.probe for backend in deployed.backends}
    return {**probes, **{group.key: probes[group.backend] for group in deployed.groups}}


def is_denser(group: ComputeGroup, former: ComputeGroup) -> bool:
    """Whether fewer machines than before are to carry more each."""
    is_smaller = group.instances < former.instances or group.min_instances < former.min_instances
    return is_smaller and group.requests_per_second_per_instance > former.requests_per_second_per_instance


def is_weaker(group: ComputeGroup, former: ComputeGroup, planned: Deployed) -> bool:
    """Whether more machines are to carry less each, and an update leaves their number to the clock or the load."""
    is_left_alone = planned.target in LEFT_ALONE and planned.scaling is not Scaling.STATIC
    is_slower = group.requests_per_second_per_instance < former.requests_per_second_per_instance
    return is_left_alone and is_slower and (group.instances > former.instances or grows(group, former))


def grows(group: ComputeGroup, former: ComputeGroup) -> bool:
    """Whether there are to be more machines than before at any minute of the week."""
    minutes = [minute for sizes in (group.sizes_by_minute, former.sizes_by_minute) for minute, _ in sizes]
    return any(size_at(group.sizes_by_minute, at) > size_at(former.sizes_by_minute, at) for at in minutes)


def _more_instances(group: ComputeGroup, former: ComputeGroup) -> tuple[float, float]:
    """Instances beyond those for the requests of before, in the busiest hours and in the quietest; below 0: fewer."""
    if group.is_serverless or (group.instance_type, group.instances, group.min_instances) == (
        former.instance_type,
        former.instances,
        former.min_instances,
    ):
        return 0.0, 0.0
    needed = former.requests_per_second_per_instance / group.requests_per_second_per_instance
    return (
        group.instances - round(former.instances * needed, 6),
        group.min_instances - round(former.min_instances * needed, 6),
    )
