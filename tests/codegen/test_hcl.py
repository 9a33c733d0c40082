"""The generated HCL read back with an independent parser: what a plan says changes values, never the structure."""

import dataclasses
import re

import hcl2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.codegen import Language, generate
from advisor.codegen.rendering import declarations
from codegen.plans import make_option, make_plan
from codegen.scenarios import SCENARIOS

WORDS = (
    "disable_password_authentication", "password_secret_name", "--password-stdin", "get-login-password", "passwords of registries",
)  # fmt: skip
"""Names and options that only speak of passwords."""
SECRETS = ("hf_", "AKIA", "BEGIN PRIVATE", "password")
BARE = hcl2.SerializationOptions(with_comments=False, with_meta=False, explicit_blocks=False, strip_string_quotes=True)
WITH_KEYS = ("terraform.tfvars.example", "tests/unit.tftest.hcl")
"""Files that name the backends whose weights the user has to name."""
TEXT = st.text(min_size=1, max_size=80, alphabet=st.characters(exclude_categories=["Cs"])) | st.text(
    "${}%\"\\\n'`;#|", min_size=1, max_size=80
)


def terraform(name):
    """The Terraform root of a scenario."""
    scenario = SCENARIOS[name]()
    return generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files


def parsed(files):
    """Every .tf file as parsed by python-hcl2."""
    return {path: hcl2.loads(text, serialization_options=BARE) for path, text in files.items() if path.endswith(".tf")}


def structure(node):
    """The shape of parsed code, without its leaf values."""
    if isinstance(node, dict):
        return {key: structure(value) for key, value in node.items()}
    return [structure(item) for item in node] if isinstance(node, list) else type(node).__name__


@settings(max_examples=10, deadline=None)
@given(name=TEXT, model=TEXT, accelerator=TEXT, source=TEXT)
def test_text_of_a_plan_never_changes_the_structure(name, model, accelerator, source):
    """Whatever the workload, the model, the accelerator and the price source are called, the blocks are the same."""
    usual = make_option()
    option = dataclasses.replace(
        usual, accelerator=accelerator, cost=dataclasses.replace(usual.cost, price_source=source)
    )
    strange = generate(make_plan(option, name=name, model=f"./{model}.json")).files
    plain = generate(make_plan(usual, model="./config.json")).files
    keys = re.compile(r"(us-east-1-[a-z0-9-]+)")
    differing = [path for path in plain if path != "README.md" and strange[path] != plain[path]]
    assert set(differing) <= {"fleet.tf", "variables.tf", "providers.tf", *WITH_KEYS}
    for path in WITH_KEYS:
        assert keys.sub("key", strange[path]) == keys.sub("key", plain[path])
    assert structure(hcl2.loads(strange["providers.tf"], serialization_options=BARE)) == structure(
        hcl2.loads(plain["providers.tf"], serialization_options=BARE)
    ), "the name stands in a comment"
    changed = set(strange["variables.tf"].splitlines()) ^ set(plain["variables.tf"].splitlines())
    assert all(line.startswith("  default     = ") for line in changed)
    assert structure(hcl2.loads(keys.sub("key", strange["fleet.tf"]), serialization_options=BARE)) == structure(
        hcl2.loads(keys.sub("key", plain["fleet.tf"]), serialization_options=BARE)
    )


@pytest.mark.parametrize("name", ["l4-spot", "inferentia2"])
def test_readme_lists_every_variable_and_output(name):
    """The tables of the README are the declarations that the parser finds, in their order, with their descriptions."""
    files = terraform(name)
    code = parsed({path: files[path] for path in ("variables.tf", "outputs.tf")})
    for path, kind in (("variables.tf", "variable"), ("outputs.tf", "output")):
        found = [(name, body) for block in code[path][kind] for name, body in block.items()]
        listed = declarations(files[path], kind)
        assert [(one.name, one.description) for one in listed] == [(name, body["description"]) for name, body in found]
        assert [bool(one.default) for one in listed] == ["default" in body for _, body in found]
        assert all(f"| `{one.name}` |" in files["README.md"] for one in listed)


@pytest.mark.parametrize("name", ["l4-spot", "inferentia2"])
def test_every_variable_is_typed_described_and_used(name):
    """No variable lacks a type or a description, and none is declared in vain."""
    files = terraform(name)
    used = "".join(text for path, text in files.items() if path.endswith(".tf") and path != "variables.tf")
    for variable in declarations(files["variables.tf"], "variable"):
        assert variable.type
        assert variable.description.endswith(".")
        assert f"var.{variable.name}" in used


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_secret_is_in_the_code(name):
    """The hub token is read at boot by ARN; nothing that looks like a credential is written down."""
    files = terraform(name)
    code = "".join(text for path, text in files.items() if path.endswith((".tf", ".hcl", ".tftpl")))
    harmless = re.sub(f"hf_token|{'|'.join(WORDS)}", "", code)
    assert not any(secret in harmless for secret in SECRETS)
