"""Scope of each rung of the ladder: less than the workload states, as far as that goes, then more and more.

A rung keeps to the workload's limits, targets, users, residency, exclusions, engines and named regions. What it lists
as allowed is widened step by step: accelerators and instance types, ways of paying, precisions, providers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.plan.geography import residency_shortfall
from advisor.plan.problem.supply import why_no_commitment
from advisor.records import dataclass, fields, replace
from advisor.requirements import Requirements
from advisor.workload.scope import is_left_open, is_within, joined, restriction, union
from advisor.workload.values import WIDE_PRECISIONS, Deployment, Exclude, Workload

_CLOUDS = ("aws", "gcp", "azure")
"""Providers of the highest rung, beside those that the workload names: code is generated for them."""
_NVIDIA = "nvidia"
_NO_CURRENT = "no `current` is stated"
_IS_MIX = "what runs is not one type, paid for in one way, at all hours"
_NO_CACHE_YET = "it serves without the response cache that the demand is planned behind"


class Step(StrEnum):
    """Rungs, the one that changes least first."""

    AS_IS = "as_is"
    RESIZE = "resize"
    SAME_CLOUD = "same_cloud"
    COMMIT = "commit"
    SPOT = "spot"
    PRECISION = "precision"
    ANY_ACCELERATOR = "any_accelerator"
    ANY_CLOUD = "any_cloud"
    AS_STATED = "as_stated"
    """The recommendation, wherever it stands among the others."""


_TODAY: Mapping[Step, tuple[str, ...]] = {
    Step.AS_IS: ("providers", "regions", "accelerators", "instance_types", "purchase"),
    Step.RESIZE: ("providers", "regions", "accelerators"),
    Step.SAME_CLOUD: ("providers",),
}
"""Rungs that keep something of today, with the keys under which the workload has to allow it."""

Place = tuple[str, str]
"""Provider and region."""


@dataclass(frozen=True, slots=True)
class RungScope:
    """Scope of a rung."""

    step: Step
    workload: Workload | None
    """None: nothing is asked, because of ``why_none``, or because today's instances are judged as they are."""
    why_none: str = ""
    beyond_stated: bool = False
    """Whether it allows all that the workload states, and more."""
    lossier_only: bool = False
    """Whether all that it allows beyond what is stated is precisions that lose more quality than the stated ones."""
    where: str = ""
    """Where its regions are, in words."""

    def with_precision(self, name: str, order: Sequence[str]) -> "RungScope":
        """The same with a precision more, that of today's machines; names as the workload orders them."""
        if self.workload is None or name not in order or name in self.workload.precisions:
            return self
        named = tuple(precision for precision in order if precision == name or precision in self.workload.precisions)
        return replace(self, workload=replace(self.workload, precisions=named))


def rungs_of(requirements: Requirements, catalog: Catalog) -> tuple[RungScope, ...]:
    """The rungs in their order; each allows all that the one before allows.

    Up to the first that would allow something that the workload does not, rungs allow no more than it. From there on
    each allows all that the workload states too, so that no rung can cost more than what is recommended.
    """
    return _Scopes(requirements, catalog).rungs()


def steps_alone(requirements: Requirements, catalog: Catalog) -> tuple[Workload, Mapping[Step, Workload | str]]:
    """The narrowest scope, and beyond it what each step allows by itself; why not, where it makes no sense.

    The narrowest is today's region and accelerator in any size, or what is stated on demand and in the first precision
    where nothing is said to run.
    """
    return _Scopes(requirements, catalog).alone()


def widest(stated: Workload, rungs: Iterable[RungScope], catalog: Catalog) -> Workload:
    """Union of a workload and all of its rungs, with what runs today."""
    wide = with_regions(stated, catalog)
    for rung in rungs:
        if rung.workload is not None:
            wide = union(wide, rung.workload)
    current = stated.current
    if current is not None:
        wide = replace(
            wide,
            providers=joined(wide.providers, (current.provider,)),
            regions=joined(wide.regions, (current.region,)),
            purchase=joined(wide.purchase, (current.purchase,)),
        )
    return replace(wide, accelerators=(), instance_types=(), near_current=False, regions_left_open=False)


def excluded_today(workload: Workload, catalog: Catalog) -> str:
    """Why the workload rules out what runs today, whatever else it lists; "" where it does not.

    *workload*: as :func:`advisor.workload.scope.in_scope` gives it.
    """
    every = tuple(field.name for field in fields(Exclude))
    return _excluded(workload, catalog, every)


def _excluded(workload: Workload, catalog: Catalog, keys: Sequence[str]) -> str:
    """The same by some keys alone; residency goes with the regions."""
    current = workload.current
    if current is None:
        return ""
    for key, name in _keys_of(current, catalog):
        if key in keys and name in getattr(workload.exclude, key, ()):
            return f"exclude.{key} names {name}, which runs today"
    if "regions" in keys and not _may_process((current.provider, current.region), workload, catalog):
        return f"residency rules out {current.region}, where `current` runs"
    return ""


def _keys_of(current: Deployment, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Keys of a workload that may name or exclude what runs today, with its values."""
    yield "providers", current.provider
    yield "regions", current.region
    yield "accelerators", catalog.instance_type(current.provider, current.instance_type).accelerator
    yield "instance_types", current.instance_type
    yield "purchase", current.purchase


def _may_process(place: Place, stated: Workload, catalog: Catalog) -> bool:
    """Whether the residency of a workload allows a region."""
    region = catalog.regions.get(place)
    return not stated.residency or (region is not None and residency_shortfall(region, stated.residency) is None)


class _Scopes:
    """Makes the rungs of one workload."""

    def __init__(self, requirements: Requirements, catalog: Catalog) -> None:
        """Write the workload's regions out."""
        workload = requirements.workload
        self._catalog, self._requirements, self._given = catalog, requirements, workload
        self._stated = replace(with_regions(workload, catalog), near_current=False, regions_left_open=False)
        self._why_no_spot, why_excluded = (self._why_excluded(paid) for paid in (Purchase.SPOT, Purchase.COMMITMENT))
        self._why_no_commitment = why_excluded or why_no_commitment(requirements)
        self._known = catalog.precisions.known(requirements.model.name)
        self._places = _places(workload, catalog)

    def rungs(self) -> tuple[RungScope, ...]:
        """Every rung."""
        stays = {step: self._why_not_today(step) for step in _TODAY}
        stays |= {Step.COMMIT: self._why_no_commitment, Step.SPOT: self._why_no_spot}
        stays |= {Step.ANY_CLOUD: self._why_no_other_cloud}
        without_cache = _NO_CACHE_YET if self._given.plans_response_cache else ""
        rung_scopes = [RungScope(Step.AS_IS, None, stays[Step.AS_IS] or without_cache)]
        beyond = False
        base = self._base(stays[Step.SAME_CLOUD])
        for step in list(Step)[1:-1]:
            base = self._allowing(step, base)
            if stays.get(step):
                rung_scopes.append(RungScope(step, None, stays[step], beyond))
                continue
            asked = self._resized(base) if step is Step.RESIZE else base
            beyond = beyond or not is_within(asked, self._stated)
            workload = union(self._stated, asked) if beyond else asked
            lossier = beyond and self._is_lossier_only(workload)
            rung_scopes.append(RungScope(step, workload, "", beyond, lossier, self._where(workload)))
        return tuple(rung_scopes)

    def alone(self) -> tuple[Workload, Mapping[Step, Workload | str]]:
        """The narrowest scope, and each step from it alone."""
        why_not_same_cloud = self._why_not_today(Step.SAME_CLOUD)
        base = self._base(why_not_same_cloud)
        narrow = base if self._why_not_today(Step.RESIZE) else self._resized(base)
        stays = {
            Step.SAME_CLOUD: why_not_same_cloud,
            Step.COMMIT: self._why_no_commitment,
            Step.SPOT: self._why_no_spot,
        }
        steps: dict[Step, Workload | str] = {}
        for step in (Step.SAME_CLOUD, Step.COMMIT, Step.SPOT, Step.PRECISION, Step.ANY_ACCELERATOR):
            steps[step] = stays.get(step) or self._allowing(step, narrow)
        if not why_not_same_cloud:
            steps[Step.SAME_CLOUD] = replace(narrow, regions=base.regions)
        steps[Step.ANY_CLOUD] = self._why_no_other_cloud or self._other_clouds(narrow)
        return narrow, steps

    def _why_excluded(self, paid: Purchase) -> str:
        """Sentence that the workload excludes a way of paying; "" where it does not."""
        return f"exclude.purchase names {paid}" if paid in self._given.exclude.purchase else ""

    def _other_clouds(self, narrow: Workload) -> Workload:
        """A scope with the allowed regions of other clouds beside its own, as near to today as those."""
        wide, current = self._anywhere(narrow), self._stated.current
        others = [place for place in _places(wide, self._catalog) if place[0] not in narrow.providers]
        if current is not None and narrow.providers == (current.provider,) and not self._names_regions:
            others = self._like(current, others)
        return replace(wide, regions=joined(narrow.regions, tuple(sorted({region for _, region in others}))))

    @property
    def _why_no_other_cloud(self) -> str:
        """Why the plan leaves no cloud: its regions take accounts of their own, or lie nobody knows where; else ""."""
        kinds = sorted({restriction(region) for region in self._stated.regions})
        which = "named regions" if self._names_regions else "regions to plan in"
        if not kinds or "" in kinds:
            return self._why_none_is_near(which)
        return (
            f"the {which} are {' and '.join(kinds)} and take an account of their own: to plan on another cloud, name "
            "it and its regions"
        )

    def _why_none_is_near(self, which: str) -> str:
        """Why no region of another cloud is near those of the plan: the catalog says of none where it is; else ""."""
        stated = self._stated
        others = [name for name in _CLOUDS if name not in (*stated.providers, *stated.exclude.providers)]
        if self._is_placed_by_users or not others or self._areas:
            return ""
        return (
            f"where the {which} are is not known ({', '.join(stated.regions)}), so none of {', '.join(others)} is "
            "counted as near: to plan on another cloud, name it and its regions"
        )

    @property
    def _areas(self) -> set[str]:
        """Countries of the named regions, or continents of those to plan in; without those of unknown location."""
        area = self._country if self._names_regions else self._continent
        return {area(place) for place in self._places} - {""}

    def _is_lossier_only(self, workload: Workload) -> bool:
        """Whether a workload allows beyond what is stated nothing but precisions that are no match for the stated."""
        if not is_within(replace(workload, precisions=self._stated.precisions), self._stated):
            return False
        lossy = replace(self._requirements, workload=workload).lossy_precisions
        as_wide = WIDE_PRECISIONS if set(WIDE_PRECISIONS) & set(self._stated.precisions) else ()
        return all(name in (*lossy, *as_wide) for name in workload.precisions if name not in self._stated.precisions)

    def _base(self, why_not_same_cloud: str) -> Workload:
        """Scope of all rungs from the second on: today's cloud on the continent of today, or the stated places."""
        stated, current = self._stated, self._stated.current
        on_demand = self._paid(Purchase.ON_DEMAND)
        if current is None or why_not_same_cloud:
            chips = stated.accelerators or self._nvidia()
            return replace(stated, accelerators=chips, precisions=stated.precisions[:1], purchase=on_demand)
        own = [place for place in self._places if place[0] == current.provider]
        return replace(
            stated,
            providers=(current.provider,),
            regions=tuple(region for _, region in self._like(current, own)),
            precisions=stated.precisions[:1],
            purchase=self._paid(Purchase.ON_DEMAND, current.purchase),
        )

    def _paid(self, *wanted: Purchase) -> tuple[Purchase, ...]:
        """Ways of paying out of some that the workload lists, or all that it lists."""
        listed = tuple(dict.fromkeys(purchase for purchase in wanted if purchase in self._stated.purchase))
        return listed or self._stated.purchase

    def _resized(self, base: Workload) -> Workload:
        """Today's region and accelerator alone, in any size that the workload allows."""
        current = self._stated.current
        if current is None:
            return base
        accelerator = self._catalog.instance_type(current.provider, current.instance_type).accelerator
        return replace(base, regions=(current.region,), accelerators=(accelerator,))

    def _allowing(self, step: Step, base: Workload) -> Workload:
        """Scope of a rung, given that of the one before."""
        match step:
            case Step.SAME_CLOUD:
                base = self._with_nvidia(base)
            case Step.COMMIT if not self._why_no_commitment:
                base = replace(base, purchase=joined(base.purchase, (Purchase.COMMITMENT,)))
            case Step.SPOT if not self._why_no_spot:
                base = replace(base, purchase=joined(base.purchase, (Purchase.SPOT,)))
            case Step.PRECISION:
                base = replace(base, precisions=joined(self._stated.precisions, self._known))
            case Step.ANY_ACCELERATOR:
                base = replace(base, accelerators=(), instance_types=())
            case Step.ANY_CLOUD:
                base = self._anywhere(base)
        return base

    def _with_nvidia(self, base: Workload) -> Workload:
        """Any accelerator of NVIDIA, and today's; as the workload lists them where it leaves today's cloud."""
        current = self._stated.current
        if current is None or base.providers != (current.provider,):
            return base
        own = self._catalog.instance_type(current.provider, current.instance_type).accelerator
        return replace(base, accelerators=joined((own,), self._nvidia()), instance_types=())

    def _nvidia(self) -> tuple[str, ...]:
        return tuple(
            name for name, accelerator in self._catalog.accelerators.items() if accelerator.vendor.casefold() == _NVIDIA
        )

    def _anywhere(self, base: Workload) -> Workload:
        """The stated places, and other clouds in the countries or on the continents of those."""
        stated = self._stated
        clouds = tuple(
            name
            for name in dict.fromkeys((*stated.providers, *_CLOUDS))
            if name not in stated.exclude.providers and name in self._catalog.providers
        )
        others = [place for name in clouds if name not in stated.providers for place in self._elsewhere(name)]
        regions = joined(stated.regions, tuple(region for _, region in others))
        return replace(base, providers=clouds, regions=regions)

    def _like(self, current: Deployment, places: list[Place]) -> list[Place]:
        """Places as open as today's region, on its continent unless regions, users or residency say where; else all."""
        places = [place for place in places if restriction(place[1]) == restriction(current.region)] or places
        is_open = not self._names_regions and not self._is_placed_by_users
        continent = self._continent((current.provider, current.region)) if is_open else ""
        return [place for place in places if continent in ("", self._continent(place))] or places

    @property
    def _is_placed_by_users(self) -> bool:
        """Whether users or a residency say where to plan, and no region is named."""
        return bool(self._given.users or self._given.residency) and not self._names_regions

    @property
    def _names_regions(self) -> bool:
        """Whether the workload names regions; what exclusions and today's continent leave is no such list."""
        given = self._given
        every = {
            place for place in _all_places(given.providers, self._catalog) if place[1] not in given.exclude.regions
        }
        return not is_left_open(given) and not given.near_current and set(self._places) != every

    def _elsewhere(self, provider: str) -> Iterator[Place]:
        """Places of a cloud that the workload does not name: in its countries, on its continents, or for its users."""
        area = self._country if self._names_regions else self._continent
        areas = self._areas
        for place in _all_places((provider,), self._catalog):
            is_allowed = not restriction(place[1]) and place[1] not in self._stated.exclude.regions
            is_near = self._is_placed_by_users or area(place) in areas
            if is_allowed and is_near and _may_process(place, self._stated, self._catalog):
                yield place

    def _country(self, place: Place) -> str:
        region = self._catalog.regions.get(place)
        return "" if region is None else region.country_iso2

    def _continent(self, place: Place) -> str:
        region = self._catalog.regions.get(place)
        return "" if region is None else region.continent

    def _why_not_today(self, step: Step) -> str:
        """Why a rung makes no sense beside what the workload states; "" where it does."""
        current, keys = self._stated.current, _TODAY[step]
        if current is None:
            return _IS_MIX if self._stated.running else _NO_CURRENT
        if why := _excluded(self._stated, self._catalog, keys):
            return why
        for key, name in _keys_of(current, self._catalog):
            listed = getattr(self._stated, key)
            if key in keys and listed and name not in listed:
                return f"{key} does not name {name}, {'as today is paid' if key == 'purchase' else 'which runs today'}"
        if not any(place[0] == current.provider for place in self._places):
            return f"regions names none of {current.provider}, where `current` runs"
        return ""

    def _where(self, workload: Workload) -> str:
        """Location of a rung's regions in words: by name, or how far they go."""
        if len(workload.regions) == 1:
            return f"in {workload.regions[0]}"
        if self._names_regions:
            named = "in the regions that the workload names"
            own = f"{named} for {' and '.join(self._given.providers)}"
            others = [place for place in _places(workload, self._catalog) if place[0] not in self._given.providers]
            clouds = " and ".join(dict.fromkeys(provider for provider, _ in others))
            countries = " and ".join(sorted({self._country(place) for place in others} - {""}))
            return f"{own}, and in all open regions of {clouds} in {countries}" if others else named
        if self._is_placed_by_users:
            return "wherever users and residency allow"
        here = {self._continent(place) for place in _places(workload, self._catalog)} - {""}
        every = {self._continent(place) for place in _all_places(workload.providers, self._catalog)} - {""}
        return "on any continent" if here == every else f"in {', '.join(sorted(here))}"


def with_regions(workload: Workload, catalog: Catalog) -> Workload:
    """The workload with its regions written out; without where the catalog knows none."""
    return replace(workload, regions=tuple(dict.fromkeys(region for _, region in _places(workload, catalog))))


def _places(workload: Workload, catalog: Catalog) -> list[Place]:
    """Places that a workload allows."""
    every = _all_places(workload.providers, catalog)
    return [place for place in every if not workload.regions or place[1] in workload.regions]


def _all_places(providers: Sequence[str], catalog: Catalog) -> list[Place]:
    return [(provider, region) for provider in providers for region in catalog.regions_of(provider)]
