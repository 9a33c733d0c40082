"""Namespaces that a workload may not take."""

from dataclasses import replace

import pytest

from advisor.codegen import Language, generate
from advisor.codegen.targets.managed_kubernetes import is_reserved
from advisor.errors import InputError
from codegen.scenarios import SCENARIOS


@pytest.mark.parametrize(
    "name", ["default", "kube-system", "kube-public", "gke-managed-system", "gateways", "amazon-x"]
)
def test_namespaces_of_a_cluster_are_reserved(name):
    """Those of Kubernetes, of the clouds, and of what is installed."""
    assert is_reserved(name)
    assert not is_reserved(f"my-{name}")


@pytest.mark.parametrize("target", ["eks", "gke", "aks"])
def test_a_plan_on_a_cluster_does_not_take_them(target):
    """Its network policy would cut off what runs there; with what to do."""
    scenario = SCENARIOS[next(name for name in SCENARIOS if name.startswith(f"{target}-"))]()
    plan = replace(scenario.plan, workload=dict(scenario.plan.workload) | {"name": "kube-system"})

    with pytest.raises(InputError, match="the namespace kube-system belongs to the cluster") as refused:
        generate(plan, Language.TERRAFORM, scenario.wanted)
    assert "set another name in the workload file" in refused.value.hint
