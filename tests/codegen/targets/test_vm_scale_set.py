"""Virtual machine scale sets: what their hosts are given."""

import re
from types import SimpleNamespace

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.targets.target import entrance_weight
from codegen.plans import make_fleet_plan, make_group, make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.azure_vm_scale_set import azure_option
from codegen.test_turns import turns


def fleet_of(**changes):
    """The data of ``fleet.tf``."""
    files = generate(make_plan(azure_option(**changes)), Language.TERRAFORM, Wanted(rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return {name: literal(one.value.node) for name, one in values.attributes.items()}


def test_alarms_ring_at_the_targets():
    """5 % of the requests beyond the target of TTFT; a queue of the planned rate times the target; 1 % of 5xx."""
    fleet = fleet_of(planned_requests_per_second_per_instance=20.0)
    (group,) = fleet["groups"].values()
    assert group["waiting_limit"] == 20 * fleet["target_seconds"]
    thresholds = {name: fleet["alarms"][name]["threshold"] for name in ("ttft", "waiting-requests", "server-errors")}
    assert thresholds == {"ttft": 5, "waiting-requests": 1, "server-errors": 1}
    assert "report.over_target" in fleet["alarms"]["ttft"]["query"]
    assert "where whole > 0" in fleet["alarms"]["server-errors"]["query"]


def backends_of(name):
    """The backends of a scenario's ``fleet.tf``, and its files."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return literal(values.attributes["backends"].value.node), files


def test_backends_of_a_region_share_its_entrance_by_their_weights():
    """Among those of their region, and 256 for the largest; a backend of its own region has it all."""
    backends, files = backends_of("vm-scale-set-mixed")
    weights = {
        region: sorted(one["entrance_weight"] for one in backends.values() if one["region"] == region)
        for region in ("eastus", "westeurope")
    }
    assert weights == {"eastus": [128, 256], "westeurope": [256]}
    assert "a month (4 × Standard\\_B2ats\\_v2, with their disks)" in files["README.md"]


@pytest.mark.parametrize("language", Language)
def test_budget_holds_the_entrances(language):
    """What stands in front is paid for each month, and may cost more than the margin of a small fleet."""
    scenario = SCENARIOS["vm-scale-set-mixed"]()
    files = generate(scenario.plan, language, scenario.wanted).files
    rows = files["README.md"].replace("\\", "").replace(",", "")
    patterns = (
        r"\| Total \| \$([\d.]+) a month",
        r"entrances: \$([\d.]+) a month \(4 ×",
        r"load balancers of the backends: \$([\d.]+) a month \(3\)",
    )
    spent = sum(float(re.search(pattern, rows)[1]) for pattern in patterns)
    path = "fleet.tf" if language is Language.TERRAFORM else "inference/fleet.py"
    assert float(re.search(r"planned_usd_per_month ?= ?([\d.]+)", files[path])[1]) == pytest.approx(spent)


@pytest.mark.parametrize(("weights", "given"), [((0, 600), [0, 256]), ((0, 0), [1, 1]), ((1, 999), [1, 256])])
def test_weight_of_nothing_gets_nothing(weights, given):
    """A backend that is prepared or leaves gets none, unless its whole region is meant to be tried."""
    backends = [SimpleNamespace(region="eastus", weight=weight) for weight in weights]
    assert [entrance_weight(backends, one) for one in backends] == given


def test_load_balancer_asks_whether_a_backend_is_up_and_replacement_whether_the_entrance_runs():
    """An entrance without a backend gets no requests, and is not replaced again and again until one is there."""
    _, files = backends_of("vm-scale-set-t4-fp16")
    proxy = files["entrance.cfg.tftpl"]
    assert re.search(r"monitor-uri /entrance/health\n *monitor fail if \{ nbsrv\(backends\) eq 0 \}", proxy)
    assert "return status 200 if { path /entrance/alive }" in proxy
    assert 'health_path = "/entrance/health"' in files["network.tf"]
    assert 'requestPath = "/entrance/alive"' in files["entrance.tf"]
    assert "health_probe_id" not in files["entrance.tf"]


def test_a_host_says_itself_whether_it_is_to_be_replaced():
    """By rich health states, which let a start take its time, and by its own judgement, not by the load balancer's probe."""
    scenario = SCENARIOS["vm-scale-set-a100-spot"]()
    for language in Language:
        text = "\n".join(generate(scenario.plan, language, scenario.wanted).files.values())
        (hosts, settings) = re.search(
            r'type_?handler_?version"?:? *=? *"2\.0"(.*?)settings(.*?\})', text, re.DOTALL | re.IGNORECASE
        ).groups()
        assert "extension" not in hosts
        assert re.search(r'gracePeriod"?[ :=]+(each\.value|group)\.start_limit_seconds', settings)
        (port,) = re.findall(r'port"?[ :=]+(\d+)', settings)
        assert f"HEALTH_PORT = {port}\n" in text
        assert "health_probe_id" not in text


@pytest.mark.parametrize(
    ("name", "has_setting"),
    [
        ("vm-scale-set-h100-tp8", False),
        ("vm-scale-set-cache", False),
        ("vm-scale-set-a100-spot", True),
        ("vm-scale-set-reactive", True),
    ],
)
def test_numbers_that_never_change_need_no_autoscale_setting(name, has_setting):
    """It changes the number by hours or load, and brings back spot instances; another scale set holds its own number."""
    scenario = SCENARIOS[name]()
    for language, setting in {
        Language.TERRAFORM: "azurerm_monitor_autoscale_setting",
        Language.PYTHON: "AutoscaleSetting(",
    }.items():
        text = "\n".join(generate(scenario.plan, language, scenario.wanted).files.values())
        assert (setting in text) is has_setting
        assert (re.search(r"autoscale setting", text) is not None) is has_setting


def turning_groups(**counts):
    """Groups of ``fleet.tf`` of a plan with a machine of the nights and one of the days, by their weight."""
    files = generate(make_fleet_plan(*turns("azure", **counts), zones=1), Language.TERRAFORM, Wanted()).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    groups, backends = (literal(values.attributes[name].value.node) for name in ("groups", "backends"))
    return sorted(groups.values(), key=lambda group: backends[group["backend"]]["weight"]), files


def bounds_of(group):
    """Least and most instances of each profile, and the backends that have to answer before the least is taken."""
    return {
        profile["name"]: (profile["minimum"], profile["default"], profile["maximum"], profile["after"])
        for profile in group["profiles"]
    }


def test_a_scale_set_that_hands_over_waits_for_what_takes_over():
    """At 07:00 one instance may stay; it goes by the probes of the other's load balancer, which are missing if it has none."""
    (night, day), files = turning_groups()
    assert bounds_of(night)["0700-12345"] == (0, 1, 1, [day["backend"]])
    assert bounds_of(night)["1848-12345"] == (1, 1, 1, [])
    assert bounds_of(day)["1900-12345"] == (0, 1, 1, [night["backend"]])
    rule = files["scaling.tf"].partition('dynamic "rule"')[2]
    assert "azurerm_lb.this[rule.value].id" in rule
    for line in ('"DipAvailability"', '"GreaterThanOrEqual"', '"ExactCount"', "profile.value.minimum"):
        assert line in rule


def test_a_scale_set_that_shrinks_for_another_waits_too():
    """Two by night are one by day beside the other machine; fewer requests alone need nobody's answer."""
    (night, day), _ = turning_groups(night=(2, 1), shares=((1.0, 0.2), (0.0, 0.8)))
    assert bounds_of(night)["0700-12345"] == (1, 2, 2, [day["backend"]])
    assert {bounds[:3] for name, bounds in bounds_of(day).items() if name.startswith("1900")} == {(0, 1, 1)}
    (steady, _), files = turning_groups(night=(1, 2), day=(1, 2), shares=((0.5, 0.5), (0.5, 0.5)))
    assert all("after" not in profile for profile in steady["profiles"])
    assert 'dynamic "rule"' not in files["scaling.tf"]


def test_an_entrance_that_may_have_nothing_behind_it_has_no_alarm():
    """Its probes fail in every quiet hour; the README says where there is one."""
    machine = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC40ads_H100_v5"}
    for fewest, listed in ((0, False), (1, True)):
        plan = make_fleet_plan(make_group(**machine, instances=(fewest, 2)))
        files = generate(plan, Language.TERRAFORM, Wanted()).files
        alarm = files["entrance.tf"].partition('"azurerm_monitor_metric_alert" "entrance" {')[2]
        assert "if facts.min_instances > 0 }" in alarm
        assert f"min_instances = {fewest}\n" in files["fleet.tf"]
        assert ("- `entrance`: " in files["README.md"]) is listed
        assert ("missing hosts or the entrance" in files["README.md"]) is not listed
        assert (
            "if context.fleet.regions[region].min_instances"
            in generate(plan, Language.PYTHON).files["inference/entrance.py"]
        )


@pytest.mark.parametrize("scenario", ["vm-scale-set-mixed", "mig-scheduled", "scheduled", "mig-reactive"])
def test_the_readme_has_the_most_instances_that_are_written(scenario):
    """Room for a replacement is part of a number on EC2 alone; elsewhere the line on quotas has it."""
    made = SCENARIOS[scenario]()
    files = generate(made.plan, Language.TERRAFORM, made.wanted).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    for key, group in literal(values.attributes["groups"].value.node).items():
        profiles = [profile["maximum"] for profile in group.get("profiles", ())]
        most = max(profiles) if profiles else group.get("max_instances", group["instances"])
        assert re.search(rf"^\| `{key}` \| .* \| {most} \|$", files["README.md"], re.MULTILINE)


@pytest.mark.parametrize("language", Language)
def test_both_languages_wait(language):
    """The program has the rule that the root has."""
    files = generate(make_fleet_plan(*turns("azure"), zones=1), language, Wanted()).files
    assert "DipAvailability" in "".join(files.values())
