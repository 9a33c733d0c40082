"""``advisor check PLAN.json``: what is no longer as a plan says, and what its policy lets pass."""

import dataclasses
import datetime as dt
import hashlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import advisor
from advisor.catalog import load_catalog
from advisor.checks import run as code_of
from advisor.checks.replanned import look_at_prices
from advisor.checks.run import Now, check_plan
from advisor.checks.values import RULES, Level, Policy
from advisor.codegen import Language, generate, write_files
from advisor.performance.model import shipped_model
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.report.plan_diff import plan_diff
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import SCENARIOS

ROOT = Path(__file__).parents[1]
DEMAND = ROOT / "examples/chat/demand.json"


@pytest.fixture(scope="module")
def plan(run_advisor, tmp_path_factory):
    """The plan of an example."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    run_advisor("recommend", ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", path)
    return path


@pytest.fixture(scope="module")
def infra(plan, run_advisor, tmp_path_factory):
    """Its code."""
    directory = tmp_path_factory.mktemp("infra")
    assert run_advisor("generate", "terraform", plan, "--into", directory).returncode == 0
    return directory


def checked(run_advisor, *arguments):
    """Exit code, and the findings by rule."""
    result = run_advisor("check", *arguments, "--format", "json")
    document = json.loads(result.stdout)
    return result.returncode, {finding["id"]: finding for finding in document["findings"]}


def quiet(tmp_path, *, replanned=False, **keys):
    """A policy without the age of prices, which grows from day to day, and without plans made anew unless asked for."""
    path = tmp_path / "policy.yaml"
    off = {"CHK103"} if replanned else {"CHK103", "CHK201", "CHK202", "CHK203", "CHK204"}
    levels = dict.fromkeys(off, "off") | keys.pop("levels", {})
    path.write_text(json.dumps({"levels": levels} | keys))
    return path


@pytest.mark.sampled(2)
def test_a_plan_that_holds_passes(plan, infra, run_advisor, tmp_path):
    """The same prices, the same demand and the code as generated: no finding of weight."""
    code, findings = checked(
        run_advisor, plan, "--infra", infra, "--demand", DEMAND, "--policy", quiet(tmp_path, replanned=True)
    )
    assert code == 0
    assert all(finding["level"] == "note" for finding in findings.values()), findings


def test_a_price_that_moved_and_a_plan_that_was_edited_are_told(plan, run_advisor, tmp_path):
    """Both numbers stand in the message; the tolerance decides."""
    document = json.loads(plan.read_text())
    group = document["fleet"]["groups"][0]
    group["instance_usd_per_hour"] *= 1.2
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(document))
    code, findings = checked(run_advisor, edited, "--policy", quiet(tmp_path))
    assert code == 1
    assert {"CHK101", "CHK501"} <= set(findings)
    assert f"{group['instance_usd_per_hour']:.5g}" in findings["CHK101"]["message"]
    code, findings = checked(run_advisor, edited, "--policy", quiet(tmp_path), "--tolerance", 0.3)
    assert "CHK101" not in findings


def test_a_plan_knows_the_file_of_its_model_again(tmp_path):
    """By size and digest, and without its folder: another file of the name is told, a missing one is a note."""
    workload, model = tmp_path / "workload.yaml", tmp_path / "xgboost.json"
    content = (ROOT / "examples/trees/xgboost.json").read_bytes()
    model.write_bytes(content)
    asked = (ROOT / "examples/trees/workload.yaml").read_text().replace("model: xgboost.json", f"model: {model}")
    scope = "providers: [aws]\nregions: [us-east-1]\ninstance_types: [c7i.xlarge]"
    workload.write_text(re.sub("providers: .*\nregions: .*", scope, asked))
    plan = advisor.recommend(workload)
    text, digest = plan_to_json(plan), hashlib.sha256(content).hexdigest()
    assert json.loads(text)["provenance"]["model_file"] == {
        "name": "xgboost.json", "bytes": len(content), "sha256": digest,
    }  # fmt: skip
    assert str(tmp_path) not in text
    policy = Policy(levels={rule: Level.OFF for rule in RULES if rule != "CHK502"})
    now = Now(load_catalog(), shipped_model(), dt.date(2026, 12, 1))

    def look():
        return check_plan(plan, text, str(tmp_path / "plan.json"), now, policy)

    assert not look().findings
    model.write_bytes(content + b"\n")
    (finding,) = look().findings
    assert (finding.id, finding.level) == ("CHK502", Level.WARNING)
    assert f"{len(content) + 1:,} bytes" in finding.message
    later = plan_from_json(text.replace(digest, "0" * 64))
    assert [change.field for change in plan_diff(plan, later).asked_differently] == ["model_file.sha256"]
    model.unlink()
    assert "whether xgboost.json is still the planned file is not known" in look().notes[0]


def test_a_total_above_the_budget_fails(plan, run_advisor, tmp_path):
    """The lower of the budgets of policy and workload counts, against the total at today's prices."""
    total = json.loads(plan.read_text())["fleet"]["cost"]["total_usd_per_month"]
    code, findings = checked(run_advisor, plan, "--policy", quiet(tmp_path, max_usd_per_month=total - 1))
    assert code == 1
    assert f"{total:,.2f} USD a month at today's prices, {total - 1:,.2f} are budgeted" in findings["CHK104"]["message"]
    assert "of the policy" in findings["CHK104"]["message"]
    assert "CHK104" not in checked(run_advisor, plan, "--policy", quiet(tmp_path, max_usd_per_month=total))[1]


def test_code_that_deploys_something_else_is_told(plan, infra, run_advisor, tmp_path):
    """An edit by hand of the number of instances is seen, with the command that fixes it."""
    copy = tmp_path / "infra"
    copy.mkdir()
    for path in infra.glob("*.tf"):
        (copy / path.name).write_text(path.read_text())
    fleet = next(path for path in copy.glob("*.tf") if "groups = {" in path.read_text())
    lines = fleet.read_text().splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.split("=")[0].strip() == "instances")
    number = int(lines[at].split("=")[1])
    lines[at] = lines[at].replace(str(number), str(number + 5))
    fleet.write_text("".join(lines))
    code, findings = checked(run_advisor, plan, "--infra", copy, "--policy", quiet(tmp_path))
    assert code == 1
    assert re.match(r"(on spot )?in [a-z0-9-]+: ", findings["CHK301"]["message"])  # the type is its subject
    assert f"{number + 5} in the code, {number} in the plan" in findings["CHK301"]["message"]
    assert str(copy) in findings["CHK301"]["command"]


@pytest.mark.parametrize("scenario", ["ec2-cache", "eks-cache", "gke-cache", "aks-cache"])
def test_the_remedy_overwrites_edits_and_never_what_another_plan_deployed(scenario, tmp_path):
    """Code of this plan differs by edits, which only --force undoes; code of another plan goes on from what runs."""
    planned, wanted = SCENARIOS[scenario]().plan, SCENARIOS[scenario]().wanted
    write_files(generate(planned, wanted=wanted), tmp_path)
    assert list(code_of.look_at_code(planned, tmp_path, load_catalog(), [])) == []
    run = "advisor generate terraform PLAN.json --into DIR"

    groups = tuple(
        dataclasses.replace(group, instances=tuple(number + 4 for number in group.instances))
        for group in planned.fleet.groups
    )
    grown = dataclasses.replace(planned, fleet=dataclasses.replace(planned.fleet, groups=groups, response_cache=None))
    found = list(code_of.look_at_code(grown, tmp_path, load_catalog(), []))
    assert {(rule, command) for rule, *_, command in found} >= {("CHK301", run)}
    assert {command for *_, command in found} == {run}

    fleet = tmp_path / "fleet.tf"
    fleet.write_text(re.sub(r"(\b(?:instances|min_nodes) +=) \d+", r"\1 77", fleet.read_text()))
    edited = list(code_of.look_at_code(planned, tmp_path, load_catalog(), []))
    assert {(rule, command) for rule, *_, command in edited} == {("CHK301", f"{run} --force")}


@pytest.mark.parametrize(
    ("scenario", "old", "new", "told"),
    [
        ("ec2-cache", "num_cache_clusters         = local.cache.nodes", "num_cache_clusters = 1", "1 × "),
        ("ec2-cache", "node_type                  = local.cache.node_type", 'node_type = "cache.r7g.large"', "cache.r7g.large"),
        ("eks-cache", "num_node_groups            = local.cache.shards", "num_node_groups = 5", "5 × "),
        ("mig-cache", "replica_count           = local.cache.nodes / local.cache.shards - 1", "replica_count = 4", "5 × "),
        ("gke-cache", "shard_count             = local.cache.shards", "shard_count = 3", "6 × "),
        ("mig-cache", "node_type               = upper", 'node_type = "XLARGE" # ', "× xlarge"),
        ("vm-scale-set-cache", "sku_name", 'sku_name = "Balanced_B999" # ', "Balanced_B999"),
    ],
)  # fmt: skip
def test_code_with_another_cache_is_told(scenario, old, new, told, tmp_path):
    """Both caches stand in the finding, whether the resource was edited or the plan changed; the same one is none."""
    planned = SCENARIOS[scenario]().plan
    files = generate(planned, Language.TERRAFORM, SCENARIOS[scenario]().wanted).files
    for path, text in files.items():
        if path.endswith(".tf"):
            (tmp_path / path).write_text(text)
    assert "CHK303" not in caches_told(planned, tmp_path)

    without = dataclasses.replace(planned, fleet=dataclasses.replace(planned.fleet, response_cache=None))
    assert caches_told(without, tmp_path)["CHK303"].endswith("none in the plan: code of this plan destroys it")

    assert old in files["cache.tf"]
    (tmp_path / "cache.tf").write_text(files["cache.tf"].replace(old, new))
    in_code, in_plan = caches_told(planned, tmp_path)["CHK303"].split(" in the code, ")
    assert told in in_code
    assert told not in in_plan

    (tmp_path / "cache.tf").unlink()
    assert caches_told(planned, tmp_path)["CHK303"].startswith("none in the code, ")


WORKLOAD = """name: chat
model: Qwen/Qwen2.5-7B-Instruct
precisions: [fp8]
slo: {ttft_p95: 2s, tpot_p95: 100ms}
demand: {declared: {requests_per_second: 0.2, peak_requests_per_second: 0.5, input_tokens: 400, output_tokens: 100}}
providers: [gcp]
regions: [us-east4]
instance_types: [g2-standard-4]
purchase: [on_demand]
"""


def test_services_that_start_containers_by_themselves_are_as_planned(run_advisor, tmp_path):
    """How many run is not in their code: as it was generated, nothing is wrong with it."""
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    run_advisor("recommend", tmp_path / "workload.yaml", "-o", tmp_path / "plan.json")
    done = run_advisor(
        "generate", "terraform", tmp_path / "plan.json", "--into", tmp_path / "run", "--target", "cloud-run"
    )
    assert done.returncode == 0, done.stderr

    code, findings = checked(
        run_advisor, tmp_path / "plan.json", "--infra", tmp_path / "run", "--policy", quiet(tmp_path)
    )

    assert (code, "CHK301" in findings) == (0, False), findings


def test_nodes_that_manifests_need_are_those_of_the_plan(tmp_path):
    """Code of manifests alone is code of the plan too: nothing is said until its numbers differ."""
    scenario = SCENARIOS["kubernetes-spot"]()
    for name, text in generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files.items():
        if name.endswith(".tf"):
            (tmp_path / name).write_text(text)
    assert list(code_of.look_at_code(scenario.plan, tmp_path, load_catalog(), [])) == []

    fleet = tmp_path / "fleet.tf"
    fleet.write_text(re.sub(r"(\bnodes +=) \d+", r"\1 7", fleet.read_text(), count=1))
    ((rule, _, message, _),) = code_of.look_at_code(scenario.plan, tmp_path, load_catalog(), [])
    assert rule == "CHK301"
    assert "in the code, " in message


@pytest.mark.parametrize(("kept", "told"), [("g6.xlarge", 1), ("", 0)])
def test_a_machine_stands_in_for_one_type_alone(kept, told, tmp_path):
    """Where the code lacks two types of the plan, none of its others is said to be there in place of both."""
    plan = make_fleet_plan(make_group(instance_type="g6.xlarge"), make_group(instance_type="g6e.xlarge"))
    write_files(generate(plan, Language.TERRAFORM), tmp_path)
    fleet = tmp_path / "fleet.tf"
    types = [name for name in ("g6.xlarge", "g6e.xlarge") if name != kept]
    fleet.write_text(re.sub("|".join(f'"{re.escape(name)}"' for name in types), '"g5.xlarge"', fleet.read_text()))
    looked = code_of.look_at_code(plan, tmp_path, load_catalog(), [])
    machines = {subject: message for rule, subject, message, _ in looked if rule == "CHK301"}
    assert sum("the code has" in message for message in machines.values()) == told
    assert "0 in the plan" in machines["g5.xlarge"]


def caches_told(plan, infra):
    """Messages about code, by rule."""
    return {rule: message for rule, _, message, _ in code_of.look_at_code(plan, infra, load_catalog(), [])}


def test_a_demand_that_grew_misses_the_targets(plan, run_advisor, tmp_path):
    """The prompts of another service: the replay says how many requests are late."""
    code, findings = checked(
        run_advisor, plan, "--demand", ROOT / "examples/code/demand.json", "--policy", quiet(tmp_path, replanned=True)
    )
    assert code == 1
    assert "99% asked" in findings["CHK202"]["message"]


def test_a_lone_minute_of_today_is_told_and_is_no_growth(plan, run_advisor, tmp_path):
    """A slip of a counter: it counts as in a plan, and a note says so."""
    seconds = sorted([*range(2 * 3600), *(3600 + lone / 200 for lone in range(12_000))])
    rows = [f"{1_699_999_980 + second},800,200" for second in seconds]
    (tmp_path / "today.csv").write_text("\n".join(["timestamp,input_tokens,output_tokens", *rows]))
    policy = quiet(tmp_path, replanned=True, levels={"CHK201": "off", "CHK202": "off", "CHK204": "off"})
    done = run_advisor("check", plan, "--demand", tmp_path / "today.csv", "--policy", policy, "--format", "json")

    document = json.loads(done.stdout)
    (note,) = [note for note in document["notes"] if "counted at" in note]
    assert note.startswith("1 of 118 minutes have up to 201 requests/s")
    assert note.endswith("counted at 10, in the replay too")
    assert "CHK203" not in {finding["id"] for finding in document["findings"]}


def test_demand_of_today_counts_as_it_is(plan, run_advisor, tmp_path):
    """A plan for a multiple of what was measured is held against what is measured now, not against its multiple."""
    document = json.loads(plan.read_text())
    document["question"]["workload"]["demand_times"] = 50.0
    (tmp_path / "larger.json").write_text(json.dumps(document))
    policy = quiet(
        tmp_path, replanned=True, levels={"CHK501": "off", "CHK201": "off", "CHK202": "off", "CHK204": "off"}
    )

    _, findings = checked(run_advisor, tmp_path / "larger.json", "--demand", DEMAND, "--policy", policy)

    assert "CHK203" not in findings


def test_the_policy_says_what_fails(plan, run_advisor, tmp_path):
    """Old prices are a warning; with ``fail_on: warning`` they fail, switched off they are not looked at."""
    assert checked(run_advisor, plan, "--policy", quiet(tmp_path, levels={"CHK103": "warning"}))[0] == 0
    strict = quiet(tmp_path, fail_on="warning", levels={"CHK103": "warning"}, max_spot_price_age="1d")
    code, findings = checked(run_advisor, plan, "--policy", strict)
    assert code == 1
    assert "1 are accepted" in findings["CHK103"]["message"]
    never = quiet(tmp_path, fail_on="never", levels={"CHK103": "error"})
    assert checked(run_advisor, plan, "--policy", never)[0] == 0
    for text, words in (("cheaper: 2", "cheaper_by"), ("levels: {CHK999: off}", "CHK"), ("fail_on: perhaps", "never")):
        (tmp_path / "wrong.yaml").write_text(text)
        refused = run_advisor("check", plan, "--policy", tmp_path / "wrong.yaml")
        assert refused.returncode == 1
        assert words in refused.stderr


@pytest.mark.parametrize(
    ("provider", "way"),
    [("aws", "`advisor catalog refresh aws`"), ("runpod", "import-gpuhunt --live"), ("own-cloud", "`private_offers`")],
)
def test_an_old_price_names_a_way_to_todays(provider, way, plan):
    """The way of its provider: not every one can be asked."""
    made = plan_from_json(plan.read_text())
    group = dataclasses.replace(made.fleet.groups[0], provider=provider)
    old = dataclasses.replace(made, fleet=dataclasses.replace(made.fleet, groups=(group,)))
    findings = look_at_prices(old, load_catalog(), dt.date(2030, 1, 1), Policy())

    assert [way in remedy for rule, *_, remedy in findings if rule == "CHK103"] == [True]


def test_sarif_and_junit_hold_the_same_findings(plan, run_advisor, tmp_path):
    """Two formats of other programs, each parsed back."""
    policy = quiet(tmp_path, levels={"CHK103": "error"}, max_spot_price_age="1d")
    _, findings = checked(run_advisor, plan, "--policy", policy)
    markdown = run_advisor("check", plan, "--policy", policy, "--format", "markdown").stdout
    sarif = json.loads(run_advisor("check", plan, "--policy", policy, "--format", "sarif").stdout)
    results = sarif["runs"][0]["results"]
    assert [line.split(" | ")[1] for line in markdown.splitlines()[4:] if line.startswith("|")] == [
        result["ruleId"] for result in results
    ]
    run = sarif["runs"][0]
    assert {result["ruleId"] for result in run["results"]} == set(findings)
    assert all(run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    suite = ET.fromstring(run_advisor("check", plan, "--policy", policy, "--format", "junit").stdout)
    failed = {case.get("name").split()[0] for case in suite if case.find("failure") is not None}
    assert failed == {name for name, finding in findings.items() if finding["level"] == "error"}
    assert int(suite.get("failures")) == len(failed)


def test_every_rule_has_a_section():
    """docs/check.md explains each id."""
    page = (ROOT / "docs/check.md").read_text()
    for rule in RULES.values():
        assert f"`{rule.id}`" in page
        assert rule.title in page


def test_options_of_plans_are_refused_for_a_lock(run_advisor, tmp_path):
    """A file that is no plan takes none of them."""
    (tmp_path / "lock.json").write_text("{}")
    refused = run_advisor("check", tmp_path / "lock.json", "--infra", tmp_path)
    assert refused.returncode == 2
    assert "is not a plan" in refused.stderr
