"""A directory of workloads, as a user meets it."""

import importlib.util
import json
import os
import re
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.estate import plan_estate, workload_files
from advisor.pipeline import recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.plan.estate.values import FAILED, INFEASIBLE, PLANNED
from advisor.processes import Spread
from advisor.report.estate_table import estate_table

WORKLOAD = """\
name: {name}
model: meta-llama/Llama-3.2-1B-Instruct
precisions: [fp8, bf16]
slo: {{ttft_p95: 1s, tpot_p95: {tpot}}}
demand: {{declared: {{requests_per_second: {rate}, input_tokens: 600, output_tokens: 150}}}}
providers: [aws, azure]
regions: [us-east-1, eastus]
"""
ESTATE = """\
limits:
  quotas:
    - {provider: aws, region: us-east-1, code: L-DB2E81BA, limit: 8}
commitments:
  - {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 1, expires: 2035-01-01}
"""
ELSEWHERE = ("L-417A185B", "L-1945791B", "L-2C3B7624", "L-6E869C2A", "L-1216C47A")
"""Quotas of the other accelerators, P, Inf, Trn, DL, and of processors alone."""


def estate_in(directory, count=3, rate=4, terms=ESTATE, **odd):
    """A directory of equal workloads; of those named with another rate or target."""
    directory.mkdir(exist_ok=True)
    for at in range(count):
        (directory / f"w{at}.yaml").write_text(WORKLOAD.format(name=f"w{at}", rate=rate, tpot="40ms"))
    for name, changes in odd.items():
        (directory / f"{name}.yaml").write_text(
            WORKLOAD.format(**{"name": name, "rate": rate, "tpot": "40ms"} | changes)
        )
    if terms:
        (directory / "estate.yaml").write_text(terms)
    return directory


def bytes_of(planned) -> str:
    """Everything that is written of an estate."""
    return estate_to_json(planned.estate, planned.plans) + "".join(planned.plans.values())


def test_what_is_shared_is_within_its_limits(tmp_path):
    """The sum over all plans keeps to the quota and uses the owned instance once; each plan is one to work with."""
    planned = plan_estate(estate_in(tmp_path))
    plans = [plan_from_json(text) for text in planned.plans.values()]
    quota, owned = planned.estate.shared

    assert [row.status for row in planned.estate.workloads] == [PLANNED] * 3
    assert quota.used <= quota.limit == 8
    assert owned.used == owned.limit == 1
    assert len(planned.estate.together.workloads) == 3
    assert planned.estate.together.gap_ratio == 0
    groups = [group for plan in plans for group in plan.fleet.groups]
    assert sum(group.instances[-1] for group in groups if group.purchase == "owned") == 1
    total = sum(plan.fleet.cost.total_usd_per_month for plan in plans)
    assert planned.estate.totals.fleets_usd_per_month == pytest.approx(total, abs=0.01)


def test_without_a_contest_each_is_planned_as_alone(tmp_path):
    """Where there is no quota, and where it holds for all, fleets and totals are those of each file by itself."""
    directory = estate_in(tmp_path, 1, terms="", busy={"rate": 60})
    alone = {path.name: recommend(path).fleet for path in workload_files(directory)}
    unlimited = plan_estate(directory)
    (directory / "estate.yaml").write_text(ESTATE.partition("commitments")[0].replace("8", "800"))
    enough = plan_estate(directory)

    for planned in (unlimited, enough):
        fleets = {file: plan_from_json(text).fleet for file, text in planned.plans.items()}
        assert planned.estate.together.workloads == ()
        for file, fleet in fleets.items():
            assert [group.name for group in fleet.groups] == [group.name for group in alone[file].groups]
            assert [group.instances for group in fleet.groups] == [group.instances for group in alone[file].groups]
            assert fleet.cost.total_usd_per_month == alone[file].cost.total_usd_per_month


def test_one_that_replaces_machines_gets_the_plan_of_its_file_alone(tmp_path):
    """Where nothing is contested: the same fleet, and the same judgement of what runs today."""
    text = WORKLOAD.format(name="w", rate=20, tpot="200ms").replace("aws, azure", "aws").replace(", eastus", "")
    text += "current: {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 1}\npurchase: [on_demand]\n"
    directory = estate_in(tmp_path / "estate", 0, terms="")
    (directory / "w.yaml").write_text(text)
    plan = recommend(directory / "w.yaml")

    assert plan_estate(directory).plans == {"w.yaml": plan_to_json(plan)}
    assert plan.current.instances_needed == 1


def test_a_division_takes_from_nobody_what_he_could_do_without(tmp_path):
    """Where the quota is short, some go where it does not hold, though nothing of that was in their first fleets."""
    terms = "limits: {quotas: [{provider: aws, region: us-east-1, code: L-1945791B, limit: 4}]}\n"

    estate = plan_estate(estate_in(tmp_path, 3, terms=terms)).estate

    assert estate.conflict == ()
    assert len(estate.together.workloads) == 3
    assert len({row.fleet for row in estate.workloads}) > 1


def test_what_the_account_owns_is_shared(tmp_path, run_advisor):
    """Commitments and regions of the overlay file: the one instance serves one of two, in the region that is allowed."""
    overlay = tmp_path / "config/advisor/catalog.yaml"
    overlay.parent.mkdir(parents=True)
    owned = "{provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 1, expires: 2099-01-01}"
    overlay.write_text(f"version: advisor.overlay/v1\nregions: {{aws: [us-east-1]}}\ncommitments: [{owned}]\n")
    directory = estate_in(tmp_path / "in", 2, terms="sharing: none\n")
    done = run_advisor(
        "recommend", directory, "--format", "json", "--jobs", "1", XDG_CONFIG_HOME=str(overlay.parents[1])
    )
    plans = json.loads(done.stdout)["plans"].values()
    groups = [group for plan in plans for group in plan["fleet"]["groups"]]

    assert done.returncode == 0, done.stderr
    assert sum(max(group["instances"]) for group in groups if group["purchase"] == "owned") == 1
    assert {group["region"] for group in groups if group["provider"] == "aws"} == {"us-east-1"}


def test_a_file_that_fails_does_not_stop_the_others(tmp_path, run_advisor):
    """Errors are told file by file at the end, with everything else planned and written; the exit code is 1."""
    directory = estate_in(tmp_path / "in", 1, impossible={"tpot": "1us"})
    (directory / "broken.yaml").write_text("name: broken\n")
    text = (directory / "w0.yaml").read_text()
    (directory / "unknown.yaml").write_text(re.sub("model: .*", "model: Qwen/Qwen3-8BX", text))

    done = run_advisor("recommend", directory, "-o", tmp_path / "out", "--jobs", "1")
    estate = json.loads((tmp_path / "out" / "estate.json").read_text())

    assert done.returncode == 1
    assert "2 of 4 files have to be fixed, and 1 workload cannot be served" in done.stderr
    assert "broken.yaml:1: the key 'model' is missing" in done.stderr
    assert " unknown.yaml: model 'Qwen/Qwen3-8BX' is not known" in done.stderr
    assert {row["file"]: row["status"] for row in estate["workloads"]} == {
        "broken.yaml": FAILED, "impossible.yaml": INFEASIBLE, "unknown.yaml": FAILED, "w0.yaml": PLANNED
    }  # fmt: skip
    message = next(row["message"] for row in estate["workloads"] if row["status"] == INFEASIBLE)
    first, second = message.split()[:2]
    assert first.rstrip(":") != second
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "estate.json", "impossible.plan.json", "w0.plan.json"
    ]  # fmt: skip
    assert estate["totals"]["total_usd_per_month"] == estate["workloads"][3]["usd_per_month"]


def test_a_run_that_cannot_be_written_leaves_the_one_before(tmp_path, run_advisor):
    """The plans and the estate of two runs are never side by side; links and pipes stay what they are."""
    directory, out = estate_in(tmp_path / "in", 2), tmp_path / "out"
    (out / "w1.plan.json").mkdir(parents=True)
    (out / "w0.plan.json").write_text("old")
    (out / "estate.json").symlink_to(tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text("old")

    failed = run_advisor("recommend", directory, "-o", out, "--jobs", "1")

    assert failed.returncode == 1
    assert f"{out / 'w1.plan.json'}: cannot write: Is a directory; none of the files was changed" in failed.stderr
    assert "move the directory away" in failed.stderr
    assert (out / "w0.plan.json").read_text() == (out / "estate.json").read_text() == "old"

    (out / "w1.plan.json").rmdir()
    done = run_advisor("recommend", directory, "-o", out, "--jobs", "1")

    assert done.returncode == 0, done.stderr
    assert (out / "estate.json").is_symlink()
    assert json.loads((tmp_path / "kept.json").read_text())["schema"] == "advisor.estate/v1"
    assert sorted(path.name for path in out.iterdir()) == ["estate.json", "w0.plan.json", "w1.plan.json"]


def test_a_file_gets_one_document_of_all_plans(tmp_path, run_advisor):
    """``-o all.json`` and ``-o all.md`` are documents, as ``--format`` prints them; an existing one is replaced."""
    directory = estate_in(tmp_path / "in", 2)
    (tmp_path / "all.json").write_text("old")

    done = run_advisor("recommend", directory, "-o", tmp_path / "all.json", "--jobs", "1")
    document = json.loads((tmp_path / "all.json").read_text())

    assert (done.returncode, done.stdout) == (0, "")
    assert f"wrote {tmp_path / 'all.json'}" in done.stderr
    assert sorted(document["plans"]) == ["w0.yaml", "w1.yaml"]


def test_a_folder_of_unfinished_files_alone_says_where_they_are(tmp_path, run_advisor):
    """Where `advisor init` could finish none, the hint names the folder in which each says what it lacks."""
    (tmp_path / "incomplete").mkdir()

    done = run_advisor("recommend", tmp_path)

    assert done.returncode == 1
    assert f"files in {tmp_path / 'incomplete'} say what they lack" in " ".join(done.stderr.split())


def test_the_age_of_prices_is_told_and_limited(tmp_path, run_advisor):
    """The oldest of all fleets, and a limit that refuses it."""
    directory = estate_in(tmp_path, 2)
    done = run_advisor("recommend", directory, "--jobs", "1")
    assert done.stderr.count("the oldest price used, of") == 1
    refused = run_advisor("recommend", directory, "--jobs", "1", "--max-price-age", "1")
    assert refused.returncode == 1
    assert "1 days are the limit" in refused.stderr


def test_one_without_a_fleet_is_infeasible(tmp_path, run_advisor):
    """Where every file is right but one workload cannot be served, the exit code is 4 and the reason is shown."""
    done = run_advisor("recommend", estate_in(tmp_path, 1, impossible={"tpot": "1us"}), "--jobs", "1")

    assert done.returncode == 4
    assert "1 of 2 workloads cannot be served" in done.stderr


def test_a_quota_that_is_too_small_is_named_with_what_would_do(tmp_path):
    """Where nobody can go elsewhere, the shared quota is named, and so much of it serves all."""

    def planned(limit):
        quotas = [("L-DB2E81BA", limit), *((code, 0) for code in ELSEWHERE)]
        lines = [f"    - {{provider: aws, region: us-east-1, code: {code}, limit: {most:g}}}" for code, most in quotas]
        directory = estate_in(tmp_path, 3, terms="\n".join(["limits:", "  quotas:", *lines]) + "\n")
        for path in workload_files(directory):
            path.write_text(path.read_text().replace("[aws, azure]", "[aws]").replace(", eastus", ""))
        return plan_estate(directory).estate

    (conflict,) = planned(8).conflict

    assert (conflict.constraint, conflict.limit, conflict.unit) == ("quota", 8, "units")
    assert planned(conflict.used).conflict == ()


def test_a_budget_of_all_is_kept_or_named(tmp_path, run_advisor):
    """A total above the estate's budget is no plan; the least that would do is said."""
    directory = estate_in(tmp_path, 2, terms="limits: {max_usd_per_month: 10}\n")

    done = run_advisor("recommend", directory, "--jobs", "1", "--format", "json")
    estate = json.loads(done.stdout)

    assert done.returncode == 4
    assert "max_usd_per_month: 10 USD/month are too few" in done.stderr
    assert estate["conflict"][0]["used"] == estate["totals"]["total_usd_per_month"]
    assert sorted(estate["plans"]) == ["w0.yaml", "w1.yaml"]


def test_small_workloads_take_turns_only_where_they_may(tmp_path):
    """Taking turns saves on workloads that each keep an accelerator busy for a part of the time, and is asked for."""
    calm = {name: {"rate": 1, "tpot": "100ms"} for name in ("a", "b", "c")}
    alone = plan_estate(estate_in(tmp_path, 0, terms="sharing: none\n", **calm)).estate
    shared = plan_estate(estate_in(tmp_path, 0, terms="sharing: all\n", **calm)).estate

    assert alone.shared_machines == ()
    assert shared.totals.total_usd_per_month < alone.totals.total_usd_per_month
    (machine,) = shared.shared_machines
    assert len(machine.workloads) == 3
    assert (machine.instance_type, machine.slice) == ("g6.xlarge", "")
    saved = round(machine.alone_usd_per_month - machine.usd_per_month, 2)
    assert shared.totals.machines_saved_usd_per_month == saved


def test_parts_by_mps_hold_what_their_limit_says(tmp_path):
    """Each has memory within an equal part, which bounds how many share: those of long requests sit by twos, not by threes."""
    terms = "sharing: mps\n"
    wanted = WORKLOAD.replace("aws, azure", "aws").replace(", eastus", "")
    found = {}
    for name, more in {"short": "", "long": "context_tokens: 120000\n"}.items():
        directory = estate_in(tmp_path / name, 0, terms=terms)
        for at in range(3):
            (directory / f"w{at}.yaml").write_text(wanted.format(name=f"w{at}", rate=1, tpot="100ms") + more)
        found[name] = plan_estate(directory).estate
        (directory / "estate.yaml").write_text("sharing: all\n")
        in_turns = plan_estate(directory).estate
        # A limit on each never makes a packing cheaper than the limit on all.
        assert found[name].totals.total_usd_per_month >= in_turns.totals.total_usd_per_month

    (short,) = found["short"].shared_machines
    assert len(short.workloads) == 3
    assert short.by_mps
    for machine in (short, *found["long"].shared_machines):
        tenants = len(machine.workloads)
        whole_gib = load_catalog().accelerator(machine.seats[0].accelerator).memory_gib
        for seat in machine.seats:
            assert seat.memory_gib <= seat.usable_gib == whole_gib / tenants
            assert seat.most_sharers >= tenants
            assert seat.server == ""
    assert max(len(machine.workloads) for machine in found["long"].shared_machines) == 2
    text = " ".join(estate_table(found["short"]).split())
    assert "a fatal GPU fault of one ends all that share its accelerator" in text
    assert ", mps" in text


def test_an_estate_says_where_no_code_divides_by_mps(tmp_path):
    """Google's machines stay whole, with the reason, and the estate is read as it was written."""
    directory = estate_in(tmp_path, 0, terms="sharing: mps\n")
    text = WORKLOAD.replace("aws, azure", "gcp").replace("us-east-1, eastus", "us-central1")
    for at in range(2):
        (directory / f"w{at}.yaml").write_text(text.format(name=f"w{at}", rate=1, tpot="100ms"))
    estate = plan_estate(directory).estate

    assert not any(machine.by_mps for machine in estate.shared_machines)
    (reason,) = estate.without_parts
    assert reason.startswith("gcp: no code is generated for equal parts of its accelerators by MPS on gke")
    assert "hostIPC" in reason
    assert reason in " ".join(estate_table(estate).split())
    assert estate_from_json(estate_to_json(estate)) == estate
    (directory / "estate.yaml").write_text("sharing: all\n")
    assert plan_estate(directory).estate.without_parts == ()


def test_rows_and_machines_add_up_to_the_total(tmp_path):
    """Seated workloads pay for what stands beside the machine; rows show the replay of the seat, with its fixed cache."""
    directory = estate_in(tmp_path, 0, terms="sharing: all\n", **{name: {"rate": 1, "tpot": "100ms"} for name in "abc"})
    (directory / "c.yaml").write_text(WORKLOAD.format(name="a", rate=1, tpot="100ms"))
    planned = plan_estate(directory)
    estate, (machine,) = planned.estate, planned.estate.shared_machines
    text = estate_table(estate)

    beside = [row.beside_usd_per_month for row in estate.workloads]
    assert all(usd > 0 for usd in beside)
    assert sum(beside) + machine.usd_per_month == pytest.approx(estate.totals.total_usd_per_month, abs=1e-6)
    for row in estate.workloads:
        seat = machine.seat_of(row.file)
        cost = plan_from_json(planned.plans[row.file]).fleet.cost
        assert row.beside_usd_per_month == pytest.approx(cost.standing_usd_per_month + cost.transfer_usd_per_month)
        assert row.within_slo_ratio == seat.within_slo_ratio
        assert 0 < seat.kv_cache_gib < seat.memory_gib
        assert f"{row.beside_usd_per_month:,.2f} + shared" in text
    assert f"= ${machine.usd_per_month:,.2f} of shared machines + ${sum(beside):,.2f} beside them" in text
    assert "a.yaml, c.yaml are all named 'a'" in text
    document = estate_to_json(estate)
    assert estate_to_json(estate_from_json(document)) == document


def test_seats_pay_for_what_stands_beside_the_shared_machine(tmp_path):
    """Workloads whose own fleets would be at Google pay at AWS what fleets of their own there pay beside machines."""
    directory = estate_in(tmp_path / "estate", 0, terms="sharing: mps\n")
    text = WORKLOAD.replace("aws, azure", "aws, gcp").replace("us-east-1, eastus", "us-east-1, us-central1")
    for at in range(2):
        (directory / f"w{at}.yaml").write_text(text.format(name=f"w{at}", rate=1 + at, tpot="100ms"))
    estate = plan_estate(directory).estate
    (machine,) = estate.shared_machines
    alone = [recommend(directory / row.file).fleet for row in estate.workloads]
    there = []
    for path in workload_files(directory):
        path.write_text(path.read_text().replace("aws, gcp", "aws").replace("us-east-1, us-central1", "us-east-1"))
        there.append(recommend(path).fleet)

    assert machine.provider == "aws"
    assert {group.provider for fleet in alone for group in fleet.groups} == {"gcp"}
    for row, own, fleet in zip(estate.workloads, alone, there, strict=True):
        beside = round(fleet.cost.standing_usd_per_month + fleet.cost.transfer_usd_per_month, 2)
        assert row.beside_usd_per_month == beside
        assert beside != round(own.cost.standing_usd_per_month + own.cost.transfer_usd_per_month, 2)
    sums = estate.totals
    total = sum(row.beside_usd_per_month for row in estate.workloads) + machine.usd_per_month
    assert sums.total_usd_per_month == pytest.approx(total, abs=1e-6)
    assert sums.machines_saved_usd_per_month == pytest.approx(sums.fleets_usd_per_month - total, abs=0.01)


def test_the_gap_of_the_packing_is_said_where_it_is_not_proven(tmp_path):
    """The document states it, the text only where the packing is not proven."""
    estate = plan_estate(estate_in(tmp_path, 2, rate=1, terms="sharing: all\n")).estate
    unproven = replace(estate, packing_gap_ratio=0.25)

    assert estate.packing_gap_ratio == 0.0
    assert json.loads(estate_to_json(estate))["packing_gap_ratio"] == 0.0
    assert "not proven the cheapest" not in estate_table(estate)
    assert "not proven the cheapest: the cheapest packing would save the workloads that could meet at most 25.00%" in (
        " ".join(estate_table(unproven).split())
    )
    assert estate_from_json(estate_to_json(unproven)).packing_gap_ratio == 0.25


def test_why_nothing_is_shared_is_said_with_numbers(tmp_path):
    """Where the estate asks for it: workloads that fill machines of their own, or one that has nobody to share with."""
    directory = estate_in(tmp_path, 2, rate=60, terms="sharing: all\n")
    estate = plan_estate(directory).estate
    words = " ".join(estate_table(estate).split())
    assert estate.shared_machines == ()
    assert estate.not_shared
    assert f"nothing is shared: {estate.not_shared}" in words
    assert estate_from_json(estate_to_json(estate)) == estate
    (directory / "w1.yaml").unlink()
    lone = plan_estate(directory).estate.not_shared
    assert re.fullmatch(r"[01] of 1 workload can have a part of an accelerator, on demand", lone)
    (directory / "estate.yaml").write_text("sharing: mig\n")
    assert plan_estate(directory).estate.not_shared == ""
    (directory / "estate.yaml").write_text("sharing: none\n")
    assert plan_estate(directory).estate.not_shared == ""


def test_batch_work_takes_no_seat(tmp_path):
    """Its machine is full while it works, here all the time, and would be away between its runs."""
    directory = estate_in(tmp_path, 2, terms="sharing: all\n")
    batch = "demand: {batch: {items: 2000, every: 1h, deadline: 1h, input_tokens: 600, output_tokens: 150}}"
    lines = (directory / "w0.yaml").read_text().splitlines()
    kept = [batch if line.startswith("demand") else line for line in lines if not line.startswith("slo")]
    (directory / "night.yaml").write_text("\n".join(kept))

    shared = plan_estate(directory).estate

    assert [row.status for row in shared.workloads] == [PLANNED] * 3
    assert [machine.workloads for machine in shared.shared_machines] == [("w0.yaml", "w1.yaml")]


def test_a_pipe_among_the_workload_files_is_refused(tmp_path):
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(InputError, match="a pipe or a device, not a workload file"):
        workload_files(tmp_path)


@pytest.mark.parametrize(("files", "message"), [((), "no workload files"), (("a.yaml", "a.yml"), "two workload files")])
def test_a_directory_has_to_have_workloads(tmp_path, run_advisor, files, message):
    """An empty directory, or two files that would give one plan, is refused."""
    for name in files:
        (tmp_path / name).write_text("name: a\n")

    done = run_advisor("recommend", tmp_path)

    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.sampled(2)
def test_two_processes_give_the_same_bytes(tmp_path):
    """Spread over processes, an estate is the same to the last byte."""
    directory = estate_in(tmp_path)

    assert bytes_of(plan_estate(directory, Spread(2))) == bytes_of(plan_estate(directory))


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_of_two_workers_gives_the_same_bytes(tmp_path):
    """On a real local Dask cluster an estate is the same to the last byte."""
    distributed = pytest.importorskip("distributed", reason="the Dask cluster needs distributed")
    directory = estate_in(tmp_path)

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        spread = plan_estate(directory, Spread(-1, "dask", cluster.scheduler_address))

    assert bytes_of(spread) == bytes_of(plan_estate(directory))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (80 MB): pip install ray")
def test_a_ray_cluster_gives_the_same_bytes(tmp_path):
    """On a real local Ray cluster an estate is the same to the last byte."""
    directory = estate_in(tmp_path)

    assert bytes_of(plan_estate(directory, Spread(2, "ray"))) == bytes_of(plan_estate(directory))
