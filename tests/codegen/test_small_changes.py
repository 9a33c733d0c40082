"""A changed plan is a small change of the code: its data, and nothing else."""

import dataclasses

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS

DATA = ("README.md", "fleet.tf", "inference/fleet.py", "src/fleet.ts")


def _cases():
    """The first scenario of each target, by what its name begins with, in each language."""
    firsts = {}
    for name, make in SCENARIOS.items():
        for language in make().languages:
            firsts.setdefault((name.split("-")[0] if "-" in name else name, language), name)
    wanted = ("l4", "mixed", "eks", "mig", "tpu", "gke", "cloud", "vm", "aks", "sagemaker", "container", "ibm")
    return [(name, language) for (prefix, language), name in firsts.items() if prefix in wanted]


def more(plan):
    """One instance more of everything, at another price."""
    if plan.fleet is not None:
        groups = tuple(
            dataclasses.replace(one, instances=tuple(n + 1 for n in one.instances), instance_usd_per_hour=9.75)
            for one in plan.fleet.groups
        )
        return dataclasses.replace(plan, fleet=dataclasses.replace(plan.fleet, groups=groups))
    options = tuple(dataclasses.replace(one, instances=one.instances + 1) for one in plan.options)
    return dataclasses.replace(plan, options=options)


@pytest.mark.parametrize(("name", "language"), _cases())
def test_other_numbers_change_the_data_only(name, language):
    """The files that hold the plan's data and the README; of Kubernetes also the manifests, which hold replicas."""
    scenario = SCENARIOS[name]()
    former = generate(scenario.plan, language, scenario.wanted).files
    now = generate(more(scenario.plan), language, scenario.wanted).files
    changed = {path for path in former.keys() | now.keys() if former.get(path) != now.get(path)}
    assert {path for path in changed if not path.startswith("kubernetes/")} <= set(DATA)
    assert changed
    assert Language.TERRAFORM is not language or "fleet.tf" in changed
