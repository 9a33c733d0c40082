"""Container Apps: what their alarms watch."""

import re

import pytest

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.records import replace
from codegen.plans import make_fleet_plan, make_plan
from codegen.scenarios.azure_vm_scale_set import azure_group, azure_option


def fleet_of(**changes):
    """The data of ``fleet.tf``."""
    plan = make_plan(azure_option(**changes))
    files = generate(plan, Language.TERRAFORM, Wanted(target="container-apps", rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    return {name: literal(one.value.node) for name, one in values.attributes.items()}


@pytest.mark.parametrize(("weights_gib", "window"), [(14.96, "PT30M"), (150.0, "PT1H")])
def test_missing_replicas_are_told_after_one_could_have_started(weights_gib, window):
    """The window is one that Azure has, and holds the start of a replica."""
    (group,) = fleet_of(weights_gib=weights_gib)["groups"].values()
    assert group["metric_alarms"]["missing-replicas"]["window"] == window


def test_replicas_that_scaling_stops_are_no_restarts():
    """Only containers that ended by themselves count, and the name of the app stands in once."""
    (group,) = fleet_of()["groups"].values()
    query = group["log_alarms"]["restarts"]["query"]
    assert 'Log_s !has "ManuallyStopped"' in query
    assert query.count(f'"{group["app"]}"') == 1


def test_queue_of_a_replica_is_read_in_its_log():
    """A queue of the planned rate times the target takes the target to begin."""
    (group,) = fleet_of()["groups"].values()
    alarm = group["log_alarms"]["waiting-requests"]
    assert "extract(@'Waiting: ([0-9]+) req', 1, Log_s)" in alarm["query"]
    assert alarm["threshold"] >= 1


@pytest.mark.parametrize("peak", [0.02, 40.0])
def test_server_errors_ring_at_a_share_of_the_requests(peak):
    """One percent of those that the entrance counts, however many are planned; single failures never ring."""
    plan = make_plan(azure_option())
    rates = plan.demand["requests_per_second"] | {"peak": peak}
    plan = replace(plan, demand={**plan.demand, "requests_per_second": rates})
    files = generate(plan, Language.TERRAFORM, Wanted(target="container-apps", rank=1)).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (region,) = literal(values.attributes["regions"].value.node).values()
    alarm = region["log_alarms"]["server-errors"]
    assert alarm["threshold"] == 1
    assert alarm["description"] == (
        "More than 1 percent of the requests of 15 minutes, and at least 10, are answered with 5xx."
    )
    assert alarm["query"].count('"entrance-eastus"') == 1
    assert "where failed >= 10 | project value = 100 * failed / requests" in alarm["query"]


@pytest.mark.parametrize("language", Language)
def test_the_entrance_logs_what_the_alarm_on_server_errors_reads(language):
    """Each line of a failure ends with both counts, over the minutes of the rule; other requests have no line."""
    files = generate(make_plan(azure_option()), language, Wanted(target="container-apps", rank=1)).files
    (text,) = (text for path, text in files.items() if "entrance.cfg" in path)
    (line,) = re.findall(r'log-format "(.*)"', text)
    logged = line.replace("%[sc_gpc_rate(0,0)]", "3").replace("%[sc0_http_req_rate]", "120")
    (query,) = (
        text for path, text in files.items() if path in ("fleet.tf", "inference/fleet.py") if "failed=(" in text
    )
    patterns = re.findall(r"extract\(@'( (?:failed|requests)=[^']*)', 1, Log_s\)", query)
    assert [re.search(pattern, logged)[1] for pattern in patterns] == ["3", "120"]
    assert "option dontlog-normal" in text
    assert "option log-separate-errors" in text, "lines of requests are below the level of the log else"
    assert text.count("rate(15m)") + text.count("rate(1,15m)") == 2
    assert "sc-inc-gpc(0,0) if { status ge 500 }" in text


def test_the_entrance_is_watched():
    """All requests pass it: it rings where a replica of it is missing, and where it or what is behind it fails."""
    for language in Language:
        plan = make_plan(azure_option())
        files = generate(plan, language, Wanted(target="container-apps", rank=1)).files
        assert any("missing-replicas" in text and "of the entrance" in text for text in files.values())
    (region,) = fleet_of()["regions"].values()
    missing = region["metric_alarms"]["missing-replicas"]
    assert (missing["metric"], missing["operator"], missing["threshold"]) == ("Replicas", "LessThan", 2)
    assert sorted(region["log_alarms"]) == ["server-errors"]


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("", True),
        ("example.azurecr.io/vllm:v0.18.0-own", True),
        ("example.azurecr.io/vllm:v0.17.1", False),
        ("example.azurecr.io/vllm:latest", False),
    ],
)
def test_open_requests_end_before_a_replica_does(image, told):
    """The engine waits for them a little less long than Azure for the replica, where its image is known to be able to."""
    files = generate(make_plan(azure_option()), Language.TERRAFORM, Wanted(target="container-apps", rank=1, image=image)).files  # fmt: skip
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (backend,) = literal(values.attributes["backends"].value.node).values()
    words = [one for one in backend["arguments"] if one.startswith("--shutdown-timeout=")]
    assert words == (["--shutdown-timeout=115"] if told else [])
    assert ("`--shutdown-timeout`" in files["README.md"]) == told
    assert "termination_grace_period_seconds = 120" in files["compute.tf"]


def test_a_replica_is_not_ended_while_it_starts():
    """The autoscaler counts from when a replica is scheduled; what the plan does not pay for is said."""
    far = azure_group(instances=(0, 2), request_shares=(1.0, 1.0))
    files = generate(make_fleet_plan(far), Language.TERRAFORM, Wanted(target="container-apps")).files
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (group,) = literal(values.attributes["groups"].value.node).values()
    assert group["cooldown_seconds"] == 720
    assert sorted(group["metric_alarms"]) == ["container-memory"], "what may be empty lacks nothing"
    assert "stays for 720 s after its last request" in files["README.md"]
