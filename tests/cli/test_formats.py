"""Formats of results: one vocabulary over all commands, the same numbers in each."""

import csv
import io
import json

import click
import pytest
from click.testing import CliRunner

from advisor.cli.app import COMMANDS, advisor
from advisor.cli.fit import command as fit
from advisor.cli.predict import command as predict
from advisor.report.option_values import OPTION_COLUMNS, option_values
from report.plans import mixed_plan, spot_plan

KNOWN = {"table", "json", "ndjson", "csv", "markdown", "html", "sarif", "junit", "focus"}
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CASES = f"model,accelerator,concurrency,input_tokens,output_tokens\n{MODEL},L4,4,500,100\n{MODEL},NoSuch,4,500,100\n"


def commands_of(command, context, path=()):
    """Every command below one, with its name."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands_of(command.get_command(context, name), context, (*path, name))
    else:
        yield path, command


def test_every_command_names_its_formats_alike():
    """The first is the one that people read; calibrate names formats of its input, whose option is another."""
    context = click.Context(advisor)
    formats = {
        path: option.type.choices
        for path, command in commands_of(advisor, context)
        for option in command.params
        if option.name == "output_format"
    }

    assert len(formats) > len(COMMANDS) / 2
    for path, choices in formats.items():
        assert set(choices) <= KNOWN, path
        assert choices[0] == "table", path


@pytest.mark.parametrize("command", [fit, predict])
def test_answers_to_a_table_are_the_same_in_each_format(command, tmp_path):
    """As JSON, line by line and as CSV; what is not known is null, and a table has to be of one question."""
    file = tmp_path / "cases.csv"
    file.write_text(CASES)

    def asked(*options):
        result = CliRunner().invoke(command, ["--batch", str(file), *options])
        return result.exit_code, result.output

    _, text = asked()
    rows = list(csv.DictReader(io.StringIO(text)))
    as_json = json.loads(asked("--format", "json")[1])

    assert asked("--format", "csv")[1] == text
    assert [json.loads(line) for line in asked("--format", "ndjson")[1].splitlines()] == as_json
    assert asked("--format", "table")[0] == 2
    assert as_json[0]["model"] == MODEL
    assert "NoSuch" in as_json[1]["reason"]
    for row, values in zip(rows, as_json, strict=True):
        assert list(row) == list(values)
        for name, value in values.items():
            if isinstance(value, bool) or value is None:
                assert row[name] == ("" if value is None else str(value).lower())
            elif isinstance(value, float | int):
                assert float(row[name]) == pytest.approx(value)


@pytest.mark.parametrize("make", [spot_plan, mixed_plan])
def test_options_are_rows_of_the_plans_own_numbers(make):
    """Each under the columns of CSV; what was not replayed has no replayed latency."""
    for option in make().options:
        values = option_values(option)
        assert tuple(values) == OPTION_COLUMNS
        assert values["total_usd_per_month"] == option.cost.total_usd_per_month
        assert (values["replayed_ttft_p95_ms"] is None) == (option.confirmed is None)
