"""Namespaces that a workload may not take."""

from dataclasses import replace

import pytest
import yaml

from advisor.codegen import Language, generate
from advisor.codegen.selection import LONGEST_NAME
from advisor.codegen.targets.managed_kubernetes import is_reserved
from codegen.scenarios import SCENARIOS


@pytest.mark.parametrize(
    "name", ["default", "kube-system", "kube-public", "gke-managed-system", "gateways", "amazon-x"]
)
def test_namespaces_of_a_cluster_are_reserved(name):
    """Those of Kubernetes, of the clouds, and of what is installed."""
    assert is_reserved(name)
    assert not is_reserved(f"my-{name}")


@pytest.mark.parametrize(
    "workload", ["default", "kube-system", "monitoring", "TARGET-day", "gke-a-name-that-is-too-long"]
)
@pytest.mark.parametrize("target", ["eks", "gke", "aks", "kubernetes"])
def test_a_plan_on_a_cluster_takes_a_namespace_of_its_own(target, workload):
    """Its network policy would cut off what runs in one of the cluster's; the README says what the name is now."""
    scenario = SCENARIOS[next(name for name in SCENARIOS if name.startswith(f"{target}-"))]()
    workload = workload.replace("TARGET", "aks" if target == "kubernetes" else target)
    names = {}
    for language in Language:
        for name in (workload, f"{workload}-2"):
            plan = replace(scenario.plan, workload=dict(scenario.plan.workload) | {"name": name})
            files = generate(plan, language, scenario.wanted).files
            made = {
                item["metadata"]["name"]
                for path, text in files.items()
                if path.endswith("/namespace.yaml")
                for item in yaml.safe_load_all(text)
                if item["kind"] == "Namespace"
            }
            (namespace,) = made
            names[name] = namespace
            assert not is_reserved(namespace)
            is_renamed = is_reserved(name[:LONGEST_NAME])
            assert (f"are named {namespace}: a namespace" in " ".join(files["README.md"].split())) == is_renamed
            assert namespace.startswith("inference-" if is_renamed else name)
            others = [text for path, text in files.items() if "namespace: " in text and path.startswith("kubernetes/")]
            assert not [text for text in others if f"namespace: {name}\n" in text and is_renamed]
    assert len({*names.values()}) == (1 if len(workload) > LONGEST_NAME else 2)


def test_hosts_keep_the_name_of_the_workload():
    """They have no namespace, and what runs under that name is theirs."""
    scenario = SCENARIOS["ec2-cache"]()
    plan = replace(scenario.plan, workload=dict(scenario.plan.workload) | {"name": "aks-day"})

    assert "inference-aks-day" not in "".join(generate(plan, wanted=scenario.wanted).files.values())
