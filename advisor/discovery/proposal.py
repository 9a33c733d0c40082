"""A service as a workload: model, precision, targets that today's fleet keeps by prediction, and what is missing.

The planner judges today's fleet under the targets that were measured and rounded up, its predictions lowered to what
was measured (``current.measured``). What it still does not confirm (it plans for the busiest minute, with a margin for
requests that are made up) makes the targets looser, step by step; targets that no number of these machines keeps by
prediction begin at the prediction. Where latency rises with load, today's machines do miss the targets: nothing is made
looser, and no prediction lowered.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.demand.services.service import matching
from advisor.discovery import Answers, Latency, Machine, Service
from advisor.errors import AdvisorError
from advisor.models import Model, find_model
from advisor.models.catalog import catalogued_name, model_names
from advisor.names import suggestion
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for
from advisor.plan.measured import Comparison, compared
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.today import judged_current
from advisor.plan.values import CurrentCost
from advisor.records import dataclass, replace
from advisor.workload.values import Deployment, MeasuredLatency, Survive

_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Targets are these times a power of ten."""
_BY_TOKEN = ("llm", "vlm")
"""Tasks whose requests are counted in tokens, as metrics count them."""
_PLANNED_ENGINES = ("vLLM", "SGLang")
"""Engines that code is generated for, on accelerators that most run on."""
MODEL, KIND, DEMAND, LENGTHS = "model", "kind", "demand", "lengths"


@dataclass(frozen=True, slots=True)
class Missing:
    """Something without which no plan can be made."""

    key: str
    """``model``, ``kind`` (a demand that no metric counts), ``demand`` or ``lengths``."""
    why: str
    """What could not be found out, and what to write."""


@dataclass(frozen=True, slots=True)
class JudgedFleet:
    """Today's machines as a plan sees them under the proposed targets."""

    measured: MeasuredLatency | None
    """Latency of them in the busiest stretches, or over the window where these are not known; None where it rises with
    load."""
    needed: int | None
    """Machines that a plan takes for the targets; None where no number of them keeps these."""
    notes: tuple[str, ...] = ()
    """Predictions beside what was measured."""
    may_fail: bool = False
    """Whether any one of them may fail meanwhile."""
    waiting_ratio: float = 0.0
    """Share of the requests that wait when one of them is withdrawn, where today's spot machines have no spare."""
    is_looser: bool = False
    """Whether the targets are looser than what was measured, rounded up: tighter ones a plan would not confirm."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Contents of a workload file."""

    service: Service
    model: str
    """Name for the file; "" where nothing names it."""
    precision: str
    """Served today; "" where it is not known."""
    context_tokens: int | None
    slo: Latency
    """Targets, in ms."""
    current: tuple[Machine, int] | None
    """The kind of machine that most replicas run on, and how many of them."""
    missing: tuple[Missing, ...]
    remarks: tuple[str, ...]
    """What could not be known, or is a guess, in sentences."""
    answers: Answers
    measured: Latency = Latency()
    """Latency that users get: over the window; of the usual stretch where it rises with load."""
    rises: bool = False
    engine: str = ""
    """Engine of today, where plans are made with it."""
    is_redundant: bool = False
    """Whether two replicas at least run on hosts of their own."""
    judged: JudgedFleet | None = None
    """None: not looked at."""


def proposal_of(
    service: Service, catalog: Catalog, answers: Answers = Answers(), *, watched: bool = False  # noqa: B008 - frozen
) -> Proposal:  # fmt: skip
    """All that a workload file of a service can say, with what a person answered.

    *watched*: something that counts requests was asked.
    """
    name = answers.model or service.model
    model = known_model(name)
    current, remarks = _current(service, catalog)
    context = service.launch.context_tokens
    if context and model and model.max_context_tokens and context > model.max_context_tokens:
        context = None
    latency, rises = _latency(service)
    targets = kept_targets(latency)
    return Proposal(
        service=service,
        model=model.name if model else name,
        precision=service.launch.precision or (model.checkpoint.precision if model else ""),
        context_tokens=context,
        slo=Latency(*map(rounded_up, targets.values)),
        current=current,
        missing=tuple(_missing(service, name, model, answers, watched=watched)),
        remarks=(*service.notes, *remarks),
        answers=answers,
        measured=latency,
        rises=rises,
        engine=service.launch.engine if service.launch.engine in _PLANNED_ENGINES else "",
        is_redundant=(service.replicas or 0) >= 2 and len({machine.name for machine in service.machines}) >= 2,
    )


def _latency(service: Service) -> tuple[Latency, bool]:
    """Latency that users get where load is no higher than the machines carry, and whether it rises with load."""
    observed = service.observed
    if observed is None:
        return Latency(), False
    rises = observed.by_load is not None and observed.by_load.rises()
    return (observed.by_load.usual if observed.by_load and rises else observed.latency), rises


def kept_targets(latency: Latency) -> Latency:
    """Latencies that targets are made of: that of the whole request only where no first token is timed."""
    return replace(latency, e2e_p95_ms=None if latency.ttft_p95_ms else latency.e2e_p95_ms)


def known_model(name: str) -> Model | None:
    """The model that a served name, a repository or a path of weights means; None where none is known by it."""
    if not name:
        return None
    bare = PurePosixPath(name).name
    for candidate in (name, bare, *matching(name, model_names())[:1]):
        if catalogued_name(candidate):
            return find_model(candidate)
    return None


def rounded_up(milliseconds: float | None) -> float | None:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 × a power of ten that is not below; None of None."""
    if milliseconds is None:
        return None
    power = 10.0 ** math.floor(math.log10(milliseconds))
    return next(step * power for step in _STEPS if step * power >= milliseconds * (1 - 1e-9))


def _missing(
    service: Service, name: str, model: Model | None, answers: Answers, *, watched: bool
) -> Iterator[Missing]:  # fmt: skip
    if not name:
        yield Missing(MODEL, "nothing names the model: write `model: OWNER/NAME`, or the path of its config.json")
    elif model is None and not answers.model:
        near = suggestion(name, model_names())
        told = f"write one that it knows ({near or 'none is alike'}), or the path of its config.json"
        yield Missing(MODEL, f"the catalog knows no model '{name}': {told}")
    elif model is not None and model.task not in _BY_TOKEN:
        told = f"{model.name} does not answer token by token (task: {model.task}), and its metrics make no plan"
        yield Missing(KIND, f"{told}: declare its requests (docs/kinds.md)")
        return
    lengths_known = answers.input_tokens is not None and answers.output_tokens is not None
    if service.observed is None:
        if answers.requests_per_second is None or not lengths_known:
            remedy = "declare them" if watched else "give --prometheus or --samples, or declare them"
            yield Missing(DEMAND, f"nothing that was asked saw its requests: {remedy}")
    elif not service.observed.counts_tokens and not lengths_known:
        who = f"{service.observed.engine} counts" if service.observed.engine else "nothing counts"
        tokens = "no tokens" if service.observed.engine else "tokens"
        yield Missing(LENGTHS, f"{who} {tokens}: state input_tokens and output_tokens of a request")


def _current(service: Service, catalog: Catalog) -> tuple[tuple[Machine, int] | None, list[str]]:
    """The kind of which there are most machines, and what else there is or is not known."""
    machines = [machine for machine in service.machines if machine.is_known]
    planned = [
        machine
        for machine in machines
        if (machine.provider, machine.instance_type) in catalog.instance_types
        and machine.region in catalog.regions_of(machine.provider)
    ]
    remarks = list(_machine_remarks(service, machines, planned))
    if not planned:
        return None, remarks
    kinds = [machine.kind for machine in planned]
    most = max(dict.fromkeys(kinds), key=kinds.count)
    others = sorted({machine.instance_type for machine in planned if machine.kind != most})
    if others:
        remarks.append(f"some replicas run on {', '.join(others)} too, which `current` leaves out")
    machine = next(machine for machine in planned if machine.kind == most)
    if not machine.purchase:
        remarks.append("nothing says how the machines are paid for: on demand is taken")
    return (machine, kinds.count(most)), remarks


def _machine_remarks(service: Service, machines: Sequence[Machine], planned: Sequence[Machine]) -> Iterator[str]:
    if not service.machines:
        yield "its machines are not known, so the plan has nothing to compare with: add `current`"
    elif not machines:
        yield f"what kind of machine {service.machines[0].name} is, is not known: add `current`"
    elif not planned:
        kind = " ".join(machines[0].kind[:3])
        yield f"the catalog does not know {kind}: `current` is left out"


_MOST_LOOSER = 2.0
"""Target over what was measured up to which it is made looser."""
_NEXT = 1.001


def settled(proposal: Proposal, question: PlanRequest, catalog: Catalog) -> Proposal:
    """The proposal with targets that a plan confirms for today's machines, and how these stand under them.

    As it is where its machines or their latency are not known. *question*: what its file asks.
    """
    current = question.workload.current
    if proposal.current is None or current is None or proposal.slo.is_unknown or "slo" in proposal.answers.fields:
        return proposal
    measured = None if proposal.rises else _measured(proposal, question)
    asked = _of_today(question, replace(current, measured=measured))
    try:
        comparison = compared(shipped_model(), requirements_of(asked, catalog), catalog)
        return _settled(proposal, _Judge(asked, catalog, current.count), comparison, measured)
    except AdvisorError:
        return proposal


def _settled(
    proposal: Proposal, judge: "_Judge", comparison: Comparison, measured: MeasuredLatency | None
) -> Proposal:  # fmt: skip
    judged = JudgedFleet(measured, None, notes=comparison.notes)
    waits = [0.0, round(1 / judge.count, 2)] if judge.is_spot else [0.0]

    def kept_of(slos: Iterable[Latency]) -> tuple[Latency, float] | None:
        return next(((slo, ratio) for slo in slos for ratio in waits if judge.keeps(slo, ratio)), None)

    kept = kept_of([proposal.slo] if proposal.rises else _looser(proposal.slo, proposal.measured))
    if kept is None:
        needed = judge.judged(proposal.slo, 0.0).instances_needed
        if not needed and comparison.latencies:  # what is predicted of today's machines, or measured where that is more
            worst = {each.latency: max(each.measured_ms, each.predicted_ms) for each in comparison.latencies}
            predicted = Latency(**worst)
            kept = kept_of(_looser(Latency(*map(rounded_up, predicted.values)), predicted))
        if kept is None:
            return replace(proposal, judged=replace(judged, needed=needed))
    slo, ratio = kept
    may_fail = proposal.is_redundant and not comparison.slower and judge.keeps(slo, ratio, Survive.INSTANCE)
    judged = replace(judged, needed=judge.count, may_fail=may_fail, is_looser=slo != proposal.slo, waiting_ratio=ratio)
    return replace(proposal, slo=slo, judged=judged)


def _measured(proposal: Proposal, question: PlanRequest) -> MeasuredLatency:
    """Latency of the kind of machine that is ``current``, under its share of the load.

    In the busiest stretches, with the rate that they have; where these are not known over the window, at its mean rate.
    """
    count, observed = proposal.current[1] if proposal.current else 0, proposal.service.observed
    latency, rate = proposal.measured, question.demand.requests_per_second.mean
    if observed is not None and observed.by_load is not None:
        latency, rate = observed.by_load.busiest, observed.by_load.busiest_requests_per_second
    targets = kept_targets(latency)
    return MeasuredLatency(rate * count / max(len(proposal.service.machines), count), *targets.values)


def _of_today(question: PlanRequest, current: Deployment) -> PlanRequest:
    """The question with today's kind of machine alone."""
    workload = replace(
        question.workload,
        current=current,
        providers=(current.provider,),
        regions=(current.region,),
        instance_types=(current.instance_type,),
        purchase=(current.purchase,),
        listed_only=False,
        near_current=False,
    )
    return replace(question, workload=workload)


@dataclass(frozen=True, slots=True)
class _Judge:
    """A plan's judgement of today's machines under other targets."""

    question: PlanRequest
    catalog: Catalog
    count: int

    @property
    def is_spot(self) -> bool:
        """Whether today's machines can be withdrawn."""
        return self.question.workload.purchase == (Purchase.SPOT,)

    def judged(self, slo: Latency, waiting_ratio: float, survive: Survive = Survive.NOTHING) -> CurrentCost:
        """Today's machines under some targets, where a share of the requests waits while spot machines are withdrawn.

        Raises AdvisorError if they cannot be judged.
        """
        workload = self.question.workload
        targets = replace(workload.slo, **{name: getattr(slo, name) for name in Latency.__slots__})
        limits = replace(workload.limits, survive=survive, fault_tolerant_ratio=waiting_ratio)
        question = replace(self.question, workload=replace(workload, slo=targets, limits=limits))
        current = judged_current(market_for(question, self.catalog, shipped_model()).market)
        if current is None:
            raise AssertionError("the question states what runs today")
        return current

    def keeps(self, slo: Latency, waiting_ratio: float, survive: Survive = Survive.NOTHING) -> bool:
        """Whether as many as run keep the targets."""
        needed = self.judged(slo, waiting_ratio, survive).instances_needed
        return needed is not None and needed <= self.count


def _looser(slo: Latency, told: Latency) -> Iterator[Latency]:
    """Targets, then looser ones: per token first, then to the first token, up to a limit times what each is made of."""
    yield slo
    while True:
        after = slo
        for name in ("tpot_p95_ms", "ttft_p95_ms", "e2e_p95_ms"):
            value, origin_ms = getattr(after, name), getattr(told, name)
            looser = rounded_up(value * _NEXT) if value else None
            if looser and origin_ms and looser <= _MOST_LOOSER * origin_ms:
                after = replace(after, **{name: looser})
                yield after
        if after == slo:
            return
        slo = after
