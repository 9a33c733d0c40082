"""``advisor fit``: whether a model fits an accelerator, one question at a time or a table of them."""

import json
from pathlib import Path

import click

from advisor.cli.options import FILE
from advisor.cli.output import (
    MODEL_HELP,
    PLAIN_WIDTH,
    answers_format,
    answers_format_option,
    answers_text,
    deliver,
    options_given,
    output_option,
    read_cases,
)
from advisor.questions.fit import (
    ADAPTERS_COLUMN,
    INPUT_COLUMNS,
    RESULT_COLUMNS,
    answer,
    answer_row,
    fit_case,
    no_answer,
)
from advisor.reading import read_text
from advisor.report.text_table import wrap

_REQUIRED = ("model", "accelerator")
_LARGE = 1e6
"""From here on a number is shown by its power of ten."""


@click.command(name="fit")
@click.option("--model", help=MODEL_HELP)
@click.option(
    "--accelerator",
    help="A catalogued accelerator, such as L40S, or a machine type with one or none, such as c7i.4xlarge.",
)
@click.option("--accelerator-count", help="Accelerators of one replica.  [default: 1]")
@click.option("--tensor-parallel", help="Ranks that share each layer.  [default: all accelerators]")
@click.option("--precision", help="Of the weights.  [default: the checkpoint's own]")
@click.option("--kv-precision", help="Of the KV cache.  [default: auto, as the checkpoint asks for, else 16 bit]")
@click.option("--engine", help="Serving engine.  [default: as in a plan: the catalog's first for the accelerator]")
@click.option("--engine-version", help="Its version.  [default: that of plans]")
@click.option("--context", "context_tokens", help="Prompt and answer of a request, in tokens.  [default: the model's]")
@click.option("--concurrency", help="Requests that must fit at the same time.  [default: 1]")
@click.option("--adapters", help="LoRA adapters on the accelerators at a time.  [default: none]")
@click.option("--adapter-rank", help="The largest rank of them.")
@click.option("--memory-utilization", help="Share of the memory that the engine may use.  [default: 0.9]")
@click.option("--batch", type=FILE, help=f"CSV of cases: {', '.join(INPUT_COLUMNS)}.")
@answers_format_option
@output_option
def command(batch: Path | None, output_format: str | None, output: Path | None, **options: str | None) -> None:
    """Whether a model fits, what it takes, and how many whole requests its KV cache holds.

    GiB are summed over the accelerators of one replica. Accelerators beyond the tensor parallelism are pipeline stages.
    """
    given = options_given(options, batch, _REQUIRED)
    shown_as = answers_format(output_format, batch)
    deliver(_single(given, shown_as) if batch is None else _batch(batch, shown_as), output)


def _single(given: dict[str, str], output_format: str) -> str:
    case = fit_case(given)
    result = case.inputs | answer(case)
    if output_format == "json":
        return json.dumps(result, indent=2) + "\n"
    if output_format != "table":
        return answers_text([result], output_format)
    names = max(map(len, result))
    lines = (
        line
        for name, value in result.items()
        for line in wrap(_shown(value), PLAIN_WIDTH, f"{name:<{names}}  ", " " * (names + 2))
    )
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    """A value for people: yes and no, thousands apart, two decimals."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3g}" if value >= _LARGE else f"{value:,.2f}"
        case _:
            return str(value) if value not in (None, "") else "-"


def _batch(path: Path, output_format: str) -> str:
    """All rows of *path* with the result columns added; a wrong row has a reason and no numbers."""
    text = read_text(path, "table of cases", "save it as CSV in UTF-8")
    header, rows = read_cases(text, str(path), _REQUIRED, INPUT_COLUMNS, RESULT_COLUMNS)
    kept = [name for name in header if name not in RESULT_COLUMNS]
    more = (ADAPTERS_COLUMN,) if "adapters" in header else ()
    none = dict.fromkeys([*kept, *RESULT_COLUMNS, *more])
    answers = []
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        result = answer_row(cells) if len(row) == len(header) else no_answer("the row has more cells than the header")
        answered = {**none, **{name: cells[name] for name in kept}, **result}
        answers.append({name: answered[name] for name in none})
    return answers_text(answers, output_format, [*none])
