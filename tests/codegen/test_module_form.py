"""Roots and modules: who configures the provider, and what carries the deployment's tags where its caller does."""

import dataclasses
import re
import sys

import pytest

from advisor.cli.app import main
from advisor.codegen import Language, generate
from advisor.plan.document import plan_to_json
from codegen.check import findings
from codegen.check.schemas import schema_of
from codegen.scenarios import SCENARIOS

OF_EACH_TARGET = (
    "l4-spot", "eks-scheduled", "eks-karpenter-neuron", "sagemaker-mixed-scheduled", "vm-scale-set-reactive", "aks-scheduled",
    "container-apps-a100-scheduled", "cloud-run-two-regions", "gke-scheduled", "mig-two-regions",
)  # fmt: skip
RESOURCE = re.compile(r'^resource "(\w+)" "\w+" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
GIVEN = {"tags_all": r"^  tags +=", "effective_labels": r"^  (resource_)?labels +="}
"""What a provider adds to by its defaults, and the argument that says it at the resource itself."""


def files_of(name, *, as_component):
    """The Terraform of a scenario."""
    scenario = SCENARIOS[name]()
    wanted = dataclasses.replace(scenario.wanted, as_component=as_component)
    return generate(scenario.plan, Language.TERRAFORM, wanted).files


@pytest.mark.parametrize("name", OF_EACH_TARGET)
def test_root_and_module_differ_in_who_configures_the_provider(name):
    """The module has no provider and no backend; an example of its caller has both. Everything else is the same."""
    root, module = files_of(name, as_component=False), files_of(name, as_component=True)
    assert findings(module) == ()
    assert root.keys() - module.keys() == {"providers.tf"}
    assert module.keys() - root.keys() == {"examples/complete/main.tf"}
    assert {path for path in root.keys() & module.keys() if root[path] != module[path]} == {"README.md"}
    assert not [
        path
        for path, text in module.items()
        if path.count("/") == 0 and re.search(r'^provider |^ *(# )?backend "\w+" {', text, re.MULTILINE)
    ]
    for text in (root["providers.tf"], module["examples/complete/main.tf"]):
        assert re.search(r"^provider ", text, re.MULTILINE)
        assert "-backend-config=" in text
    assert "required_providers" not in module["examples/complete/main.tf"]


@pytest.mark.parametrize("name", [*OF_EACH_TARGET, "kubernetes-spot"])
@pytest.mark.parametrize("as_component", [False, True])
def test_page_lists_the_variables_that_are_there(name, *, as_component):
    """What configures a provider is an input of the root alone."""
    files = files_of(name, as_component=as_component)
    declared = {
        variable
        for path, text in files.items()
        if "/" not in path
        for variable in re.findall(r'^variable "(\w+)"', text, re.MULTILINE)
    }
    inputs = files["README.md"].partition("## Inputs")[2].partition("## Outputs")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", inputs, re.MULTILINE)) == declared


def test_module_of_a_partition_without_budgets_is_sound():
    """GovCloud has no budget, so that nothing but a provider would ask for the home region."""
    assert findings(files_of("gov-cloud", as_component=True)) == ()


@pytest.mark.parametrize("name", OF_EACH_TARGET)
def test_whatever_takes_tags_has_them_whoever_configures_the_provider(name):
    """Two deployments of one provider could not be told apart by its defaults, and their budgets would see nothing."""
    tried = 0
    for text in files_of(name, as_component=True).values():
        for kind, body in RESOURCE.findall(text):
            schema = schema_of("resource", kind)
            for mark, argument in GIVEN.items():
                if schema is not None and mark in schema.attributes:
                    tried += 1
                    assert re.search(argument, body, re.MULTILINE), kind
    assert tried or name.startswith(("vm-scale-set", "aks", "container-apps", "gke"))


def test_directory_without_a_provider_stays_a_module(tmp_path, monkeypatch, capsys):
    """Whether it was written with --module, or its providers.tf was deleted; --root makes a root of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.json").write_text(plan_to_json(SCENARIOS["l4-spot"]().plan), encoding="utf-8")
    providers, example = tmp_path / "infra/providers.tf", tmp_path / "infra/examples/complete/main.tf"

    def run(*arguments):
        monkeypatch.setattr(
            sys,
            "argv",
            ["advisor", "generate", "terraform", "plan.json", "--into", "infra", "--option", "1", *arguments],
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        return capsys.readouterr().err

    run()
    assert providers.exists()
    assert not example.exists()
    providers.unlink()
    assert "holds a module, which is written again" in run()
    assert (providers.exists(), example.exists()) == (False, True)
    run("--root")
    assert (providers.exists(), example.exists()) == (True, False)
    run("--module")
    assert (providers.exists(), example.exists()) == (False, True)
