"""Programme: what overlaps is counted once, what does not pay is left out, and the same input gives the same bytes."""

import datetime as dt
import json
import re
import shlex
from dataclasses import replace
from decimal import Decimal

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advisor.audit import Effort, Finding
from advisor.audit.run import Inputs as AuditInputs
from advisor.audit.run import audited
from advisor.catalog.values import Purchase
from advisor.cli.programme import command
from advisor.errors import InputError
from advisor.levers import SCHEMA, LeverSettings
from advisor.levers.pricing import price_levers
from advisor.names import normalised
from advisor.performance.model import shipped_model
from advisor.pipeline import market_of_requests, plan_question, question_for
from advisor.plan.document import plain
from advisor.programme.build import LEVERS, Inputs, programme_of
from advisor.programme.rules import OWNERS
from advisor.programme.values import NOTHING, PROGRAMME, BilledMonth, billed_month
from advisor.report.bill_documents import audit_json, read_audit
from advisor.report.levers import lever_sections
from advisor.report.programme import programme_json, programme_sections
from advisor.report.text_table import sections_text
from advisor.workload.values import DeclaredDemand, Deployment, Exclude, Slo
from audit.bills import Charge, write_focus
from builders import catalog_of, offer, workload
from levers.test_levers import ROOT, SMALL

START = dt.date(2026, 12, 1)


def finding(name="ADV112", usd=500.0, resources=("nat-1",), effort="low", basis="saving", **changes):
    """A finding of an audit."""
    fields = {
        "id": name, "title": f"Title of {name}", "per_month": usd, "low": 0.0, "high": 2 * usd, "basis": basis,
        "effort": Effort(effort), "evidence": "as seen", "risk": "some", "command": f"advisor audit {name}",
        "look": f"advisor audit {name}", "why_no_action": "",
        "resources": tuple((resource, Decimal(10)) for resource in resources),
    }  # fmt: skip
    return Finding(**(fields | changes))


def made(*findings, levers=(), **settings):
    """A programme of these findings at 100 USD an hour."""
    return programme_of(Inputs(START, 100.0, settings.pop("max_payback", 12.0), findings, levers, **settings))


@pytest.fixture(scope="module")
def priced():
    """Levers and the plan of a workload that runs on more than it needs."""
    catalog = catalog_of(offer("g5.12xlarge", on_demand=5.7, spot=2.5), offer("g5.xlarge", on_demand=1.0, spot=0.5))
    stated = workload(
        model="Qwen/Qwen2.5-7B-Instruct",
        current=Deployment("aws", "us-east-1", "g5.12xlarge", 1, Purchase.ON_DEMAND),
        precisions=("bf16",),
        exclude=Exclude(providers=("gcp",)),
        slo=Slo(ttft_p95_ms=1500, tpot_p95_ms=80),
        demand=DeclaredDemand(0.5, 0.8, 800, 100),
        as_of=dt.date(2026, 11, 1),
    )
    model = shipped_model()
    question = question_for(stated, catalog, model)
    report = price_levers(
        question, catalog, lambda asked: market_of_requests(asked, catalog, model).market, LeverSettings()
    )
    return report, plan_question(question, catalog, model=model)


@pytest.fixture
def report(priced):
    """The levers."""
    return priced[0]


def test_weeks_follow_phase_and_effort():
    """Instruments come in week 1, short quick wins in week 2, longer ones in week 3, commitments in week 4."""
    programme = made(
        finding("ADV118", basis="spend", resources=("a",)),
        finding("ADV112"),
        finding("ADV111", effort="medium", resources=("z",)),
        finding("ADV109", resources=("sp-1",)),
    )

    weeks = {item.id: item.week for item in programme.items}
    assert weeks == {"ADV118": 1, "assess/baseline": 1, "ADV112": 2, "ADV111": 3, "ADV109": 4}
    assert all(item.command and item.check and item.owner for item in programme.items)


def test_findings_at_one_resource_count_once():
    """Of findings that share a resource the one that saves most is in the total, the others refer to it."""
    programme = made(
        finding("ADV101", 300.0, ("i-1", "i-2")),
        finding("ADV116", 900.0, ("i-2", "lb")),
        finding("ADV115", 50.0, ("ip",)),
    )

    assert programme.total.usd_per_month == 950.0
    assert (programme.total.low_usd_per_month, programme.total.high_usd_per_month) == (0.0, 1900.0)
    assert {item.id: item.counted_in for item in programme.items}["ADV101"] == "ADV116"


@pytest.mark.parametrize(("spot_usd", "done"), [(90, {"ADV106": 90, "ADV107": 150}), (40, {"ADV107": 200})])
def test_no_machine_is_moved_to_spot_and_committed_to(spot_usd, done):
    """Each machine is in the finding that saves most of its cost; the other has the share of its other machines."""
    spot = finding("ADV106", Decimal(spot_usd), ("i-dev",))
    commit = finding("ADV107", Decimal(200), ("i-1", "i-2", "i-3", "i-dev"))
    programme = made(spot, commit)

    assert {item.id: item.saving.usd_per_month for item in programme.items if item.saving} == done
    assert not any(item.counted_in for item in programme.items)
    assert programme.total.usd_per_month == sum(done.values())
    if "ADV106" in done:
        (item,) = (item for item in programme.items if item.id == "ADV107")
        assert item.resources == ("i-1", "i-2", "i-3")
        assert "25% is not counted: ADV106 changes i-dev, and both cannot be done" in item.detail
    else:
        (left,) = programme.left_out
        assert left.why == "ADV107 changes i-dev, and both cannot be done"


def test_findings_at_an_endpoint_and_at_its_machines_count_once():
    """An endpoint without requests and its idle machines are the same money under two names."""
    programme = made(finding("ADV116", 900.0, ("chat",)), finding("ADV101", 900.0, ("arn:…:endpoint/chat",)))

    assert programme.total.usd_per_month == 900.0


def test_findings_whose_resources_were_cut_off_count_once():
    """Where a finding has more resources than its document holds, other findings at machines may be at the same."""
    many = tuple(f"i-{number}" for number in range(100))

    programme = made(finding("ADV107", 800.0, many), finding("ADV101", 300.0, ("i-of-another-page",)))

    assert programme.total.usd_per_month == 800.0


def test_a_hundred_is_not_spent_to_save_one():
    """What does not pay back within the limit, or saves nothing, is left out with its numbers."""
    programme = made(finding("ADV112", 1.0), finding("ADV113", 0.0, ("logs",)), finding("ADV115", 50.0, ("ip",)))

    why = {left.id: left.why for left in programme.left_out}
    assert "spends 400.00 USD to save 1.00 a month" in why["ADV112"]
    assert why["ADV113"].startswith("saves nothing")
    assert [item.id for item in programme.items if item.saving] == ["ADV115"]


def test_a_programme_is_paid_back_as_its_items_arrive():
    """Each saves from the end of its week: a saving of week 2 pays for all hours, and one of the whole is not of day 0."""
    low, medium = finding("ADV112", 4000.0), finding("ADV120", 8000.0, ("nat-2",), effort="medium")
    weeks = [2, 3]
    programme = made(low, medium)
    assert [item.week for item in programme.items if item.saving] == weeks

    month_days = 730 / 24
    saved = 4000 * 7 / month_days
    assert programme.one_off_usd > saved
    left_usd = programme.one_off_usd - saved
    assert programme.payback_months == pytest.approx(21 / month_days + left_usd / 12_000)
    assert programme.payback_months > programme.one_off_usd / programme.total.usd_per_month
    assert made().payback_months is None


def test_work_that_a_later_week_replaces_is_told(report):
    """Spot in week 3 on machines that week 4 replaces: what it saves until then stands beside its cost."""
    (spot,) = (lever for lever in report.levers if lever.lever == "spot" and lever.used)
    other = replace(spot, lever="accelerator", title="Another accelerator")
    programme = made(levers=(replace(report, levers=(spot, other)),), max_payback=1e6)
    (note,) = [note for note in programme.notes if note.startswith(f"{report.workload}/spot changes g5.12xlarge")]
    assert f"which {report.workload}/accelerator replaces in week 4: until then it saves $" in note
    (hours,) = [note for note in programme.notes if note.startswith("work by week: ")]
    assert sum(float(part) for part in re.findall(r"([\d,]+) h to", hours)) == programme.effort_hours


def test_levers_count_as_the_plan_that_they_make_together(report):
    """The total of levers is today's cost less the combination's, whatever each is worth; findings of serving are in it."""
    programme = made(finding("ADV106", 400.0, ("i-1",)), finding("ADV112"), levers=(report,), max_payback=1e6)

    saved = report.current.total_usd_per_month - report.together.plan.total_usd_per_month
    assert programme.total.usd_per_month == pytest.approx(saved + 500.0)
    counted = {item.id: item.counted_in for item in programme.items}
    assert counted["ADV106"] == f"levers/{report.workload}"
    assert counted["ADV112"] == ""
    assert {item.id for item in programme.items} >= {
        f"{report.workload}/{lever.lever}" for lever in report.levers if lever.used
    }


@pytest.mark.parametrize("of_plan", [False, True])
def test_the_interval_holds_what_prices_in_doubt_may_come_to(priced, of_plan):
    """Paid - plan at the upper prices to paid - plan at the lower ones, of levers as of a plan; a note names the prices."""
    report, plan = priced
    given = {"plans": {"plan.json": plan}} if of_plan else {"levers": (report,)}
    programme = made(**given, max_payback=1e6)

    ends = plan.fleet.price_range if of_plan else report.together.price_range
    paid = report.current.total_usd_per_month
    assert ends.low_usd_per_month < programme.combinations[0].usd_per_month
    assert programme.total.low_usd_per_month == pytest.approx(paid - ends.high_usd_per_month, abs=0.01)
    assert programme.total.high_usd_per_month == pytest.approx(paid - ends.low_usd_per_month, abs=0.01)
    (note,) = [note for note in programme.notes if "in doubt" in note]
    assert note.endswith("in doubt")
    assert f": {plan.fleet.groups[0].instance_type} " in note
    assert f"{ends.low_usd_per_month:,.2f} to {ends.high_usd_per_month:,.2f} USD a month" in note


def test_a_lever_beyond_the_workload_file_says_what_to_write_there(report):
    """The item has the line itself, and what it changes."""
    line = "response_cache: {hit_ratio: 0.4, memory_gib: 2.0}"
    used = next(lever for lever in report.levers if lever.used)
    levers = [replace(lever, beyond_stated=True, line=line) if lever is used else lever for lever in report.levers]
    programme = made(levers=(replace(report, levers=tuple(levers)),), max_payback=1e6)
    item = next(item for item in programme.items if item.id.endswith(used.lever))

    assert item.detail.startswith(f"state in the workload file: {line}; {used.change}")


def test_a_lever_that_pays_back_late_is_refused_with_a_remedy(report):
    """A combination that holds such a lever has to be priced again without it."""
    with pytest.raises(InputError, match="paid back after") as refused:
        made(levers=(report,), max_payback=1e-3)

    assert "--max-payback" in refused.value.hint


def test_levers_are_priced_again_with_the_options_that_were_given(report):
    """The remedy is the whole command, as a shell takes it."""
    given = replace(report, options=("--quality-floor", "0.9", "--cache", "my cache.json"))
    with pytest.raises(InputError, match="paid back after") as refused:
        made(levers=(given,), max_payback=1e-3)

    assert f"{given.path} --quality-floor 0.9 --cache 'my cache.json' --hourly-rate 100" in refused.value.hint


def test_levers_that_cost_more_than_is_paid_are_left_out(report):
    """Where all levers together cost more than today's deployment, none is an item."""
    dear = replace(report, current=replace(report.current, total_usd_per_month=1.0))

    programme = made(levers=(dear,))

    assert programme.left_out[0].id == f"levers/{report.workload}"
    assert programme.total.usd_per_month == 0.0


@pytest.mark.parametrize("above", [10.0, 500.0])
def test_no_lever_alone_saves_more_than_all_of_what_is_paid(report, above):
    """Where today costs less than the plan without any lever, each lever's saving is of today's bill."""
    together = report.together.plan.total_usd_per_month
    cheap = replace(report, current=replace(report.current, total_usd_per_month=together + above))
    programme = made(levers=(cheap,), max_payback=1e6)

    (combination,) = programme.combinations
    plans = {f"{cheap.workload}/{lever.lever}": lever.priced.plan.total_usd_per_month for lever in cheap.levers}
    plans[f"{cheap.workload}/resize"] = cheap.without.total_usd_per_month
    assert combination.alone_usd_per_month
    for name, saved in combination.alone_usd_per_month:
        assert saved == pytest.approx(together + above - max(plans[name], together))
        assert saved <= combination.saving.usd_per_month + 0.01
        detail = next(item.detail for item in programme.items if item.id == name)
        assert f"alone {together + above:,.2f} → {together + above - saved:,.2f} USD a month" in detail
    more = report.without.total_usd_per_month - together - above
    told = sections_text(lever_sections(cheap), 160)
    assert (f"that plan costs ${more:,.2f} more than today" in told) is (more > 0)


def test_one_workload_is_given_once(report):
    """Levers of a workload that are given twice would count twice."""
    with pytest.raises(InputError, match="given twice"):
        made(levers=(report, report), max_payback=1e6)


def test_items_of_two_workloads_name_the_file_of_each(report):
    """Each item's command plans its own workload, and its check is of the plan that the command writes."""
    reports = (replace(report, path="chat.yaml"), replace(report, workload="other", path="more/other one.yaml"))
    items = {item.id: item for item in made(levers=reports, max_payback=1e6).items}
    used = next(lever.lever for lever in report.levers if lever.used)

    assert items[f"{report.workload}/{used}"].command.startswith("advisor recommend chat.yaml ")
    other = items[f"other/{used}"]
    assert other.command == "advisor recommend 'more/other one.yaml' --format json -o plan-other.json"
    assert "`advisor check plan-other.json` passes" in other.check
    assert "advisor levers 'more/other one.yaml' --cache cache-other.json" in items["assess/other/response_cache"].check
    assert len({item.command for item in items.values() if item.id.endswith("response_cache")}) == len(reports)


def test_a_workload_beside_its_levers_is_named_from_where_the_programme_is_made(report, tmp_path, monkeypatch):
    """Levers that were priced in two folders name the file of each, though both called it workload.yaml there."""
    monkeypatch.chdir(tmp_path)
    words = ["--start", "2026-12-01", "--hourly-rate", "100", "--max-payback", "1e6", "--format", "json"]
    for name in ("chat", "search"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "workload.yaml").write_text("name: it\n")
        levers = plain(replace(report, workload=name, path="workload.yaml"), "levers")
        (tmp_path / name / "levers.json").write_text(json.dumps({"schema": SCHEMA} | levers))
        words += ["--levers", f"{name}/levers.json"]
    made = json.loads(CliRunner().invoke(command, words).output)
    commands = {item["id"].split("/")[0]: item["command"] for item in made["items"] if item["id"].endswith("/resize")}

    assert {name: command.split()[2] for name, command in commands.items()} == {
        "chat": "chat/workload.yaml",
        "search": "search/workload.yaml",
    }


def test_files_are_read_back(report, tmp_path):
    """A report of levers and a programme are the same after their files; another schema is refused."""
    (tmp_path / "levers.json").write_text(json.dumps({"schema": SCHEMA} | plain(report, "levers")))
    again = made(levers=(LEVERS.read(tmp_path / "levers.json"),), max_payback=1e6)
    (tmp_path / "programme.json").write_text(programme_json(again))

    assert PROGRAMME.read(tmp_path / "programme.json").items[0] == again.items[0]
    assert programme_json(PROGRAMME.read(tmp_path / "programme.json")) == programme_json(again)
    with pytest.raises(InputError, match="this version reads"):
        PROGRAMME.read(tmp_path / "levers.json")


def test_every_item_is_an_issue():
    """Each item has an issue with title, body and labels; Markdown of a name cannot change it."""
    programme = made(finding(evidence="nat `x` *y*", resources=("nat-1",)), owners={"network": "team-net"})
    issues = json.loads(programme_json(programme))["issues"]

    assert [issue["labels"] for issue in issues] == [
        ["owner:platform", "week:1", "assess/baseline"], ["owner:team-net", "week:2", "ADV112"],
    ]  # fmt: skip
    assert "\\*y\\*" in issues[1]["body"]
    assert "$500.00 ($0.00 to $1,000.00) a month" in issues[1]["body"]
    shown = sections_text(programme_sections(programme), 80)
    assert "$500.00" in shown
    assert all(
        f"${item.one_off_usd:,.2f}" in sections_text(programme_sections(programme), None) for item in programme.items
    )
    assert {f"{item.id}: {item.command}" for item in programme.items} <= set(shown.splitlines())


@given(st.lists(st.floats(40, 1e6), min_size=1, max_size=8))
def test_what_is_shown_adds_up_to_the_cent(savings):
    """Amounts of the items, their bounds too, are those of the total, on the screen and in the file."""
    named = enumerate(savings, 200)
    programme = made(*(finding(f"ADV{number}", usd, (f"r-{number}",)) for number, usd in named), max_payback=1e6)
    items = [item.saving for item in programme.items if item.saving is not None and not item.counted_in]
    written = json.loads(programme_json(programme))

    assert len(items) == len(savings)
    for name in ("usd_per_month", "low_usd_per_month", "high_usd_per_month"):
        cents = sum(Decimal(f"{getattr(saving, name):.2f}") for saving in items)
        assert cents == Decimal(f"{getattr(programme.total, name):.2f}")
        assert written["total"][name] == float(cents)


def test_a_plan_counts_by_itself_or_in_its_levers(priced):
    """A plan saves what it costs less than today; where levers of its workload are given the saving is theirs."""
    report, plan = priced
    alone = made(plans={"plan.json": plan})
    beside = made(levers=(report,), plans={"plan.json": plan}, max_payback=1e6)
    unknown = made(plans={"plan.json": replace(plan, current=None)})

    saved = plan.current.total_usd_per_month - plan.fleet.cost.total_usd_per_month
    assert alone.total.usd_per_month == pytest.approx(saved)
    assert beside.total == made(levers=(report,), max_payback=1e6).total
    assert "state current" in unknown.left_out[0].why


def dearer_levers(report, usd):
    """The report with a combination that costs more."""
    rung = replace(report.together.plan, total_usd_per_month=report.together.plan.total_usd_per_month + usd)
    return replace(report, together=replace(report.together, plan=rung))


@pytest.mark.parametrize("billed_usd", [None, 3000.0])
def test_a_plan_cheaper_than_all_levers_counts_in_their_place(priced, billed_usd):
    """No item saves more than its combination, whatever the bill has; a note has both numbers."""
    report, plan = priced
    planned = plan.fleet.cost.total_usd_per_month
    report = dearer_levers(report, planned)
    billed = None if billed_usd is None else BilledMonth(9000.0, {normalised(report.workload): billed_usd})
    programme = made(levers=(report,), plans={"plan.json": plan}, max_payback=1e6, billed=billed)

    (combination,) = programme.combinations
    assert combination.usd_per_month == planned
    savings = [item.saving.usd_per_month for item in programme.items if item.counted_in == combination.id]
    assert max(savings) == combination.saving.usd_per_month == programme.total.usd_per_month
    assert any(f"costs {planned:,.2f} USD a month and its levers together" in note for note in programme.notes)


def test_fewer_machines_are_an_item(report):
    """What the plan without any lever costs less than today has an item; a note has what items and total differ by."""
    without = report.without.total_usd_per_month
    current = replace(report.current, instances=2, total_usd_per_month=without + 1000.0)
    programme = made(levers=(replace(report, current=current),), max_payback=1e6)
    (combination,) = programme.combinations
    items = {item.id: item for item in programme.items if item.saving}
    resize = items[f"{report.workload}/resize"]

    assert resize.saving.usd_per_month == 1000.0
    assert resize.detail.startswith("2 × g5.12xlarge → 2 × g5.xlarge on demand; alone ")
    held = {line for lever in report.levers for line in lever.held_line.split("; ") if line}
    assert held
    assert all(line in resize.detail for line in held)
    assert dict(combination.alone_usd_per_month)[resize.id] == pytest.approx(1000.0)
    items_usd = sum(item.saving.usd_per_month for item in items.values())
    told = [note for note in programme.notes if f"its items come to {items_usd:,.2f}" in note]
    assert bool(told) is (abs(items_usd - combination.saving.usd_per_month) >= 0.01)


def test_no_item_runs_fewer_machines_where_none_is_saved(report):
    """Where today costs no more than the plan without any lever, there is nothing to resize."""
    current = replace(report.current, total_usd_per_month=report.without.total_usd_per_month)
    programme = made(levers=(replace(report, current=current),), max_payback=1e6)

    assert f"{report.workload}/resize" not in {item.id for item in programme.items}


@pytest.mark.parametrize("with_levers", [False, True])
def test_a_plan_that_its_replay_refuses_saves_nothing(priced, with_levers):
    """It is left out with the share that is within the SLO, beside levers too."""
    report, plan = priced
    short = replace(plan.fleet.confirmed, within_slo_ratio=0.5, reached=False)
    refused = replace(plan, fleet=replace(plan.fleet, confirmed=short))
    levers = (report,) if with_levers else ()
    programme = made(levers=levers, plans={"plan.json": refused}, max_payback=1e6)

    assert programme.total == made(levers=levers, max_payback=1e6).total
    assert f"plan/{report.workload}" not in {item.id for item in programme.items}
    (why,) = (left.why for left in programme.left_out if left.id == f"plan/{report.workload}")
    assert "50% of the requests within it" in why


@pytest.mark.parametrize(
    ("machines", "is_left_out"), [(("g5.12xlarge",), True), (("g5.12xlarge", "p5.48xlarge"), False)]
)
def test_nothing_is_committed_to_that_a_plan_replaces(priced, machines, is_left_out):
    """A commitment to the type that runs today is left out where plan or levers run on others; any other type stays."""
    report, plan = priced
    commit = finding("ADV107", machines=machines)
    for programme in (
        made(commit, plans={"plan.json": plan}),
        made(commit, levers=(report,), max_payback=1e6),
    ):
        assert ("ADV107" not in {item.id for item in programme.items}) is is_left_out
        assert any("g5.12xlarge, which" in left.why for left in programme.left_out) is is_left_out


def test_a_commitment_for_other_workloads_too_keeps_their_part(priced):
    """The bill says what is paid for the workload that a plan replaces; machines of the same type of others stay."""
    report, _ = priced
    commit = finding("ADV107", Decimal(300), ("i-1", "i-2", "i-3"), machines=("g5.12xlarge",))
    third = sum(cost for _, cost in commit.resources) / 3
    commit = replace(commit, named={report.workload: third, "other": 2 * third})

    programme = made(commit, levers=(report,), max_payback=1e6)

    (item,) = (item for item in programme.items if item.id == "ADV107")
    assert "33% is not counted: it commits to g5.12xlarge, which levers/" in item.detail
    assert item.saving.usd_per_month == pytest.approx(200, abs=0.01)


def of_search(report):
    """Levers of a workload that the bill does not name, with g6.xlarge today."""
    current = replace(report.current, instance_type="g6.xlarge")
    return replace(report, workload="rerank", current=current)


def test_a_commitment_to_machines_that_all_plans_replace_is_left_out(report):
    """The bill names one of two workloads, and both leave their machines: none of the commitment lasts."""
    commit = finding("ADV107", Decimal(300), ("i-1", "i-2", "i-3", "i-4"), machines=("g5.12xlarge", "g6.xlarge"))
    commit = replace(commit, named={report.workload: Decimal(30), "search": Decimal(10)})

    programme = made(commit, levers=(report, of_search(report)), max_payback=1e6)

    (why,) = (left.why for left in programme.left_out if left.id == "ADV107")
    assert why == ("it commits to g5.12xlarge, which levers/chat replaces and g6.xlarge, which levers/rerank replaces")


@pytest.mark.parametrize(
    ("is_billed", "id_", "counted_in"), [(True, "ADV107", ""), (True, "ADV101", ""), (False, "ADV107", "")]
)
def test_what_others_are_billed_is_not_of_a_workload_that_the_bill_names(report, is_billed, id_, counted_in):
    """The part that one workload keeps of a commitment for two is not a part of the other's levers."""
    named = {report.workload: Decimal(30), "search": Decimal(10)} if id_ == "ADV107" else {"search": Decimal(40)}
    machines = ("g5.12xlarge", "g6.xlarge") if id_ == "ADV107" else ()
    shared = replace(finding(id_, Decimal(300), ("i-1", "i-2", "i-3", "i-4"), named=named), machines=machines)
    month = billed(9000.0, **{normalised(report.workload): 5000.0}) if is_billed else None

    programme = made(shared, levers=(report,), max_payback=1e6, billed=month)

    (item,) = (item for item in programme.items if item.id == id_)
    assert item.counted_in == counted_in
    assert item.saving.usd_per_month == pytest.approx(75.0 if id_ == "ADV107" else 300.0)


def test_a_finding_of_a_workload_without_a_name_on_the_bill_counts_in_its_levers(report):
    """What is paid for the other is what the bill has under its name, so that it is not of that one."""
    month = billed(9000.0, **{normalised(report.workload): 5000.0})

    programme = made(
        finding("ADV101", Decimal(300), named={"search": Decimal(10)}),
        levers=(report, of_search(report)), max_payback=1e6, billed=month,
    )  # fmt: skip

    (item,) = (item for item in programme.items if item.id == "ADV101")
    assert item.counted_in == "levers/rerank"


def test_what_is_paid_for_a_workload_is_counted_in_no_finding_of_its_resources(report):
    """The plan takes the place of all that the bill has of a workload, logs too: findings there are left out."""
    name = report.workload
    month = billed(9000.0, **{normalised(name): 8000.0})
    unstated = replace(report, current=None)
    whole = finding("ADV113", Decimal(500), ("logs",), named={name: Decimal(10)})
    partly = finding("ADV112", Decimal(500), ("nat-1", "nat-2"), named={name.upper(): Decimal(5)})
    elsewhere = finding("ADV115", Decimal(400), ("ip",), named={"other": Decimal(10)})
    commit = finding("ADV107", Decimal(300), ("i-1",), machines=("g5.12xlarge",), named={name: Decimal(10)})
    programme = made(whole, partly, elsewhere, commit, levers=(unstated,), max_payback=1e6, billed=month)

    (combination,) = programme.combinations
    assert programme.total.usd_per_month == pytest.approx(combination.saving.usd_per_month + 375 + 400, abs=0.01)
    why = {left.id: left.why for left in programme.left_out}
    assert why["ADV113"] == f"it is part of what is paid for {name}, which levers/{name} replaces"
    assert why["ADV107"] == f"it commits to g5.12xlarge, which levers/{name} replaces"
    (part,) = (item for item in programme.items if item.id == "ADV112")
    assert "25% is not counted" in part.detail


def test_an_audit_says_whose_the_resources_of_a_finding_are(tmp_path):
    """By the values of the tags that it shows, in the document too."""
    start = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    nights = [start + dt.timedelta(days=day) for day in range(30)]
    charges = [Charge("nat", Decimal(45), resource="nat-1", at=at, tags={"app": "chat"}) for at in nights]
    charges += [Charge("nat", Decimal(5), resource="nat-2", at=at, tags={"app": "other"}) for at in nights]
    bill = write_focus(tmp_path / "bill.csv", charges)
    with audited(AuditInputs((str(bill),), tags=("app",))) as opened:
        (tmp_path / "audit.json").write_text(audit_json(opened.audit))
    (nat,) = (each for each in read_audit(tmp_path / "audit.json").findings if each.id == "ADV112")
    assert {name: float(cost) for name, cost in nat.named.items()} == {"chat": 1350.0, "other": 150.0}


@pytest.fixture(scope="module")
def audit_document(tmp_path_factory):
    """An audit with findings, as its command writes it."""
    start = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    nights = [start + dt.timedelta(days=day) for day in range(30)]
    charges = [Charge("nat", Decimal(45), resource="nat-1", at=at) for at in nights]
    bill = write_focus(tmp_path_factory.mktemp("bill") / "bill.csv", charges)
    with audited(AuditInputs((str(bill),))) as opened:
        return json.loads(audit_json(opened.audit))


@pytest.fixture
def audit_file(audit_document, tmp_path):
    """Writes that audit, with other fields of each finding."""

    def write(**changes):
        findings = [entry | changes for entry in audit_document["findings"]]
        (tmp_path / "audit.json").write_text(json.dumps(audit_document | {"findings": findings}))
        return tmp_path / "audit.json"

    return write


def test_every_finding_of_an_audit_is_an_item_or_left_out(audit_document, audit_file):
    """A fresh audit's own file is read: its savings, bounds and resources are those of the items."""
    findings = read_audit(audit_file()).findings
    programme = made(*findings, max_payback=1e6)
    items = {item.id: item for item in programme.items if not item.id.startswith("assess/")}

    assert findings
    assert items.keys() | {left.id for left in programme.left_out} == {f["id"] for f in audit_document["findings"]}
    saving = next(entry for entry in audit_document["findings"] if entry["basis"] == "saving")
    assert items[saving["id"]].saving.usd_per_month == round(saving["usd_per_month"], 2)
    assert items[saving["id"]].resources == tuple(sorted(resource["name"] for resource in saving["resources"]))


def test_amounts_of_another_currency_are_refused(audit_file):
    """An audit without USD amounts is refused, with the option that converts them."""
    with pytest.raises(InputError, match="in USD a month") as refused:
        read_audit(audit_file(usd_per_month=None))

    assert "--rate" in refused.value.hint


@pytest.mark.parametrize("changes", [{"effort": 3}, {"resources": [1]}, {"per_month": "x"}])
def test_a_document_of_other_fields_is_an_error(audit_file, changes):
    """A field of another kind is named and no traceback."""
    with pytest.raises(InputError, match="it is not an audit"):
        read_audit(audit_file(**changes))


def test_the_same_input_gives_the_same_bytes(run_advisor, audit_file):
    """Programmes of one input are equal, byte by byte, whatever the seed of hashes."""
    words = ("programme", "--audit", audit_file(), "--start", START, "--format", "json", "--hourly-rate", "100")

    first, second = (run_advisor(*words, PYTHONHASHSEED=seed) for seed in "12")

    assert first.stdout == second.stdout != ""


def test_work_is_not_free():
    """An hourly rate of zero, or that nobody asks, is refused, and so is a programme of nothing."""
    words = ["--start", "2026-12-01", "--hourly-rate"]

    refused = CliRunner().invoke(command, [*words, "0"]).output
    assert (
        "0 is not above 0 and at most 100000: work is not free; give what an hour of it costs, such as 100"
        in " ".join(refused.split())
    )
    assert "1e308 is not above 0 and at most 100000" in CliRunner().invoke(command, [*words, "1e308"]).output
    assert "a programme is made of them" in CliRunner().invoke(command, [*words, "100"]).output


def test_an_owner_tag_that_no_item_has_is_refused():
    """A name that would go nowhere is a slip; the tags are told."""
    words = ["--start", "2026-12-01", "--hourly-rate", "100", "--owner"]

    refused = CliRunner().invoke(command, [*words, "zz=a"])
    assert refused.exit_code == 2
    assert "no item has the owner tag 'zz'" in " ".join(refused.output.split())
    assert "platform, ml, finance" in " ".join(refused.output.split())
    assert set(OWNERS) == {"platform", "finance", "ml", "data", "network", "application"}


def test_hours_of_a_lever_that_the_plan_holds_count_once(priced):
    """The plan's item has no hours of its own beside a used lever that the workload file allows already."""
    report, plan = priced
    used = next(lever for lever in report.levers if lever.used)
    for beyond, hours in ((False, 0.0), (True, 24.0)):
        levers = tuple(replace(lever, beyond_stated=beyond) for lever in report.levers)
        programme = made(levers=(replace(report, levers=levers),), plans={"plan.json": plan}, max_payback=1e6)
        items = {item.id: item for item in programme.items}

        assert items[f"plan/{report.workload}"].effort_hours == hours
        assert ("allows it already" in items[f"{report.workload}/{used.lever}"].detail) is not beyond


def test_the_cache_of_an_embedder_is_measured_with_its_model(report):
    """Its replay is of vectors, and names the model that they are of."""
    (lacking,) = (lever for lever in report.unpriced if lever.lever == "response_cache")
    embedder = replace(
        report, model="BAAI/bge-m3", path="embed.yaml", unpriced=(replace(lacking, lever="embedding_cache"),)
    )
    item = next(item for item in made(levers=(embedder,), max_payback=1e6).items if item.id.endswith("embedding_cache"))

    assert "advisor demand cache LOG --embedder BAAI/bge-m3 " in item.command
    assert "advisor levers embed.yaml --cache" in item.check


def test_caches_are_measured_only_where_nothing_measured_them(report):
    """A semantic cache alone without a figure asks for no replay of a log that was replayed."""
    measured = tuple(lever for lever in report.unpriced if lever.lever != "response_cache")

    name = f"assess/{report.workload}/response_cache"

    assert name in {item.id for item in made(levers=(report,), max_payback=1e6).items}
    assert name not in {item.id for item in made(levers=(replace(report, unpriced=measured),), max_payback=1e6).items}


def billed(usd, **by_name):
    """A month of a bill."""
    return BilledMonth(usd, by_name)


def test_what_the_bill_has_of_a_workload_is_what_is_saved_of(report):
    """Neither today's deployment at list price nor a plan: the bill minus the plan, with both numbers said."""
    together, stated = report.together.plan.total_usd_per_month, report.paid_usd_per_month
    name = normalised(report.workload)
    programme = made(levers=(report,), max_payback=1e6, billed=billed(5000.0, **{name: 2000.0}))
    (combination,) = programme.combinations
    assert combination.saving.usd_per_month == pytest.approx(2000 - together, abs=0.01)
    assert combination.saving.usd_per_month == programme.total.usd_per_month
    lower_usd = together - report.together.price_range.low_usd_per_month
    assert combination.saving.high_usd_per_month == pytest.approx(2000 - together + lower_usd, abs=0.01)
    assert all(item.saving.usd_per_month <= 2000 for item in programme.items if item.counted_in)
    assert max(saved for _, saved in combination.alone_usd_per_month) <= combination.saving.usd_per_month + 0.01
    worth = {f"{report.workload}/{lever.lever}": lever.worth_usd_per_month for lever in report.levers if lever.used}
    assert dict(combination.without_usd_per_month) == pytest.approx(
        {name: 2000 - together - (worth.get(name) or 0.0) for name, _ in combination.alone_usd_per_month}
    )
    (note,) = (note for note in programme.notes if note.startswith("the bill has"))
    assert "2,000.00 USD a month" in note
    assert f"{stated:,.2f} USD a month" in note
    same = made(levers=(report,), billed=billed(9000.0, **{name: stated}))
    assert not any("bill" in note for note in same.notes)


def test_savings_of_a_plan_that_nobody_pays_are_no_more_than_the_bill(report):
    """Where nothing is said to run and no tag names the workload, the bill is the most, and nothing the least."""
    without = replace(report.without, total_usd_per_month=12_000.0)
    hypothetical = replace(report, current=None, without=without)
    unpaid = made(levers=(hypothetical,))
    assert unpaid.total.usd_per_month > 9000
    assert any("neither a bill nor `current`" in note and "12,000.00" in note for note in unpaid.notes)
    assert not any("neither a bill" in note for note in made(levers=(report,)).notes)
    programme = made(levers=(hypothetical,), billed=billed(9000.0))
    together = report.together.plan.total_usd_per_month
    assert programme.total.usd_per_month == pytest.approx(9000 - together, abs=0.01)
    lowest_usd = report.together.price_range.low_usd_per_month
    assert programme.total.low_usd_per_month == 0
    assert programme.total.high_usd_per_month == pytest.approx(9000 - lowest_usd, abs=0.01)
    (note,) = (note for note in programme.notes if note.startswith("no tag and no endpoint"))
    assert "12,000.00" in note
    assert "9,000.00" in note


@pytest.mark.parametrize("usd", [50.0, -50.0])
def test_a_bill_too_small_for_a_workload_that_it_does_not_name_is_not_its_baseline(report, usd):
    """It runs elsewhere: savings are as without a bill, with a note, whatever findings there are."""
    hypothetical = replace(report, current=None, without=replace(report.without, total_usd_per_month=12_000.0))
    programme = made(levers=(hypothetical,), billed=billed(usd))

    assert programme.total == made(levers=(hypothetical,)).total
    (note,) = (note for note in programme.notes if note.startswith("no tag and no endpoint"))
    assert "it is not on this bill, and savings are of the plan without any of them (12,000.00" in note


def test_levers_say_what_they_save_of_the_plan_that_is_given(priced):
    """A plan is cheaper than the one without any lever: its cost, the saving of it and the payback."""
    report, plan = priced
    hypothetical = replace(report, current=None, without=replace(report.without, total_usd_per_month=12_000.0))
    together = report.together.plan.total_usd_per_month
    cost = replace(plan.fleet.cost, total_usd_per_month=together + 500)
    dearer = replace(plan, current=None, fleet=replace(plan.fleet, cost=cost))
    programme = made(levers=(hypothetical,), plans={"plan.json": dearer}, max_payback=1e6)

    (note,) = (note for note in programme.notes if note.startswith("plan.json costs"))
    assert f"plan.json costs {together + 500:,.2f} USD a month: of that levers/{report.workload} saves 500.00" in note
    assert "USD is paid back in " in note


def test_a_bill_whose_credits_exceed_its_charges_saves_nothing(report):
    """The total is 0 and not the negative bill; the notes have the amounts that the bill has."""
    month = billed(-3000.0, **{normalised(report.workload): -2000.0})
    programme = made(finding(), levers=(report,), max_payback=1e6, billed=month)

    assert programme.total == NOTHING
    assert programme.payback_months is None
    notes = " ".join(programme.notes)
    assert f"the bill has -2,000.00 USD a month of {report.workload}, its credits exceed its charges" in notes
    assert "the bill comes to -3,000.00 USD a month: its credits exceed its charges" in notes
    assert "which is taken for the total" not in notes


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_no_more_is_promised_than_is_billed(of_one, whole, first, second):
    """Of two workloads and a finding."""
    levers = tuple(replace(of_one, workload=name) for name in ("a", "b"))
    month = billed(whole, a=min(first, whole), b=min(second, whole))
    programme = made(finding(usd=5000.0), levers=levers, max_payback=1e9, billed=month)
    assert programme.total.usd_per_month <= whole + 0.01
    assert programme.total.low_usd_per_month <= programme.total.usd_per_month <= programme.total.high_usd_per_month


@pytest.fixture(scope="module")
def of_one(priced):
    """The levers, for generated cases."""
    return priced[0]


def test_a_bill_is_read_with_its_tags(tmp_path):
    """A month of 730 hours of each tag's value; none of a bill without a period, or in another currency."""
    start = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    charges = [
        Charge(resource="i-1", at=start + dt.timedelta(hours=hour), tags={"team": "Chat-Bot"}) for hour in range(10)
    ]
    bill = write_focus(tmp_path / "bill.csv", charges)
    with audited(AuditInputs((str(bill),))) as opened:
        month = billed_month(opened.audit)
    assert month.usd_per_month == pytest.approx(730)
    assert month.of("chat-bot") == pytest.approx(730)
    assert month.of("other") is None
    euros = replace(opened.audit, bill=replace(opened.audit.bill, currency="EUR"))
    assert billed_month(euros) is None


@pytest.mark.parametrize(
    ("page", "heading"), [("docs/programme.md", "# Thirty days, and what they saved"), ("README.md", "## Use it")]
)
def test_printed_commands_work_one_after_another(run_advisor, tmp_path, page, heading):
    """The block of the page, as a shell takes it, for a workload with a bill; ID is an item of the programme."""
    block = (ROOT / page).read_text().split(f"{heading}\n")[1].split("```")[1]
    steps = ("levers", "audit bill.csv --tag", "programme", "review")
    lines = [line for line in block.splitlines() if line.startswith(tuple(f"advisor {step}" for step in steps))]
    workload_path = tmp_path / next(word for line in lines for word in line.split() if word.endswith("workload.yaml"))
    workload_path.parent.mkdir(parents=True, exist_ok=True)
    workload_path.write_text(SMALL)
    first = dt.datetime(2026, 11, 10, tzinfo=dt.UTC)
    nights = [first + dt.timedelta(days=day) for day in range(40)]
    charges = [Charge(cost=Decimal(140), resource="i-1", at=at, tags={"app": "small"}) for at in nights]
    charges += [Charge("nat", Decimal(45), resource="nat-1", at=at) for at in nights]
    (tmp_path / "bills").mkdir()
    for name in ("bill.csv", "bills/bill.csv"):
        write_focus(tmp_path / name, charges)

    assert len(lines) == len(steps)
    items = iter(())
    for line in lines:
        words = [
            next(items) + word.removeprefix("ID") if word.startswith("ID=") else word
            for word in shlex.split(line, comments=True)
        ]
        done = run_advisor(*words[1:], cwd=tmp_path)
        assert done.returncode == 0, (line, done.stderr)
        if (tmp_path / "programme.json").exists():
            items = (
                item["id"] for item in json.loads((tmp_path / "programme.json").read_text())["items"] if item["saving"]
            )
