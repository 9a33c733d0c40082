"""Formats of results: one vocabulary over all commands, the same numbers in each."""

import csv
import io
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from advisor.cli.app import COMMANDS, advisor
from advisor.cli.fit import command as fit
from advisor.cli.predict import command as predict
from advisor.report.option_words import OPTION_VALUE_COLUMNS, option_values
from report.plans import mixed_plan, spot_plan

ROOT = Path(__file__).parents[2]
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


def formats_by_command():
    """Formats of every command that has some."""
    return {
        " ".join(path): option.type.choices
        for path, command in commands_of(advisor, click.Context(advisor))
        for option in command.params
        if option.name == "output_format"
    }


def test_the_page_on_results_names_the_formats_of_every_command():
    """docs/results.md has a row for each, with its formats in their order, and names all others that can be quiet."""
    page = (ROOT / "docs/results.md").read_text()
    rows = dict(re.findall(r"^\| `([\w -]+)` \| ([\w, ]+) \|$", page, re.MULTILINE))
    quiet = {
        " ".join(path)
        for path, command in commands_of(advisor, click.Context(advisor))
        if any("--quiet" in option.opts for option in command.params)
    }

    assert rows == {command: ", ".join(formats) for command, formats in formats_by_command().items()}
    assert set(rows) <= quiet
    assert all(f"`{command.partition(' ')[0] if 'generate' in command else command}`" in page for command in quiet)


def test_an_unknown_format_is_refused_with_those_there_are():
    """By every command, before it reads anything."""
    for path, command in commands_of(advisor, click.Context(advisor)):
        formats = formats_by_command().get(" ".join(path))
        if formats:
            done = CliRunner().invoke(command, ["--format", "xml"])
            assert done.exit_code == 2, path
            assert all(f"'{name}'" in " ".join(done.output.split()) for name in formats), path


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_a_quiet_command_tells_no_notes(tmp_path, options):
    """Neither what it wrote nor how old prices are; the result is the same."""
    arguments = ["catalog", "accelerators", "-o", str(tmp_path / "list.csv"), *options]
    done = CliRunner().invoke(advisor, arguments)

    assert done.exit_code == 0, done.output
    assert ("wrote" in done.output) == (options == ())
    assert len((tmp_path / "list.csv").read_text().splitlines()) > 10


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
        assert tuple(values) == OPTION_VALUE_COLUMNS
        assert values["total_usd_per_month"] == option.cost.total_usd_per_month
        assert (values["replayed_ttft_p95_ms"] is None) == (option.confirmed is None)
