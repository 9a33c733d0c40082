"""The generated modules are exactly the golden ones; ``make golden`` writes them anew, to be read before a commit."""

import json
from pathlib import Path

import pytest

from advisor.codegen import generate
from advisor.plan.document import plan_from_json, plan_to_json
from codegen.plans import SCENARIOS

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "terraform"


@pytest.mark.parametrize("name", SCENARIOS)
def test_module_equals_its_golden_one(name, golden):
    """Each scenario gives the files that were read and accepted, no more and no fewer."""
    files = generate(*SCENARIOS[name]())
    directory = GOLDEN / name
    for path, text in files.items():
        golden(directory / path, text)
    assert sorted(files) == sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", SCENARIOS)
def test_plan_from_a_file_gives_the_same_bytes_as_the_plan_in_memory(name):
    """Writing the plan out and reading it back changes no byte of the code, and neither does a second run."""
    plan, option = SCENARIOS[name]()
    from_file = plan_from_json(plan_to_json(plan))
    same = next(one for one in from_file.options if one.rank == option.rank)
    assert generate(plan, option) == generate(from_file, same) == generate(plan, option)


def test_digest_follows_the_plan():
    """Another price is another digest; the order of the plan's keys is not."""
    plan, option = SCENARIOS["a10g-on-demand"]()
    document = json.loads(plan_to_json(plan))
    document["demand"] = dict(reversed(document["demand"].items()))
    shuffled = plan_from_json(json.dumps(document))
    header = generate(plan, option)["main.tf"].splitlines()[0]
    assert generate(shuffled, shuffled.options[1])["main.tf"].splitlines()[0] == header
    document["options"][1]["cost"]["total_usd_per_month"] += 1
    dearer = plan_from_json(json.dumps(document))
    assert generate(dearer, dearer.options[1])["main.tf"].splitlines()[0] != header
