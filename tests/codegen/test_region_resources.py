"""What a plan pays for in a region is what the generated code orders there."""

import re
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from codegen.scenarios import SCENARIOS

STACKS = Path(__file__).parents[1] / "golden/stacks"
ROOT = Path(__file__).parents[2]


def entries(stack, *names):
    """Entries of the longest maps of a name in a stack's ``fleet.tf``, each with its text: of rows, or of several lines."""
    text = (STACKS / stack / "terraform/fleet.tf").read_text()
    maps = [re.finditer(rf"^( *){name} *= {{\n(.*?)^\1}}", text, re.DOTALL | re.MULTILINE) for name in names]
    bodies = [max(found, key=lambda body: len(body[2])) for found in maps]
    return [
        row or entry
        for body in bodies
        for row, entry in re.findall(
            rf"^{body[1]}  [\w\"/.-]+\s*= {{(?: ([^\n]*) }}$|\n(.*?)^{body[1]}  }})", body[2], re.DOTALL | re.MULTILINE
        )
    ]


def metrics(alarm):
    """Metrics that an alarm of CloudWatch watches; none without the agent, which is not installed by default."""
    watched = re.search(r"metrics\s*= { ([^}]*) }", alarm)
    return 0 if '"agent"' in alarm else len(watched[1].split(", ")) if watched else 1


def metrics_of(*sources):
    """Metrics of CloudWatch that the alarms on some sources watch: hosts, GPUs and engines for each group."""
    alarms = entries("mixed-fleet", "alarms")
    return sum(metrics(alarm) for alarm in alarms if re.search(r'source\s*= "(\w+)"', alarm)[1] in sources)


def failover_alarms():
    """Alarms on the state machine that asks each minute whether backends answer, in a region with several."""
    scenario = SCENARIOS["mixed-fleet"]()
    return (
        generate(scenario.plan, Language.TERRAFORM, scenario.wanted)
        .files["failover.tf"]
        .count('resource "aws_cloudwatch_metric_alarm"')
    )


def container_apps(part, kind):
    """Alarms of the first group or region of the code for Container Apps."""
    text = (STACKS / "container-apps-a100-scheduled/terraform/fleet.tf").read_text()
    (values,) = read_hcl(text, "fleet.tf").body.blocks
    return next(iter(literal(values.attributes[part].value.node).values()))[kind]


def of_app(kind):
    """Alarms of an app."""
    return container_apps("groups", kind)


def of_entrance(kind):
    """Alarms of the entrance of a region."""
    return container_apps("regions", kind)


def conditions(stack, groups):
    """Conditions of Google's alerts, of which those on hosts are there for each group."""
    return len(entries(stack, "metric_alerts")) + groups * len(entries(stack, "host_alerts"))


def of_cache(scenario, target):
    """Code of a response cache."""
    return generate(SCENARIOS[scenario]().plan, Language.TERRAFORM, Wanted(target=target)).files["cache.tf"]


def cache_node_metrics():
    """Metrics of a node of the cache that alarms of CloudWatch watch."""
    code = of_cache("ec2-cache", "ec2")
    summed = code.partition("cache_sums = {")[2].partition("]...)")[0].count("metric =")
    return summed + code.count("for_each = toset(flatten(values(local.cache_members)))")


def cache_log_alarms():
    """Rules on logs of the cache, each as a share of one that is evaluated every 5 minutes."""
    rules = re.findall(r'evaluation_frequency += "PT(\d+)M"', of_cache("aks-cache", "aks"))
    return pytest.approx(sum(5 / int(minutes) for minutes in rules), abs=1e-3)


@pytest.mark.parametrize(
    ("provider", "item", "per", "written"),
    [
        ("aws", "alarm", "hosts", lambda: sum(map(metrics, entries("a10g-on-demand", "alarms")))),
        ("aws", "alarm", "group", lambda: metrics_of("host", "gpu", "engine")),
        ("aws", "alarm", "backend", lambda: metrics_of("load_balancer") + failover_alarms()),
        ("aws", "alarm", "nodes", lambda: len(entries("eks-slices", "alarms"))),
        ("aws", "alarm", "node_group", lambda: len(entries("eks-slices", "alarms"))),
        ("aws", "alarm", "endpoint", lambda: len(entries("sagemaker-managed", "alarms"))),
        ("gcp", "alarm", "group", lambda: (conditions("mig-two-regions", 3) - conditions("mig-h100", 1)) / 2),
        ("azure", "alarm", "endpoint", lambda: len(of_app("metric_alarms"))),
        ("azure", "log_alarm", "endpoint", lambda: len(of_app("log_alarms"))),
        ("aws", "alarm", "services", lambda: len(entries("sagemaker-managed", "alarms"))),
        ("azure", "log_alarm", "hosts", lambda: len(entries("vm-scale-set-t4-fp16", "alarms"))),
        ("azure", "log_alarm", "services", lambda: len(of_app("log_alarms")) + len(of_entrance("log_alarms"))),
        ("azure", "alarm", "services", lambda: len(of_app("metric_alarms")) + len(of_entrance("metric_alarms"))),
        ("gcp", "alarm", "hosts", lambda: len(entries("mig-h100", "metric_alerts", "host_alerts"))),
        ("gcp", "alarm", "nodes", lambda: len(entries("gke-tpu-embeddings", "queries"))),
        (
            "gcp",
            "alarm",
            "gpu_nodes",
            lambda: len(entries("gke-l4-spot", "queries")) - len(entries("gke-tpu-v6e", "queries")),
        ),
        ("azure", "log_alarm", "nodes", lambda: len(entries("aks-pictures", "alarms"))),
        ("gcp", "alarm", "services", lambda: len(entries("cloud-run-two-regions", "alerts"))),
        ("aws", "alarm", "cache_node", cache_node_metrics),
        (
            "azure",
            "alarm",
            "cache",
            lambda: of_cache("aks-cache", "aks").count('resource "azurerm_monitor_metric_alert"'),
        ),
        ("azure", "log_alarm", "cache", cache_log_alarms),
        ("gcp", "alarm", "cache", lambda: of_cache("mig-cache", "mig").count("query       =")),
    ],
)
def test_a_region_has_the_alarms_that_the_code_writes(provider, item, per, written):
    """Alarms of one group of accelerated hosts, or of services, are as many as a plan counts."""
    (resource,) = (
        resource
        for resource in load_catalog().region_resources[provider]
        if (resource.item, resource.per) == (item, per)
    )

    assert resource.quantity == written()
    assert resource.quantity > 0


def test_every_kind_of_resource_is_counted_named_or_free():
    """The table of the documentation says of each kind of resource in the templates, and of no other, where its cost is."""
    templates = [path for path in (ROOT / "templates/terraform").rglob("*") if path.suffix in (".j2", ".tf")]
    written = {kind for path in templates for kind in re.findall(r'^resource "(\w+)"', path.read_text(), re.MULTILINE)}
    table = re.findall(
        r"^\| (`(?:aws|google|azurerm|ibm|kustomization)_.*?) \|", (ROOT / "docs/planning.md").read_text(), re.MULTILINE
    )
    told = re.findall(r"`(\w+)`", " ".join(table))

    assert len(written) > 80
    assert sorted(told) == sorted(written)
