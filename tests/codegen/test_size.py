"""The table of docs/targets.md counts the lines that a reviewer reads, and generated code grows past it knowingly."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "targets.md"
PLAIN = {
    "ec2": "a10g-on-demand",
    "eks": "eks-l40s-replicas",
    "sagemaker": "sagemaker-l40s",
    "mig": "mig-h100",
    "tpu-vm": "tpu-vm-v6e",
    "gke": "gke-h100-tp8",
    "cloud-run": "cloud-run-l4-of-machines",
    "vm-scale-set": "vm-scale-set-h100-tp8",
    "aks": "aks-mi300x",
    "container-apps": "container-apps-t4-replicas",
    "ibm-vpc": "ibm-h100",
    "kubernetes": "kubernetes-mi300x",
}
"""Target → a plan of one region without a cache or former stack."""
SUFFIXES = {Language.TERRAFORM: ".tf", Language.PYTHON: ".py"}


def lines_of(name: str, language: Language) -> int:
    """Lines of the files that a plan's code is declared in, without its tests and examples."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, language, replace(scenario.wanted, inputs=frozenset())).files
    beside = ("examples/", "tests/")
    counted = (
        text for path, text in files.items() if path.endswith(SUFFIXES[language]) and not path.startswith(beside)
    )
    return sum(text.count("\n") for text in counted)


@pytest.mark.parametrize("target", PLAIN)
def test_the_documented_lines_are_those_of_a_plain_plan(target):
    """The row of a target has the lines of its Terraform and of its Python, or none where there is none: fewer than before."""
    languages = SCENARIOS[PLAIN[target]]().languages
    counts = [f"{lines_of(PLAIN[target], one):,}" if one in languages else "none" for one in SUFFIXES]
    row = re.search(rf"^\| `{target}` \| ([\d,]+ \| [\d,]+ \| .+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    before, now = (row[1].split(" | ")[start::2] for start in (0, 1))
    assert now == counts
    known = [[int(cell.replace(",", "")) for cell in cells if cell != "none"] for cells in (before, now)]
    assert len(known[0]) == len(known[1])
    assert all(was > lines for was, lines in zip(*known, strict=True))
