"""Plans of batch work: by when it is done, in which hours machines run, and what that costs."""

import datetime as dt
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from advisor.catalog import load_catalog
from advisor.checks import Now, Policy, check_plan
from advisor.checks.values import Level
from advisor.codegen import Language, Wanted, generate
from advisor.errors import InputError
from advisor.performance.model import shipped_model
from advisor.performance.transfer import egress_gb
from advisor.pipeline import market_for, market_of_requests, plan_question, question_for, recommend
from advisor.plan.batch_work import fleets_beside
from advisor.plan.choosing import Asked, chosen_fleet, recommended_fleet
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import outcome_of, what_if
from advisor.plan.fleet.describe import batch_beside_of
from advisor.plan.problem.values import Infeasible
from advisor.plan.request import read_question
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.plan.words import hours_words, replayed_run_words, spare_hours, start_hours
from advisor.report.explain_plan import litellm_config, outcome_sections
from advisor.report.plan_words import question_words, risk_words
from advisor.report.verdict import plan_table, verdict_lines
from advisor.workload.document import read_workload

NIGHT = {
    "items": 60_000, "every": "day", "deadline": "6h", "window": "22:00-06:00", "input_tokens": 1200, "output_tokens": 150
}  # fmt: skip
SUMMARIES = {
    "name": "summaries",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "demand": {"batch": NIGHT},
    "providers": ["aws"],
    "regions": ["us-east-1"],
    "accelerators": ["L4", "L40S"],
}
RUNS_A_MONTH = 365 / 12
CLOUD_RUN_IDLE_S = 900
KINDS = {
    "embedding": ("BAAI/bge-m3", {"input_tokens": 512}, 2_000_000),
    "reranker": ("BAAI/bge-reranker-v2-m3", {"documents": 20, "tokens_per_document": 400}, 100_000),
    "speech": ("openai/whisper-large-v3", {"audio_seconds": 300}, 4_000),
    "vision": ("google/vit-base-patch16-224", {}, 3_000_000),
    "diffusion": (
        "stabilityai/stable-diffusion-xl-base-1.0", {"steps": 20, "images": {"width": 1024, "height": 1024}}, 3_000
    ),
}  # fmt: skip


def planned(folder, **changes):
    """The plan of some batch work; keys below ``demand.batch`` are set by their name."""
    batch = {key: changes.pop(key) for key in (*NIGHT, "timezone") if key in changes}
    workload = SUMMARIES | {"demand": {"batch": NIGHT | batch}} | changes
    path = folder / "workload.yaml"
    path.write_text(json.dumps({key: value for key, value in workload.items() if value is not None}))
    return recommend(path)


def test_a_nightly_run_is_done_by_its_deadline(tmp_path):
    """Machines are up in the first hours of the window alone, and paid for in them, their start and their stop."""
    plan = planned(tmp_path, purchase=["on_demand"])
    fleet, batch = plan.fleet, plan.fleet.batch
    (group,) = fleet.groups

    assert batch.items == 60_000
    assert fleet.confirmed.reached
    assert batch.finished_hours <= min(batch.machine_hours, batch.deadline_hours) == min(batch.machine_hours, 6)
    assert fleet.schedule.count(1) == 7 * batch.machine_hours
    assert {hour % 24 for hour, number in enumerate(fleet.schedule) if number} <= {22, 23, 0, 1, 2, 3}
    assert group.instances[0] == 0
    around_minutes = math.ceil(group.cold_start_seconds.high / 60) + 2
    hours = (batch.machine_hours + around_minutes / 60) * RUNS_A_MONTH
    assert fleet.cost.compute_usd_per_month == pytest.approx(
        group.instances[1] * hours * group.instance_usd_per_hour, abs=0.02
    )
    assert batch.usd_per_1000_items == pytest.approx(fleet.cost.total_usd_per_month / (60 * RUNS_A_MONTH), rel=1e-4)
    assert fleet.cost.obligation_usd == 0


def test_a_service_starts_when_the_items_come(tmp_path):
    """Nobody orders its containers ahead: their cold start is a part of the deadline, and of the time of the last item."""
    work = {"items": 50_000, "every": "day", "deadline": "6m", "input_tokens": 400}
    where = {"providers": ["gcp"], "regions": ["us-central1"], "accelerators": ["L4"], "purchase": ["on_demand"]}
    plan = planned(tmp_path, model="BAAI/bge-m3", demand={"batch": work}, **where)
    (group,) = plan.fleet.groups
    each = group.requests_per_second_per_replica.value
    start_hours = group.cold_start_seconds.high / 3600

    assert group.purchase == "serverless"
    assert start_hours > 0.01
    assert plan.fleet.confirmed.reached
    serving_hours = 50_000 / (each * group.instances[-1]) / 3600
    beside_hours = (group.cold_start_seconds.value + CLOUD_RUN_IDLE_S) / 3600
    billed_hours = group.instances[-1] * (serving_hours + beside_hours) * RUNS_A_MONTH
    whole_hours = group.instances[-1] * RUNS_A_MONTH
    # One container would do by its rate, so that each of the two is counted with all of the work.
    most_hours = billed_hours + serving_hours * group.instances[-1] * RUNS_A_MONTH
    paid_hours = plan.fleet.cost.compute_usd_per_month / group.instance_usd_per_hour
    assert billed_hours < paid_hours == pytest.approx(most_hours, rel=0.01)
    assert paid_hours < 0.4 * whole_hours
    assert "Containers run until then" in " ".join(plan_table(plan).split())
    assert plan.fleet.batch.finished_hours == pytest.approx(start_hours + serving_hours, rel=0.1)
    assert plan.fleet.batch.finished_hours <= 0.1


def test_replicas_are_planned_full(tmp_path):
    """Nothing waits for latency: a replica is planned for more than under the targets of a chat, and holds all it can."""
    batch = planned(tmp_path, purchase=["on_demand"], accelerators=["L40S"])
    chat = planned(
        tmp_path,
        purchase=["on_demand"],
        accelerators=["L40S"],
        slo={"tpot_p95": "40ms"},
        demand={"declared": {"requests_per_second": 3, "input_tokens": 1200, "output_tokens": 150}},
    )
    rates = [plan.fleet.groups[0].requests_per_second_per_replica.value for plan in (batch, chat)]

    assert rates[0] > 1.2 * rates[1]


def test_spot_is_natural_and_an_interruption_is_in_the_replay(tmp_path):
    """Without a word on purchase it is cheaper than on demand; half way a start-up and what ran are lost."""
    spot, steady = planned(tmp_path), planned(tmp_path, purchase=["on_demand"])
    same = planned(
        tmp_path, purchase=["spot"], instance_types=[steady.fleet.groups[0].instance_type], accelerators=None
    )

    assert {group.purchase for group in spot.fleet.groups} == {"spot"}
    assert spot.fleet.cost.total_usd_per_month < steady.fleet.cost.total_usd_per_month
    assert spot.fleet.confirmed.reached
    start = same.fleet.groups[0].cold_start_seconds.high / 3600
    if same.fleet.groups[0].instances == steady.fleet.groups[0].instances:
        later = same.fleet.batch.finished_hours - steady.fleet.batch.finished_hours
        assert start / same.fleet.groups[0].instances[1] * 0.9 <= later <= start + 0.2
    assert spot.fleet.confirmed.arrivals.endswith("cut off half way")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model(tmp_path, name):
    """One planner: a plan that its replay confirms, and code that starts machines for its hours."""
    model, size, items = KINDS[name]
    demand = {"batch": {"items": items, "every": "day", "deadline": "5h", **size}}
    plan = planned(tmp_path, model=model, demand=demand, accelerators=["L4", "L40S"], purchase=["spot"])

    assert plan.fleet.confirmed.reached
    assert plan.fleet.batch.finished_hours <= 5
    assert plan_from_json(plan_to_json(plan)).fleet.batch.items == items


@pytest.mark.slow
def test_a_longer_deadline_is_never_dearer_and_more_items_are_never_cheaper(tmp_path):
    """Through the whole planner, replay included."""

    def usd(**changes):
        return planned(tmp_path, window="20:00-10:00", purchase=["on_demand"], **changes).fleet.cost.total_usd_per_month

    by_deadline = [usd(deadline=f"{hours}h") for hours in (2, 4, 7, 12)]
    by_items = [usd(deadline="4h", items=items) for items in (5_000, 30_000, 60_000, 130_000)]

    assert all(later <= earlier + 0.01 for earlier, later in pairwise(by_deadline)), by_deadline
    assert all(more >= fewer - 0.01 for fewer, more in pairwise(by_items)), by_items


WIDE = {
    "model": "BAAI/bge-m3",
    "providers": ["gcp", "aws", "azure"],
    "regions": ["us-central1", "us-east-1", "eastus"],
    "accelerators": None,
}
TEXTS = {"every": "day", "deadline": "12h", "input_tokens": 400}


@pytest.mark.parametrize("items", [1_500_000, 714_000])
def test_a_narrower_question_is_never_cheaper(tmp_path, items):
    """Each type of machine has hours that suit it, and what its region charges decides between them."""

    def usd(**changes):
        plan = planned(tmp_path, demand={"batch": TEXTS | {"items": items}}, **(WIDE | changes))
        assert plan.fleet.confirmed.reached
        return plan.fleet.cost.total_usd_per_month

    every = usd()
    narrower = [
        {"accelerators": ["L4"]},
        {"accelerators": ["L40S"]},
        {"providers": ["aws"], "regions": ["us-east-1"]},
        {"purchase": ["spot"]},
        {"limits": {"max_replicas": 1}},
    ]

    assert all(every <= usd(**changes) + 0.01 for changes in narrower)


def test_of_equal_costs_it_is_the_fewest_machines(tmp_path):
    """Several containers for an hour cost what one does for several hours; so little work is for a service."""
    weekly = {"items": 600_000, "every": "week", "deadline": "20h", "input_tokens": 400}
    where = {"providers": ["gcp"], "regions": ["us-central1"], "accelerators": ["L4"], "purchase": ["on_demand"]}
    plan = planned(tmp_path, model="BAAI/bge-m3", demand={"batch": weekly}, **where)
    (group,) = plan.fleet.groups

    assert group.purchase == "serverless"
    assert max(group.instances) == 1
    assert plan.fleet.batch.finished_hours <= plan.fleet.batch.machine_hours


@pytest.mark.parametrize(
    ("changes", "deadline_s"),
    [
        ({}, 2),
        ({"model": "openai/whisper-large-v3", "demand": {"batch": {"every": "day", "audio_seconds": 3600}}}, 3),
    ],
)
def test_a_deadline_shorter_than_one_item(tmp_path, changes, deadline_s):
    """No machine is fast enough: each rejection has both numbers."""
    when = {"items": 100, "deadline": f"{deadline_s}s"}
    changes = changes or {"demand": {"batch": NIGHT | when}}
    changes["demand"]["batch"] |= when
    plan = planned(tmp_path, **changes)
    late = [rejection for rejection in plan.rejected if rejection.code == "deadline"]

    assert plan.fleet is None
    assert late
    assert all(rejection.needed == deadline_s < rejection.available for rejection in late)
    assert {rejection.code for rejection in plan.nearest_misses} == {"deadline"}
    assert "one item longer than the deadline" in plan_table(plan)


def test_more_items_a_second_than_are_planned_for(tmp_path):
    """The deadline is what has to be longer."""
    with pytest.raises(InputError, match="30,000 requests/s") as refused:
        planned(tmp_path, deadline="2s")

    assert "give a longer deadline" in refused.value.hint


def test_work_of_a_week_goes_on_every_night(tmp_path):
    """More than one night takes is worked off in several, with machines of the same number."""
    plan = planned(
        tmp_path, items=400_000, every="week", deadline="7d", window="20:00-06:00", timezone="Europe/Berlin",
        purchase=["on_demand"], limits={"max_replicas": 1}, accelerators=["L40S"],
    )  # fmt: skip
    batch = plan.fleet.batch
    worked = [hour for hour, number in enumerate(plan.fleet.schedule) if number]

    assert batch.machine_hours == len(worked) > 10
    assert batch.finished_hours > 24
    # 20:00 to 06:00 in Berlin is 19:00 to 05:00 UTC in winter, 18:00 to 04:00 in summer
    assert {hour % 24 for hour in worked} <= {19, 20, 21, 22, 23, 0, 1, 2, 3}
    assert worked[0] == batch.first_hour == 19


@pytest.mark.parametrize("language", list(Language))
def test_generated_code_runs_machines_in_these_hours(tmp_path, language):
    """The clock starts them ahead of the window and takes all of them away; the README says what the client does."""
    plan = plan_from_json(plan_to_json(planned(tmp_path)))
    files = generate(plan, language).files
    readme, code = files["README.md"], "".join(text for path, text in files.items() if path != "README.md")
    (group,) = plan.fleet.groups

    assert "60,000 items every day at 22:00 UTC, within 6 h" in readme
    in_flight = group.instances[1] * group.replicas_per_instance * group.max_concurrency
    assert f"{in_flight:,}; it sends those again that are cut off" in readme
    assert " 21 * * *" in code
    assert f"0 {(22 + plan.fleet.batch.machine_hours) % 24} * * *" in code


@pytest.mark.parametrize("language", list(Language))
def test_at_google_nothing_runs_between_runs(tmp_path, language):
    """A managed group has a window for each run and no instance beside it, and no cluster is asked for."""
    machines = {"providers": ["gcp"], "regions": ["us-central1"], "accelerators": ["L4"], "purchase": ["spot"]}
    plan = plan_from_json(plan_to_json(planned(tmp_path, **machines)))
    generated = generate(plan, language)
    code = "".join(generated.files.values())
    windows = re.findall(r"cron\W+\d+ 21 \* \* \*", code)

    assert generated.targets == ("mig",)
    assert re.search(r"min_instances[\": =]+0\b", code)
    assert windows
    on_cluster = "".join(generate(plan, language, Wanted(target="gke")).files.values())
    assert re.search(r"min_nodes[\": =]+0\b", on_cluster)
    assert "minReplicaCount: 0" in on_cluster
    assert f'end: "0 {(22 + plan.fleet.batch.machine_hours) % 24} * * *"' in on_cluster


def test_the_report_says_when_the_last_item_is_done(tmp_path):
    """First of all that is told."""
    told = " ".join(plan_table(planned(tmp_path)).split())

    assert "Batch: 60,000 items every day at 22:00 UTC, in their replay done after" in told
    assert "of 6 h" in told
    assert "per 1,000 items" in told
    assert "every item within 6 h" in told
    assert "scale_to_zero" not in told


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"purchase": ["on_demand"], "limits": {"max_replicas": 1}, "accelerators": ["L40S"]},
        {"items": 1_000_000, "every": "week", "deadline": "7d"},
    ],
    ids=["nights", "one replica", "weeks"],
)
def test_a_verdict_on_batch_work_is_in_short_sentences_of_its_own(tmp_path, changes):
    """No minute is the busiest, a failure is a pause, and no sentence has more than 220 characters."""
    plan = planned(tmp_path, **changes)
    lines = list(verdict_lines(plan))
    (failure,) = (line for line in lines if line.startswith("Failure"))

    assert "busiest" not in plan_table(plan, width=None, verbose=True)
    assert "items every" in question_words(plan)
    assert max(len(sentence) for line in lines for sentence in re.split(r"(?<=[.]) ", line)) <= 220
    assert re.search(
        r"a run (stands still|goes on at \d+% of its planned pace) until the next is up \(.* min\)", failure
    )


def test_a_failure_is_a_risk_where_the_next_machine_comes_too_late(tmp_path):
    """A run with time to spare waits for another machine; without, or where it is not done, a failure is a risk."""
    plan = planned(tmp_path, purchase=["on_demand"], limits={"max_replicas": 1}, accelerators=["L40S"])
    fleet = plan.fleet
    spare = spare_hours(fleet)
    late = replace(fleet.batch, finished_hours=fleet.batch.finished_hours + spare)
    undone = replace(fleet.batch, finished_hours=None)

    assert spare > start_hours(fleet) > 0
    assert "failure" not in risk_words(plan)
    assert "failure" in risk_words(replace(plan, fleet=replace(fleet, batch=late)))
    assert "failure" in risk_words(replace(plan, fleet=replace(fleet, batch=undone)))


def test_a_number_of_items_out_of_range_is_told_with_the_largest(tmp_path):
    """Whoever writes too many is told how many may be written."""
    with pytest.raises(InputError, match="out of range") as refused:
        planned(tmp_path, items=10**12)

    assert refused.value.hint == "give a whole number of at least 1 and at most 1,000,000,000"


@pytest.mark.parametrize("language", Language)
def test_a_readme_counts_items_of_batch_work(tmp_path, language):
    """Its demand has no busiest minute."""
    readme = generate(planned(tmp_path), language, Wanted()).files["README.md"]

    assert "Items per second, while a run is worked on" in readme
    assert "busiest minute" not in readme


@pytest.mark.parametrize(
    ("hours", "words"), [(6, "6 h"), (168, "168 h"), (1, "1 h"), (0.256, "15.4 min"), (0.00427, "15.4 s"), (0, "0 s")]
)
def test_times_of_a_run_are_told_in_a_unit_that_suits_them(hours, words):
    """Three digits."""
    assert hours_words(hours) == words


def test_dear_items_are_told_in_cents(tmp_path):
    """Fourteen thousand dollars are no power of ten."""
    plan = planned(tmp_path)
    dear = replace(plan.fleet.batch, usd_per_1000_items=14_700.0)

    assert "$14,700.00 per 1,000 items" in replayed_run_words(dear, plan.fleet.confirmed)


def test_the_same_question_from_the_plan(tmp_path):
    """A plan holds its question: made again it is the same, at twice the items it costs more, and a check finds it kept."""
    plan = planned(tmp_path)
    catalog, model = load_catalog(), shipped_model()
    question = read_question(plan.question)
    again = plan_question(question, catalog, model=model)
    doubled = plan_question(what_if(question, catalog, "demand=2x")[0], catalog, model=model)
    now = Now(catalog, model, dt.date(2026, 11, 25))
    checked = check_plan(plan, plan_to_json(plan), "plan.json", now, Policy())

    sooner, told = what_if(question, catalog, "demand.batch.deadline=2h")[::2]

    assert (told[0].before, told[0].after) == ("6 h", "2 h")
    assert sooner.workload.slo.e2e_p95_ms == 2 * 3_600_000
    assert plan_question(sooner, catalog, model=model).fleet.batch.finished_hours <= 2
    fewer, told = what_if(question, catalog, "demand.batch.items=-50%,demand.batch.deadline=2h")[::2]
    assert (told[0].before, told[0].after) == ("60,000 items a run", "30,000 items a run")
    assert (fewer.demand.batch.items, fewer.workload.demand.batch.items) == (30_000, 30_000)
    assert fewer.workload.slo == sooner.workload.slo
    assert fewer.demand.requests_per_second.mean == pytest.approx(question.demand.requests_per_second.mean / 2)
    with pytest.raises(InputError, match="not an amount above 0"):
        what_if(question, catalog, "demand.batch.items=-100%")
    for text, why in (("slo.e2e_p95=3s", "no latency targets"), ("scaling.scheduled=false", "in its hours alone")):
        with pytest.raises(InputError, match=why):
            what_if(question, catalog, text)
    assert plan_to_json(again) == plan_to_json(plan)
    assert doubled.fleet.batch.items == 120_000
    assert doubled.fleet.cost.total_usd_per_month > plan.fleet.cost.total_usd_per_month
    assert all(finding.level is not Level.ERROR for finding in checked.findings)


def test_growth_is_planned_for(tmp_path):
    """Items of a run at nine tenths of the horizon."""
    workload = planned(
        tmp_path, demand={"batch": NIGHT, "growth_per_year": 3.0, "horizon": "365d"}, purchase=["on_demand"]
    )

    assert workload.fleet.batch.items == pytest.approx(60_000 * math.exp(0.9 * math.log(4)), rel=1e-3)
    assert workload.fleet.confirmed.reached


def test_demand_without_batch_work_says_nothing_of_it(tmp_path):
    """Documents of other plans are as they were."""
    asked = {"requests_per_second": 2, "input_tokens": 1200, "output_tokens": 150}
    plan = planned(tmp_path, demand={"declared": asked}, slo={"ttft_p95": "2s"}, purchase=["on_demand"])
    document = json.loads(plan_to_json(plan))

    assert "batch" not in document["fleet"]
    assert "finished_hours" not in document["fleet"]["confirmed"]
    question = question_for(read_workload(tmp_path / "workload.yaml"), load_catalog(), shipped_model())
    assert question.demand.batch is None


ONLINE = {"requests_per_second": 6, "input_tokens": 800, "output_tokens": 200}
BESIDE = {
    "slo": {"ttft_p95": "1s", "tpot_p95": "50ms"},
    "purchase": ["on_demand"],
    "accelerators": ["L40S"],
}
IN_THE_NIGHT = NIGHT | {"deadline": "8h"}


def beside(folder, items, **changes):
    """The plan of a chat with so many items each night; without any where there are none."""
    batch = {"batch": IN_THE_NIGHT | {"items": items}} if items else {}
    return planned(folder, **({"demand": {"declared": ONLINE, **batch}} | BESIDE | changes))


def capacity(fleet):
    """Requests per second of a fleet in each class of hours."""
    groups = fleet.groups
    return [
        sum(group.instances[at] * group.planned_requests_per_second_per_instance for group in groups)
        for at in range(len(fleet.hour_classes))
    ]


def test_batch_work_fills_what_requests_leave_idle(tmp_path):
    """The same machines at the same hours; what is added to the cost is the transfer of the items and their logs."""
    alone, both = beside(tmp_path, 0), beside(tmp_path, 20_000)
    batch = both.fleet.batch

    assert [max(group.instances) for group in both.fleet.groups] == [
        max(group.instances) for group in alone.fleet.groups
    ]
    assert both.fleet.cost.compute_usd_per_month == alone.fleet.cost.compute_usd_per_month
    assert 0 < both.fleet.cost.total_usd_per_month - alone.fleet.cost.total_usd_per_month < 10
    assert batch.idle_items == batch.items == 20_000
    assert batch.finished_hours <= 8
    assert batch.usd_per_1000_items < 0.02
    assert both.fleet.confirmed.reached


def test_hours_without_items_may_be_as_those_of_the_requests_alone(tmp_path):
    """The fleets that are tried: that of the requests at all hours, and with another's machines in hours with items."""
    question, catalog, model = read_question(beside(tmp_path, 150_000).question), load_catalog(), shipped_model()
    alone = recommended_fleet(market_of_requests(question, catalog, model).market)
    market = market_for(question, catalog, model).market
    both = recommended_fleet(market)
    own, joined = fleets_beside(market.formulation, alone, both)
    schedule, with_items = market.week.schedule, np.array(market.week.added_rates) > 0

    def by_hour(solution, of_hour):
        return np.array([sum(group.instances[number] for group in solution.allocations) for number in of_hour])

    before, after = by_hour(alone.solution, alone.formulation.week.schedule), by_hour(both.solution, schedule)
    assert with_items.any()
    assert by_hour(own, schedule).tolist() == before.tolist()
    assert by_hour(joined, schedule).tolist() == np.where(with_items, after, before).tolist()
    assert own.objective_usd_per_month < joined.objective_usd_per_month


def test_money_counts_each_item_for_one_with_its_own_answer(tmp_path):
    """Six requests a second of 200 tokens, and a night's items of their own size, in an average month of 730 hours."""
    plan = beside(tmp_path, 20_000)
    cost, items = plan.fleet.cost, 20_000 * 730 / 24
    requests, item = 6 * 730 * 3600, read_question(plan.question).demand.beside

    assert cost.usd_per_1000_requests == pytest.approx(cost.total_usd_per_month / (requests + items) * 1000)
    tokens = requests * 200 + items * item.output_tokens
    assert cost.usd_per_million_output_tokens == pytest.approx(cost.total_usd_per_month / tokens * 1e6)
    gb = sum(line.quantity for line in plan.fleet.cost_lines if line.item == "answers")
    assert gb == pytest.approx((requests * egress_gb(200) + items * egress_gb(item.output_tokens)), rel=1e-4)
    (entry, *_) = yaml.safe_load(litellm_config(plan, "plan.json"))["model_list"]
    info = entry["model_info"]
    paid = requests * (800 * info["input_cost_per_token"] + 200 * info["output_cost_per_token"])
    paid += items * (
        item.input_tokens * info["input_cost_per_token"] + item.output_tokens * info["output_cost_per_token"]
    )
    assert paid == pytest.approx(cost.total_usd_per_month, rel=1e-3)


def test_what_does_not_fit_takes_machines_in_its_hours_alone(tmp_path):
    """By hand: the capacity of the open hours, less the requests' planned rate, is enough for the items."""
    alone, both = beside(tmp_path, 0), beside(tmp_path, 150_000)
    fleet, batch = both.fleet, both.fleet.batch
    night = {hour for hour in range(168) if (hour - 22) % 24 < batch.machine_hours}
    counts = [sum(group.instances[number] for group in fleet.groups) for number in fleet.schedule]
    (before,) = alone.fleet.groups

    assert {counts[hour] for hour in night} == {max(counts)}
    assert max(counts) > max(before.instances)
    assert {count for hour, count in enumerate(counts) if hour not in night} == {max(before.instances)}
    assert 0 < batch.idle_items < batch.items == 150_000
    assert batch.finished_hours <= 8
    idle, more = (max(capacity(plan.fleet)) for plan in (alone, both))
    weight = (idle / 1.03 - 6) * batch.machine_hours * 3600 / batch.idle_items
    assert batch.finished_hours == pytest.approx(batch.items * weight / ((more - 6) * 3600), rel=1e-3)
    assert fleet.cost.total_usd_per_month > alone.fleet.cost.total_usd_per_month
    monthly = batch.items * RUNS_A_MONTH / 1000
    added = fleet.cost.total_usd_per_month - alone.fleet.cost.total_usd_per_month
    assert batch.usd_per_1000_items == pytest.approx(added / monthly, rel=1e-3)


def test_batch_work_beside_requests_never_costs_less_than_nothing(tmp_path):
    """Where the fleet for both costs less than the one found for the requests alone, it would serve these alone too."""
    plan = beside(tmp_path, 20_000)
    market = market_for(read_question(plan.question), load_catalog(), shipped_model()).market
    both = recommended_fleet(market)

    dearer = replace(market.fill, alone_usd_per_month=both.usd_per_month + 500)
    assert batch_beside_of(dearer, both).usd_per_1000_items == 0


def busy_by_day(folder):
    """Demand of eight days with 4 requests a second at 13:00, a quarter at night, and minutes far above their mean."""
    rng, minutes = np.random.default_rng(0), np.arange(8 * 24 * 60)
    hours = minutes // 60 % 24
    by_day = np.where((hours >= 6) & (hours < 22), 4 * np.exp(-(((hours - 13) / 4) ** 2) / 2), 0)
    counts = rng.poisson(60 * (by_day + 0.25) * rng.gamma(6, 1 / 6, minutes.size)).tolist()
    demand = json.loads((Path(__file__).parents[1] / "examples/chat/demand.json").read_text())
    cell = max(demand["token_cells"], key=lambda cell: cell["requests"])
    cell["requests"] += sum(counts) - demand["requests"]
    demand |= {
        "requests": sum(counts), "requests_per_minute": counts, "start": "2026-10-05T00:00Z",
        "window_seconds": minutes.size * 60.0, "dispersion": dict.fromkeys(demand["dispersion"], 1.0),
    }  # fmt: skip
    demand.pop("token_cells_by_hour", None)
    (folder / "demand.json").write_text(json.dumps(demand))


def test_items_of_the_night_take_no_machine_by_day(tmp_path):
    """Quieter hours are replayed with as many requests as without items, so that idle items cost their transfer.

    Their busiest minute counted as that of the planned rates, which is less than was observed: $86 more.
    """
    busy_by_day(tmp_path)
    catalog, model, usd = load_catalog(), shipped_model(), []
    night = IN_THE_NIGHT | {"items": 15_000, "input_tokens": 1500, "output_tokens": 200}
    for batch in ({}, {"batch": night}):
        asked = SUMMARIES | BESIDE | {"demand": {"summary": "demand.json"} | batch, "accelerators": ["L4"]}
        asked |= {"instance_types": ["g6.xlarge"], "precisions": ["fp8"], "limits": {"min_replicas": 2}}
        (tmp_path / "workload.yaml").write_text(json.dumps(asked))
        question = question_for(read_workload(tmp_path / "workload.yaml"), catalog, model)
        market = market_for(question, catalog, model).market
        usd.append(recommended_fleet(market).usd_per_month)

    assert usd[1] <= usd[0] + 5
    assert not market.fill.adds_machines


@pytest.mark.parametrize("limits", [{}, {"min_replicas": 2}])
def test_requests_alone_cost_no_more_than_with_items(tmp_path, limits):
    """Each hour is planned for what it is planned for without items, or more, and alone no class is left unthinned.

    Cut apart from the others, hours with items were planned for less than without: 15,000 items saved $450 of $12,406.
    """
    busy_by_day(tmp_path)
    catalog, model, usd = load_catalog(), shipped_model(), []
    for items in (0, 15_000, 30_000):
        batch = {"batch": IN_THE_NIGHT | {"items": items, "input_tokens": 1500, "output_tokens": 200}} if items else {}
        asked = SUMMARIES | BESIDE | {"demand": {"summary": "demand.json"} | batch, "accelerators": ["L4"]}
        asked |= {"instance_types": ["g6.xlarge"], "precisions": ["fp8"], "limits": limits}
        (tmp_path / "workload.yaml").write_text(json.dumps(asked))
        question = question_for(read_workload(tmp_path / "workload.yaml"), catalog, model)
        alone, market = market_of_requests(question, catalog, model).market, market_for(question, catalog, model).market
        usd.append(recommended_fleet(market).usd_per_month)
        planned_alone, both = (other.week.rates_by_hour[:, 1] for other in (alone, market))
        assert (both >= planned_alone).all()
        if items:
            assert market.week.of_requests(market.week.requests).rates_by_hour[:, 1].tolist() == planned_alone.tolist()

    assert all(more >= fewer - 0.01 for fewer, more in pairwise(usd)), usd


def test_idle_items_are_what_a_replay_confirms(tmp_path):
    """Of 100,000 items a day the planned rates say that 79,482 are done on what is idle, where it holds 59,611."""
    catalog, model = load_catalog(), shipped_model()

    def fill_of(items):
        question = read_question(beside_chat(tmp_path, items, 24, scaling={"scheduled": False}).question)
        return market_for(question, catalog, model).market.fill

    fill = fill_of(100_000)
    assert fill.adds_machines
    assert fill.takes_more
    assert 0 < fill.idle_items < 79_000
    assert not fill_of(fill.idle_items).adds_machines


def test_a_budget_is_judged_after_an_answer_is_made_cheaper(tmp_path):
    """Nine tenths of what the search finds is too little for that, and enough for what costs four fifths of it."""
    question, catalog, model = read_question(beside(tmp_path, 0).question), load_catalog(), shipped_model()
    least_usd = recommended_fleet(market_of_requests(question, catalog, model).market).usd_per_month
    limits = replace(question.workload.limits, max_usd_per_month=0.9 * least_usd)
    held = replace(question, workload=replace(question.workload, limits=limits))
    budgets = []

    def cheaper(market, chosen):
        budgets.append(market.formulation.problem.limits.max_usd_per_month)
        usd = 0.8 * chosen.fleet.usd_per_month
        fleet = replace(chosen.fleet, solution=replace(chosen.fleet.solution, objective_usd_per_month=usd))
        return replace(chosen, fleet=fleet)

    refused = chosen_fleet(market_of_requests(held, catalog, model).market, Asked())
    chosen = chosen_fleet(market_of_requests(held, catalog, model).market, Asked(), cheaper)

    assert isinstance(refused.fleet, Infeasible)
    assert budgets == [None]
    assert chosen.fleet.usd_per_month == pytest.approx(0.8 * least_usd)
    assert chosen.fleet.formulation.problem.limits.max_usd_per_month == 0.9 * least_usd


@pytest.mark.parametrize("limits", [{}, {"min_replicas": 2}])
def test_hours_beside_items_keep_what_the_requests_need(tmp_path, limits):
    """With as many instances as a fleet for both has there, every hour of the requests alone holds in its replay.

    Their busiest minutes were not replayed where the hours with items were busier.
    """
    busy_by_day(tmp_path)
    night = IN_THE_NIGHT | {"items": 600_000, "input_tokens": 1500, "output_tokens": 200}
    asked = SUMMARIES | BESIDE | {"demand": {"summary": "demand.json", "batch": night}, "accelerators": ["L4"]}
    asked |= {"instance_types": ["g6.xlarge"], "precisions": ["fp8"], "limits": limits}
    (tmp_path / "workload.yaml").write_text(json.dumps(asked))
    catalog, model = load_catalog(), shipped_model()
    question = question_for(read_workload(tmp_path / "workload.yaml"), catalog, model)
    alone, market = market_of_requests(question, catalog, model).market, market_for(question, catalog, model).market
    both = recommended_fleet(market)
    hours = np.array(alone.week.schedule)
    by_hour = [np.array(group.instances)[list(both.formulation.week.schedule)] for group in both.solution.allocations]
    groups = tuple(
        replace(group, instances=tuple(int(counts[hours == at].max()) for at in range(len(alone.week.classes))))
        for group, counts in zip(both.solution.allocations, by_hour, strict=True)
    )
    fleet = loaded_fleet(alone.formulation.problem, groups)

    assert both.confirmation.reached
    assert alone.validator.replayed(alone.formulation, fleet).reached


def test_more_items_than_a_replay_can_confirm_are_refused_beside_requests(tmp_path):
    """Before anything is planned: with the field, both numbers and how many workloads to plan."""
    with pytest.raises(InputError, match="a second, more than the 10,000") as refused:
        beside(tmp_path, 1_000_000_000)

    assert "demand.batch" in str(refused.value)
    assert "equal workloads of" in refused.value.hint


def test_more_items_are_never_cheaper_beside_requests(tmp_path):
    """From none to ten times what is idle."""
    usd = [beside(tmp_path, items).fleet.cost.total_usd_per_month for items in (0, 1_000, 40_000, 90_000, 300_000)]

    assert all(more >= fewer - 0.01 for fewer, more in pairwise(usd)), usd


def test_a_longer_deadline_is_never_dearer_beside_requests(tmp_path):
    """Of the open hours as many are used as cost least, of which a shorter deadline has fewer."""
    plans = [beside(tmp_path, 150_000, demand={"declared": ONLINE, "batch": IN_THE_NIGHT | {
        "items": 150_000, "deadline": f"{hours}h"}}) for hours in (2, 3, 5, 8)]  # fmt: skip
    usd = [plan.fleet.cost.total_usd_per_month for plan in plans]

    assert all(longer <= shorter + 0.01 for shorter, longer in pairwise(usd)), usd
    assert plans[-1].fleet.batch.machine_hours < 8


@pytest.mark.parametrize(("items", "shorter", "longer"), [(170_000, 7, 9), (150_000, 9, 11)])
def test_no_number_of_open_hours_is_skipped(tmp_path, items, shorter, longer):
    """What is done in all hours of a short run is found in a longer one too, whose grid of hours is without them.

    A longer deadline cost 1 and 2 % more.
    """
    plans = [beside(tmp_path, items, demand={"declared": ONLINE, "batch": IN_THE_NIGHT | {
        "items": items, "window": "00:00-12:00", "deadline": f"{hours}h"}}) for hours in (shorter, longer)]  # fmt: skip

    assert plans[1].fleet.cost.total_usd_per_month <= plans[0].fleet.cost.total_usd_per_month + 0.01
    assert plans[1].fleet.batch.machine_hours <= shorter


CHAT = {
    "name": "chat",
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "slo": {"ttft_p95": "1s", "tpot_p95": "60ms"},
    "providers": ["aws"],
    "regions": ["us-east-1"],
    "accelerators": ["L4", "L40S", "A10G"],
}
DAILY = {"every": "day", "input_tokens": 1500, "output_tokens": 120}


def beside_chat(folder, items, hours, **changes):
    """The plan of a chat with so many items a day, to be done within so many hours from midnight; none: it alone."""
    batch = items and DAILY | {"items": items, "deadline": f"{hours}h"}
    requests = {"requests_per_second": 3, "input_tokens": 800, "output_tokens": 200}
    path = folder / "chat.yaml"
    path.write_text(
        json.dumps(CHAT | {"demand": {"declared": requests} | ({"batch": batch} if batch else {})} | changes)
    )
    return recommend(path)


@pytest.mark.parametrize(("items", "deadlines"), [(79_000, (8, 22, 24)), (100_000, (7, 12, 24))])
def test_a_day_has_all_answers_of_a_part_of_it(tmp_path, items, deadlines):
    """79,000 items fit a day's idle hours by the rates but not in the replay; 100,000 take two machines for 7 hours.

    A day cost $761 and $111 more than its first 22 and 7 hours.
    """
    plans = [beside_chat(tmp_path, items, hours) for hours in deadlines]
    usd = [plan.fleet.cost.total_usd_per_month for plan in plans]

    assert all(longer <= shorter + 0.01 for shorter, longer in pairwise(usd)), usd
    assert all((plan.fleet.batch.idle_items == items) == (plan.fleet.batch.apart is None) for plan in plans)


def test_fewer_items_in_a_day_are_never_dearer(tmp_path):
    """Where all fit by the rates and not in the replay, 70,000 and 76,000 items cost $417 more than 80,000."""
    usd = [
        beside_chat(tmp_path, items, 24).fleet.cost.total_usd_per_month for items in (60_000, 70_000, 76_000, 80_000)
    ]

    assert all(more >= fewer - 0.01 for fewer, more in pairwise(usd)), usd


def test_idle_hours_after_those_of_added_machines_do_their_part(tmp_path):
    """More machines in the first hours of the day, the idle capacity of the requests' one in all of them.

    By hand: items are what all have idle in the first hours and one in the others, at least; by its planned rates that
    one has idle capacity for 79,000. What is told of idle capacity is what its replay confirms, and is free.
    """
    alone, plan = (beside_chat(tmp_path, items, 24) for items in (0, 150_000))
    fleet, batch = plan.fleet, plan.fleet.batch
    counts = [sum(group.instances[number] for group in fleet.groups) for number in fleet.schedule]
    added = [hour for hour, count in enumerate(counts) if count > 1]
    one, most = min(capacity(fleet)), max(capacity(fleet))
    weight = (max(capacity(alone.fleet)) / 1.03 - 3) * 24 * 3600 / 79_000
    done = ((most - 3) * batch.machine_hours + (one - 3) * (24 - batch.machine_hours)) * 3600 / weight

    assert min(counts) == 1
    assert added == [hour for hour in range(168) if hour % 24 < batch.machine_hours]
    assert batch.machine_hours < batch.finished_hours <= 24
    fits = beside_chat(tmp_path, math.floor(batch.idle_items), 24).fleet

    assert 50_000 < batch.idle_items <= 79_000
    assert [group.instances[-1] for group in fits.groups] == [group.instances[-1] for group in alone.fleet.groups]
    assert done >= 150_000
    assert fleet.confirmed.reached
    assert fleet.cost.total_usd_per_month < 2_000  # 2,144.77 with no items after the hours of the others


def test_what_fits_by_the_rates_alone_is_compared_with_two_workloads(tmp_path):
    """Where counts do not follow the hours, another machine at all hours carries what one does not hold in its replay.

    What is idle are the items that the one does hold, fewer than all: of these none costs more.
    """
    plan = beside_chat(tmp_path, 80_000, 24, scaling={"scheduled": False})
    apart = plan.fleet.batch.apart
    (told,) = (line for line in verdict_lines(plan) if line.startswith("Cheaper apart"))

    idle = plan.fleet.batch.idle_items

    assert 0 < idle < plan.fleet.batch.items == 80_000
    assert apart.beside_items in (0, math.floor(idle))
    assert apart.total_usd_per_month < plan.fleet.cost.total_usd_per_month - 300
    assert f"${apart.batch_usd_per_month:,.2f}" in told
    fits = beside_chat(tmp_path, math.floor(idle), 24, scaling={"scheduled": False})
    assert fits.fleet.batch.idle_items == fits.fleet.batch.items
    assert fits.fleet.batch.usd_per_1000_items < 0.02


def test_one_machine_does_what_it_holds_in_fewer_hours(tmp_path):
    """The planned rates of 24 hours say that 79,000 items fit, and the replay of such rates does not: $2,102 before."""
    plan = beside_chat(tmp_path, 79_000, 24, scaling={"scheduled": False})

    assert plan.fleet.confirmed.reached
    assert plan.fleet.batch.finished_hours < 24
    assert plan.fleet.cost.total_usd_per_month < 1_500


def test_what_is_spare_for_a_failure_is_not_idle(tmp_path):
    """N+1 of the requests holds with the items too; items that fit beside it take no more machines."""
    limits = {"survive": "instance", "min_replicas": 2}
    alone, both = (beside(tmp_path, items, limits=limits) for items in (0, 20_000))

    assert [group.instances[-1] for group in both.fleet.groups] == [group.instances[-1] for group in alone.fleet.groups]
    assert both.fleet.batch.idle_items == 20_000
    assert both.fleet.confirmed.without_one_within_slo_ratio >= 0.99


def test_items_beside_requests_are_replayed_where_all_hours_are_planned_alike(tmp_path):
    """Counts that may not follow the hours are no cheaper, and a day that is all open carries its items too."""
    followed = beside(tmp_path, 150_000)
    held = beside(tmp_path, 150_000, scaling={"scheduled": False})
    all_day = {
        "declared": ONLINE,
        "batch": {"items": 800_000, "every": "day", "deadline": "24h", "input_tokens": 1200, "output_tokens": 150},
    }
    spread = planned(tmp_path, demand=all_day, **BESIDE)

    assert held.fleet.cost.total_usd_per_month >= followed.fleet.cost.total_usd_per_month
    for plan in (held, spread):
        for group in plan.fleet.groups:
            predicted = group.requests_per_second_per_replica.high * group.replicas_per_instance
            assert group.planned_requests_per_second_per_instance < 1.5 * predicted


@pytest.mark.parametrize("items", [150_000, 200_000, 20_000])
def test_work_beside_requests_is_compared_with_two_workloads(tmp_path, items):
    """Both are planned as they would be from files of their own, and the verdict names the difference."""
    together = beside(tmp_path, items)
    apart = together.fleet.batch.apart
    if items == 20_000:  # all of it is done on idle capacity
        assert apart is None
        assert not any("as two workloads" in line for line in verdict_lines(together))
        return
    kept = round(apart.beside_items)
    requests = beside(tmp_path, kept)
    work = planned(tmp_path, demand={"batch": IN_THE_NIGHT | {"items": items - kept}}, **(BESIDE | {"slo": None}))
    (group,) = work.fleet.groups
    (part,) = apart.batch_parts
    less = together.fleet.cost.total_usd_per_month - apart.total_usd_per_month
    (told,) = (line for line in verdict_lines(together) if "as two workloads" in line)

    assert apart.requests_usd_per_month == requests.fleet.cost.total_usd_per_month
    assert apart.batch_usd_per_month == work.fleet.cost.total_usd_per_month
    assert (part.instance_type, part.purchase, part.instances) == (
        group.instance_type, group.purchase, max(group.instances)
    )  # fmt: skip
    assert kept in (0, math.floor(together.fleet.batch.idle_items))
    if kept:
        assert f"the requests with {kept:,} items a run" in told
        whole = planned(tmp_path, demand={"batch": IN_THE_NIGHT | {"items": items}}, **(BESIDE | {"slo": None}))
        alone = beside(tmp_path, 0).fleet.cost.total_usd_per_month + whole.fleet.cost.total_usd_per_month
        assert apart.total_usd_per_month < alone
    assert told.startswith("Cheaper apart" if less > 0 else "Apart")
    assert f"${abs(less):,.2f} {'less' if less > 0 else 'more than together'}" in told
    assert plan_from_json(plan_to_json(together)).fleet.batch.apart == apart


def test_work_beside_requests_is_told_and_generated(tmp_path):
    """In the report, the document, the README and by another deadline."""
    plan = beside(tmp_path, 150_000)
    told = " ".join(plan_table(plan).split())
    again = plan_from_json(plan_to_json(plan))
    readme = generate(again, Language.TERRAFORM).files["README.md"]
    question, catalog = read_question(again.question), load_catalog()
    changed, changes = what_if(question, catalog, "demand.batch.deadline=4h")[::2]

    assert "within the SLO (99% asked)" in told
    assert "Batch: 150,000 items every day at 22:00 UTC beside the requests" in told
    assert "on capacity that they leave idle and" in told
    explained = " ".join(line for section in outcome_sections(outcome_of(plan)) for line in section.lines)
    assert "Batch: 150,000 items every day at 22:00 UTC beside the requests" in explained
    assert "as two workloads" in explained
    assert again.fleet.batch.items == 150_000
    assert "150,000 items every day at 22:00 UTC, within 8 h" in readme
    assert (changes[0].before, changes[0].after) == ("8 h", "4 h")
    sooner = plan_question(changed, catalog, model=shipped_model())
    assert sooner.fleet.batch.finished_hours <= 4
    assert sooner.fleet.cost.total_usd_per_month >= plan.fleet.cost.total_usd_per_month
    more, changes = what_if(question, catalog, "demand.batch.items=2x")[::2]
    assert (changes[0].before, changes[0].after) == ("150,000 items a run", "300,000 items a run")
    assert more.demand.requests_per_second == question.demand.requests_per_second
    assert plan_question(more, catalog, model=shipped_model()).fleet.batch.items == 300_000


def test_an_index_beside_searches(tmp_path):
    """Models that answer in one pass too, at the weight of longer texts."""
    demand = {
        "declared": {"requests_per_second": 200, "input_tokens": 64},
        "batch": {"items": 500_000, "every": "day", "window": "20:00-06:00", "input_tokens": 512},
    }
    plan = planned(
        tmp_path, model="BAAI/bge-m3", demand=demand, slo={"latency_p95": "100ms"}, purchase=["on_demand"],
        accelerators=["L4", "L40S"],
    )  # fmt: skip

    assert plan.fleet.batch.finished_hours <= 10
    assert plan.fleet.confirmed.reached


def test_levers_know_that_all_of_it_may_wait(tmp_path, run_advisor):
    """A batch tier of a service is said for all of the work."""
    (tmp_path / "workload.yaml").write_text(json.dumps(SUMMARIES))
    told = " ".join(run_advisor("levers", str(tmp_path / "workload.yaml"), "--verbose").stdout.split())
    assert "all of it may wait: a batch tier at half of the list price" in told


def test_the_verdict_begins_with_two_workloads_that_save_more_than_simplicity(tmp_path):
    """A file of its own for each is the first advice where it saves more than the limit, and stands further down else."""
    plan = beside_chat(tmp_path, 80_000, 24, scaling={"scheduled": False})
    saved = 1 - plan.fleet.batch.apart.total_usd_per_month / plan.fleet.cost.total_usd_per_month

    def first(simplicity: float) -> str:
        limits = plan.workload["limits"] | {"simplicity": simplicity}
        lines = list(verdict_lines(replace(plan, workload={**plan.workload, "limits": limits})))
        assert sum(line.startswith("Cheaper apart") for line in lines) == 1
        return lines[0]

    assert first(saved - 0.01).startswith("Cheaper apart")
    assert first(saved + 0.01).startswith("Replay")
