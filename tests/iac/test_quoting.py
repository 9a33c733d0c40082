"""Terraform itself reads back what the HCL filter writes, whatever the text."""

import json
import unicodedata

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from advisor.codegen.quoting import hcl_string, hcl_value
from codegen.plans import HOSTILE
from iac import harness

EDGES = (
    "",
    "$",
    "${",
    "$${",
    "$$${x}",
    "%{if}",
    "%%{",
    "\\",
    '\\"',
    "\\${",
    "a\nb",
    "\r\t",
    "\x00\x1b\x7f",
    "\u2028",
    HOSTILE,
)
PROGRAMS = (
    "a\n  ${b}\nEOTs %{c}\n",
    "a\nEOT\nb\n",
    "a\n\nb\n",
    "a\n$${b}\nc\n",
    "  a\nb\nc\n",
    'a\n"b" \\n\nc\n',
    "a\nb\nc",
)
EDGE_TEXT = st.sampled_from(["", "a b", "${x}", 'say "hi"', "long " * 30, *PROGRAMS])
BATCH = st.lists(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.text("${}%\"\\\n'"), min_size=200, max_size=200
)


def read_back(texts, directory, config_file):
    """What Terraform makes of the literals of *texts*."""
    outputs = (f'output "o{n}" {{\n  value = {hcl_string(text)}\n}}\n' for n, text in enumerate(texts))
    (directory / "main.tf").write_text("".join(outputs), encoding="utf-8")
    terraform = harness.Terraform(directory, config_file)
    terraform("apply", "-no-color", "-auto-approve").ok()
    values = terraform("output", "-json").ok().json
    return [values[f"o{n}"]["value"] for n in range(len(texts))]


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(texts=BATCH)
def test_literals_mean_the_text_they_were_made_from(texts, simulated_clouds, tmp_path):
    """Batches of arbitrary text and of HCL's own marks come back unchanged (in Terraform's normal form, NFC)."""
    wanted = [unicodedata.normalize("NFC", text) for text in (*EDGES, *texts)]
    assert read_back([*EDGES, *texts], tmp_path, simulated_clouds) == wanted


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-100, 100).map(lambda x: round(x, 2)) | EDGE_TEXT,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,9}|[0-9]{4}-[0-9]", fullmatch=True), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(values=st.lists(NESTED, min_size=30, max_size=30))
def test_nested_values_are_laid_out_as_terraform_would(values, simulated_clouds, tmp_path):
    """Maps and lists mean what they were made from, and the formatter has nothing to change."""
    outputs = (f'output "o{n}" {{\n  value = {hcl_value(value, 2)}\n}}\n' for n, value in enumerate(values))
    (tmp_path / "main.tf").write_text("\n".join(outputs), encoding="utf-8")
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    assert terraform("fmt", "-check", "-diff").ok().out == ""
    terraform("apply", "-no-color", "-auto-approve").ok()
    found = terraform("output", "-json").ok().json
    # An output that is null is not listed.
    assert [found.get(f"o{n}", {}).get("value") for n in range(len(values))] == values


def test_values_file_in_json_agrees(simulated_clouds, tmp_path):
    """The same text given as JSON and as our literal is one value to Terraform."""
    (tmp_path / "json").mkdir()
    (tmp_path / "json/main.tf").write_text('variable "x" {\n  type = string\n}\n\noutput "x" {\n  value = var.x\n}\n')
    (tmp_path / "json/terraform.tfvars.json").write_text(json.dumps({"x": HOSTILE}))
    terraform = harness.Terraform(tmp_path / "json", simulated_clouds)
    terraform("apply", "-no-color", "-auto-approve").ok()
    (literal,) = read_back([HOSTILE], tmp_path, simulated_clouds)
    assert terraform("output", "-json").ok().json["x"]["value"] == literal
