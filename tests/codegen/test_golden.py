"""The generated code is exactly the golden one; ``make golden`` writes it anew, to be read before a commit."""

import json
from pathlib import Path

import pytest

from advisor.codegen import Language, generate
from advisor.plan.document import plan_from_json, plan_to_json
from codegen.forms import FORMS
from codegen.scenarios import SCENARIOS

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "stacks"
IN_PYTHON_TOO = (
    "l4-spot",
    "inferentia2",
    "l40s-replicas",
    "hostile-names",
    "mixed-fleet",
    "two-regions",
    "scheduled",
    "reactive",
    "cloud-run-two-regions",
    "mig-scheduled",
    "sagemaker-mixed-scheduled",
    "sagemaker-managed",
    "eks-scheduled",
    "gke-scheduled",
    "eks-karpenter-neuron",
    "vm-scale-set-reactive",
    "aks-scheduled",
    "container-apps-a100-scheduled",
)
"""The programs of the others are evaluated and compared with the Terraform roots in ``tests/iac/test_pulumi.py``."""
CASES = [
    *((name, Language.TERRAFORM) for name in SCENARIOS),
    *((name, Language.PYTHON) for name in IN_PYTHON_TOO),
]


@pytest.mark.parametrize(("name", "language"), CASES)
def test_code_equals_the_golden_one(name, language, golden):
    """Each scenario gives the files that were read and accepted, no more and no fewer."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, language, scenario.wanted).files
    directory = GOLDEN / name / language.value
    for path, text in files.items():
        golden(directory / path, text)
    assert sorted(files) == sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FORMS)
def test_form_equals_the_golden_one(name, golden):
    """Each form gives the objects and values that were read and accepted; nodes and identities are those of its scenario."""
    scenario = FORMS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    directory = GOLDEN.parent / "forms" / name
    own = {path: text for path, text in files.items() if path.startswith("kubernetes/")}
    for path, text in own.items():
        golden(directory / path, text)
    assert sorted(own) == sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", SCENARIOS)
def test_plan_from_a_file_gives_the_same_bytes_as_the_plan_in_memory(name):
    """Writing the plan out and reading it back changes no byte of the code, and neither does a second run."""
    scenario = SCENARIOS[name]()
    again = plan_from_json(plan_to_json(scenario.plan))
    for language in scenario.languages:
        files = generate(scenario.plan, language, scenario.wanted).files
        assert files == generate(again, language, scenario.wanted).files


def test_digest_follows_the_plan():
    """Another price is another digest; the order of the plan's keys is not."""
    scenario = SCENARIOS["a10g-on-demand"]()
    document = json.loads(plan_to_json(scenario.plan))
    document["demand"] = dict(reversed(document["demand"].items()))
    shuffled = plan_from_json(json.dumps(document))
    digest = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).plan_digest
    assert generate(shuffled, Language.TERRAFORM, scenario.wanted).plan_digest == digest
    document["options"][1]["cost"]["total_usd_per_month"] += 1
    dearer = plan_from_json(json.dumps(document))
    assert generate(dearer, Language.TERRAFORM, scenario.wanted).plan_digest != digest
