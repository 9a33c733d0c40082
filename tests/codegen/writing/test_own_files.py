"""Files of a person's own beside the code that name what a cut-over ends."""

import pytest

from advisor.codegen import Language, Stage, Wanted, generate, read_former, write_files
from codegen.test_cut_over import A10G, plan_of

NEAR, OTHER = (f"us-east-1-{name}-xlarge-bf16-tp1-on-demand" for name in ("g6", "g5"))
BEFORE, AFTER = plan_of({}), plan_of({**A10G, "region": "us-west-2"})
STAGES = (None, Stage.SHIFT, Stage.FINISH)


def notes(directory, plan, stage=None, target="ec2", language=Language.TERRAFORM):
    """Notes of a run on files that name something."""
    generated = generate(plan, language, Wanted(target=target), former=read_former(directory, stage))
    return [note for note in write_files(generated, directory).notes if " names " in note]


@pytest.mark.parametrize(
    ("language", "name"),
    [(Language.TERRAFORM, "dashboards.tf"), (Language.TERRAFORM, "own.tfvars"), (Language.PYTHON, "dashboards.py")],
)
def test_a_file_of_ones_own_that_names_what_retires_is_told_until_the_end(language, name, tmp_path):
    """At first that it retires, at the end that it is gone; a key that is part of a longer word is none."""
    assert notes(tmp_path, BEFORE, language=language) == []
    (tmp_path / name).write_text(f'watched = "{NEAR}"\n')
    (tmp_path / "other.tf").write_text(f'watched = "{NEAR}-2"\n')
    assert notes(tmp_path, BEFORE, language=language) == []
    told = [notes(tmp_path, AFTER, stage, language=language) for stage in STAGES]
    retires = f"{name} names {NEAR}, which retires: change it before --cut-over finish"
    assert told == [[retires], [retires], [f"{name} names {NEAR}, which is gone: change it before the next apply"]]
    assert notes(tmp_path, AFTER, language=language) == []


def test_a_file_that_a_kustomization_lists_is_told(tmp_path):
    """A file that lies beside it and that it does not list is applied by nothing."""
    target = "eks"
    notes(tmp_path, BEFORE, target=target)
    folder = tmp_path / "kubernetes/us-east-1"
    for name in ("own.yaml", "draft.yaml"):
        (folder / name).write_text(f"kind: ConfigMap\nmetadata:\n  name: {NEAR}-settings\ndata: {{group: {NEAR}}}\n")
    listed = folder / "kustomization.yaml"
    listed.write_text(listed.read_text().replace("resources:\n", "resources:\n  - own.yaml\n"))
    moved = plan_of(A10G)
    told = [notes(tmp_path, moved, stage, target) for stage in STAGES]
    path = "kubernetes/us-east-1/own.yaml"
    retires = f"{path} names {NEAR}, which retires: change it before --cut-over finish"
    assert told == [[retires], [retires], [f"{path} names {NEAR}, which is gone: change it before the next apply"]]
