"""The shipped table: every row has a source, a meaning, a unit that converts, and a place of its own."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.samples import exporters as table_module
from advisor.samples.exporters import Shows, shipped
from advisor.samples.metrics import MEANINGS, METRICS, QUOTIENTS, Kind, Scope, units_of
from advisor.tables import read_rows
from catalog.schema_check import described, violations
from samples.exporters.page import GENERATED, PAGE, rendered

DIRECTORY = Path(table_module.__file__).parent
EXPORTERS = list(read_rows(DIRECTORY / "exporters.csv"))
NAMES = list(read_rows(DIRECTORY / "names.csv"))
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+ [\w./-]+|https://\S+|advisor/samples/metrics\.py")


def test_the_table_is_as_its_schema_says():
    """Columns, cells, keys and references of both files agree with SCHEMA.csv, and every file is described."""
    keys = {"exporters.exporter": {row["exporter"] for row in EXPORTERS}}
    assert list(violations(DIRECTORY, keys)) == []
    assert described(DIRECTORY) == {"exporters.csv", "names.csv"}


def test_the_schema_check_can_fail(tmp_path):
    """A row of an exporter that is not there is found."""
    for path in DIRECTORY.glob("*.csv"):
        shutil.copy(path, tmp_path)
    text = (tmp_path / "names.csv").read_text()
    (tmp_path / "names.csv").write_text(text.replace("\ndcgm,", "\ndgcm,", 1))
    keys = {"exporters.exporter": {row["exporter"] for row in EXPORTERS}}
    assert any("dgcm" in line for line in violations(tmp_path, keys))


def test_every_row_has_a_source():
    """A source is a repository and a path in it, or a page of documentation."""
    assert [row for row in (*EXPORTERS, *NAMES) if not REPOSITORY.fullmatch(row["source"])] == []


SAID = {
    "_bytes": "bytes", "_MiB": "MiB", "_mW": "mW", "_milliwatts": "mW", "_watts": "W", "_ratio": "ratio",
    "_percent": "percent", "_Percentage": "percent", "_seconds": "s", "_ms": "ms", "_MHz": "MHz", "_hz": "Hz",
    "_celsius": "C",
}  # fmt: skip


def test_every_name_means_something_in_a_unit_that_converts():
    """Meaning and unit are known."""
    assert [row for row in NAMES if not units_of(MEANINGS[row["metric"]])[row["unit"]] > 0] == []


def test_no_unit_contradicts_the_name():
    """What a name itself says of its unit is what its row says."""
    said = {row["name"]: [SAID[end] for end in SAID if row["name"].endswith(end)] for row in NAMES}
    wrong = [row for row in NAMES if said[row["name"]] and row["unit"] not in said[row["name"]]]
    assert [row for row in wrong if row["trait"] != "two_scales"] == []


def test_of_several_names_for_one_meaning_the_order_is_stated():
    """Within an exporter the names of one meaning are numbered from 1, each number once."""
    orders: dict[tuple[str, str], list[int]] = {}
    for row in NAMES:
        orders.setdefault((row["exporter"], row["metric"]), []).append(int(row["order"]))
    assert {key: sorted(found) for key, found in orders.items()} == {
        key: list(range(1, len(found) + 1)) for key, found in orders.items()
    }


def test_no_name_is_two_exporters():
    """A name on a server says whose it is: else one accelerator would be read twice under different labels."""
    owners = Counter(
        name for name, _ in {(name.name, name.exporter.key) for metric in shipped().names.values() for name in metric}
    )
    assert [name for name, count in owners.items() if count > 1] == []


@pytest.mark.parametrize("exporter", shipped().exporters.values(), ids=lambda one: one.key)
def test_every_exporter_has_names_of_its_own_kind(exporter):
    """An exporter of accelerators has names of accelerators alone, an engine those of engines, all with its prefix."""
    names = shipped().of(exporter)
    assert names
    assert {name.metric.scope for name in names} == {Scope.ENGINE if exporter.serves else Scope.ACCELERATOR}
    if exporter.prefixes:
        assert {name.name for name in names if not name.name.startswith(exporter.prefixes)} == set()


def test_counters_are_found_with_and_without_their_ending():
    """OpenMetrics puts _total behind counters, and some relays take it away: both spellings are looked for."""
    spelled = {name.name for name in shipped().names["prompt_tokens"]}
    assert {
        "vllm:prompt_tokens_total",
        "vllm:prompt_tokens",
        "vllm_prompt_tokens_total",
        "ray_vllm_prompt_tokens",
    } <= spelled
    assert "tgi_request_input_length_sum_total" not in spelled


def test_every_quotient_is_of_known_meanings():
    """A metric that can be a quotient, and both of its parts, are meanings."""
    assert {*QUOTIENTS, *(part for parts in QUOTIENTS.values() for part in parts)} <= set(MEANINGS)


def test_the_agents_own_names_are_made_from_its_metrics():
    """Every gauge of the agent is read back from a server first of all."""
    for metric in METRICS.values():
        if metric.kind is Kind.GAUGE:
            assert shipped().names[metric.name][0].name == f"advisor_{metric.scope}_{metric.name}"


def test_the_documentation_lists_the_table():
    """docs/metrics.md holds what the table holds; `python tests/samples/exporters/page.py` writes it anew."""
    assert GENERATED.search(PAGE.read_text(encoding="utf-8")).group(0) == rendered()


def test_exporters_for_servers_and_for_cloudwatch_are_apart():
    """Names in CloudWatch are asked of CloudWatch alone."""
    assert not any(name.exporter.shows is Shows.CLOUDWATCH for names in shipped().names.values() for name in names)


def test_a_table_that_cannot_be_read(tmp_path):
    """A mapping file that is not there is named."""
    with pytest.raises(InputError, match="cannot read"):
        shipped().with_file(tmp_path / "none.csv")
