"""Tables of inputs: what Terraform variables and Pulumi settings are printed from."""

import ast
import ipaddress
import re
import tomllib
from typing import Any

import pytest

from advisor.codegen.inputs.table import CIDR, REGION, Bounds, Input, inputs_of
from advisor.codegen.inputs.variables import hcl_variables, python_settings
from advisor.codegen.quoting import hcl_string
from advisor.data_files import PACKAGE_DIR, data_dir

TABLES = PACKAGE_DIR / "codegen" / "inputs"
TARGETS = sorted(path.name for path in (data_dir("templates") / "terraform").iterdir() if path.name != "shared")
CLOUDS = ("aws", "azure", "gcp")


def table(name):
    """Rows of a table by name, with the order where it has one."""
    return tomllib.loads((TABLES / f"{name}.toml").read_text())


def everything(target) -> tuple[Input, ...]:
    """Inputs of a target whatever the stack is, with made-up defaults."""
    return inputs_of(target, lambda _: 1, lambda text: text)


def test_every_row_belongs_to_a_target():
    """A target's own rows stand in its order; those of a cloud and the shared ones in that of some target."""
    orders = {target: set(table(target)["order"]) for target in TARGETS}
    for target, order in orders.items():
        assert table(target).keys() - {"order"} <= order
    for cloud in CLOUDS:
        assert table(cloud).keys() <= set().union(*(orders[target] for target in TARGETS if target.startswith(cloud)))
    assert table("shared").keys() <= set().union(*orders.values())


@pytest.mark.parametrize("target", TARGETS)
def test_both_languages_have_the_same_inputs(target):
    """Names in one order, and the same required ones."""
    inputs = everything(target)
    code, classes = str(hcl_variables(inputs)), ast.parse(f"{python_settings(inputs)}").body
    fields = [node for node in classes[-1].body if isinstance(node, ast.AnnAssign)]
    blocks = re.split(r'^variable "', code, flags=re.MULTILINE)[1:]
    assert [block.partition('"')[0] for block in blocks] == [field.target.id for field in fields]
    for block, field in zip(blocks, fields, strict=True):
        keywords = {keyword.arg for keyword in field.value.keywords}
        has_default = re.search(r"^  default +=", block, re.MULTILINE) is not None
        assert has_default == bool(keywords & {"default", "default_factory"})


@pytest.mark.parametrize("target", TARGETS)
def test_both_languages_ask_for_the_same_texts(target):
    """A pattern is in a validation and among the facts of a setting, records' fields included, and compiles."""
    inputs = everything(target)
    code, classes = str(hcl_variables(inputs)), ast.parse(str(python_settings(inputs))).body
    settings = {node.name: node for node in classes}
    records = {row.record.name: row.record.fields for row in inputs if row.record is not None}
    for name, rows in {"Settings": inputs, **records}.items():
        fields = {node.target.id: node for node in settings[name].body if isinstance(node, ast.AnnAssign)}
        for row in rows:
            if not row.pattern or row.pattern == CIDR:
                continue
            pattern = ast.literal_eval(fields[row.name].value.args[1])
            assert re.compile(pattern)
            assert pattern.removeprefix(f"(?!{row.never_starts})") == row.pattern
            assert hcl_string(row.pattern)[1:-1].replace(REGION, "${region}") in code
            assert row.expected


@pytest.mark.parametrize("target", TARGETS)
def test_every_text_has_a_pattern(target):
    """Without one Terraform takes null in its place, and a program does not."""
    rows = [field for row in everything(target) for field in (row, *(row.record.fields if row.record else ()))]
    assert [row.name for row in rows if "str" in row.type.replace("Mapping[str", "") and not row.pattern] == []


@pytest.mark.parametrize("target", TARGETS)
def test_no_condition_iterates_over_null(target):
    """Terraform before 1.12 evaluates both sides of ``||``, so that a check of null beside a loop protects nothing."""
    variables = hcl_variables(everything(target))

    assert re.findall(r"[\w.]+(?= == null \|\| .*\bin )", variables) == []


@pytest.mark.parametrize("target", TARGETS)
def test_every_check_is_written_for_both_languages(target):
    """A condition, which has to look at the variable itself, has statements of Python beside it, and so have keys."""
    for row in everything(target):
        assert all(f"var.{row.name}" in check.condition and ast.parse(check.python).body for check in row.checks)
        assert row.keys is None or (row.keys.hcl and ast.parse(row.keys.python, mode="eval"))


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(least=0), "0 or more"),
        (Bounds(least=30, most=730), "30 to 730"),
        (Bounds(above=0), "more than 0"),
        (Bounds(above=0, most=1), "more than 0 and at most 1"),
    ],
)
def test_range_is_told_in_words(bounds, words):
    """The same words end the message of either language."""
    assert bounds.words == words
    assert bounds
    assert not Bounds()


@pytest.mark.parametrize(
    ("target", "name", "text"),
    [
        ("gcp-mig", "networks.zones", "us-south1-ai1b"),
        ("gcp-gke", "clusters.zones", "us-central1-a"),
        ("gcp-gke", "clusters.zones", "us-central1-ai1a"),
        ("gcp-gke", "clusters.location", "us-central1-ai1a"),
        ("gcp-cloud-run", "hf_token_secret", "projects/example.com:search/secrets/hub-token"),
        ("gcp-mig", "registry_secret", "projects/example.com:search/secrets/ngc"),
        ("azure-vm-scale-set", "admin_ssh_public_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE operations\n"),
        ("azure-vm-scale-set", "admin_ssh_public_key", "ssh-rsa AAAAB3NzaC1yc2E="),
        (
            "azure-aks",
            "clusters.log_analytics_workspace_id",
            "/subscriptions/0/resourcegroups/logs/providers/Microsoft.OperationalInsights/workspaces/logs",
        ),
    ],
)
def test_texts_pass_as_clouds_and_tools_write_them(target, name, text):
    """Zones for accelerators have longer names, projects a domain, files of public keys end with a line feed, some ids are in lower case."""
    setting, _, field = name.partition(".")
    row = next(row for row in everything(target) if row.name == setting)
    if row.record is not None:
        row = next(one for one in row.record.fields if one.name == field)
    for region in ("[a-z0-9-]+", text.rpartition("-")[0]):
        assert re.fullmatch(row.pattern.replace(REGION, region), text)


@pytest.mark.parametrize(
    ("text", "is_block"),
    [
        ("10.0.0.0/8", True),
        ("10.0.0.0/255.0.0.0", False),
        ("010.0.0.0/8", False),
        ("10.0.0.5/8", True),
        ("10.0.0.5", False),
        ("10.0.0.0/33", False),
    ],
)
def test_programs_take_the_blocks_that_roots_take(text, is_block):
    """As ``cidrhost`` of Terraform reads them: with a length of the prefix, whatever follows it."""
    source = (data_dir("templates") / "pulumi-python/shared/configuration.py.j2").read_text(encoding="utf-8")
    function = source[source.index("def _is_network") :].partition("\n\n\n")[0]
    names: dict[str, Any] = {"ipaddress": ipaddress}
    exec(function, names)

    assert names["_is_network"](text) is is_block
