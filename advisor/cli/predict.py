"""``advisor predict``: latency and throughput of one deployment, or of a table of them."""

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path

import click

from advisor.catalog import load_catalog
from advisor.cli.options import FILE
from advisor.cli.output import (
    MODEL_HELP,
    answers_format,
    answers_format_option,
    answers_text,
    calibration_option,
    deliver,
    options_given,
    output_option,
    read_cases,
    report_width,
)
from advisor.errors import InputError
from advisor.performance.constants import TABLE
from advisor.performance.explain import Explanation, Terms
from advisor.performance.model import PerformanceModel, load_model
from advisor.performance.setups import COUNT_COLUMNS, QUANTITIES, REQUIRED_COLUMNS, SAMPLES, SCENARIOS
from advisor.questions import predict
from advisor.reading import read_text
from advisor.report.text_table import wrap
from advisor.workload.kinds import LLAMA_CPP

NOTHING = "\nexplain: there are no terms to show\n"
"""For a question without an answer, and for a model that answers in one pass."""


def explain_text(explanation: Explanation | None) -> str:
    """The terms as lines, with their shares."""
    if explanation is None:
        return NOTHING
    step = f"a step of {explanation.batch:.4g} requests"
    if explanation.tokens_per_step > 1:
        step += f" that yields {explanation.tokens_per_step:.3g} tokens each"
    lines = [f"users       {explanation.users:.4g} of each replica"] if explanation.users else []
    lines += _lines(f"tpot_ms, {step}", explanation.tpot)
    lines += _lines("ttft_ms", explanation.ttft) if explanation.ttft else []
    lines += [
        f"throughput  learned × {explanation.throughput_learned:.3f}",
        f"measured    {explanation.measured}",
        "constants",
    ]
    width = max(len(row.name) for row in TABLE)
    lines += [
        f"  {row.name:<{width}}  {explanation.constants[row.name]:<10.4g} {row.unit}: {row.meaning}" for row in TABLE
    ]
    return "\n" + "\n".join(lines) + "\n"


def _lines(title: str, terms: Terms) -> list[str]:
    """One time: its terms with their shares, and what was learned on top."""
    total = sum(terms.terms_ms.values())
    width = max(map(len, terms.terms_ms))
    parts = [f"  {name:<{width}}  {part:>10.4g}  {part / total:>6.1%}" for name, part in terms.terms_ms.items()]
    return [title, *parts, f"  {total:.4g} × learned {terms.learned:.3f} = {terms.value_ms:.4g}"]


_WHOLE_FROM = 1000
"""From here on a number is shown without decimals."""


@click.command(name="predict")
@click.option("--model", help=MODEL_HELP)
@click.option(
    "--accelerator",
    help="A catalogued accelerator, such as L40S or H100-SXM, or a machine type with one or none, such as c7i.4xlarge.",
)
@click.option("--accelerator-count", help="Accelerators, all replicas together.  [default: 1]")
@click.option("--tensor-parallel", help="Ranks that share each layer.  [default: count / (pipeline × data)]")
@click.option("--pipeline-parallel", help="Pipeline stages.  [default: 1]")
@click.option("--expert-parallel", help="Ranks that share the experts.  [default: all of a replica]")
@click.option("--data-parallel", help="Groups that each hold all of attention.  [default: 1]")
@click.option("--precision", help="Of the weights.  [default: the checkpoint's own]")
@click.option(
    "--kv-precision", help="Of the KV cache.  [default: as in a plan; with --engine fp8 for fp8 and fp4 weights]"
)
@click.option("--engine", help="Serving engine.  [default: the catalog's first for the accelerator]")
@click.option("--engine-version", help="Its version.  [default: that of plans; with --engine not stated]")
@click.option(
    "--scenario", type=click.Choice([scenario.value for scenario in SCENARIOS]), help="How the load is offered."
)
@click.option("--input-tokens", help="Prompt tokens of a request.")
@click.option("--output-tokens", help="Generated tokens of a request.")
@click.option("--concurrency", help="Users over all accelerators; for encoders and vision, the batch.")
@click.option("--prefix-cache-hit-ratio", help="Share of the prompt's tokens that a cache holds.  [default: 0]")
@click.option("--max-batched-tokens", help="Tokens that one engine step takes in.  [default: the engine's]")
@click.option("--draft-tokens", help="Speculative decoding: tokens drafted in each step.  [default: none]")
@click.option("--draft-acceptance", help="Probability that a drafted token is accepted after those before it.")
@click.option("--draft-model", help="What drafts: a model, or ngram.  [default: a head on the model]")
@click.option("--adapters", help="LoRA adapters on the accelerators at a time.  [default: none]")
@click.option("--adapter-rank", help="Their largest rank.")
@click.option("--images", help="Images of a request.  [default: none]")
@click.option("--image-width", help="Pixels of each image.")
@click.option("--image-height", help="Pixels of each image.")
@click.option("--batch", type=FILE, help=f"CSV of questions: {', '.join(predict.INPUT_COLUMNS)}.")
@click.option("--explain", is_flag=True, help="The terms of each time, the learned factors and what they rest on.")
@answers_format_option
@output_option
@calibration_option
def command(
    batch: Path | None,
    explain: bool,
    output_format: str | None,
    output: Path | None,
    calibration: Path | None,
    **options: str | None,
) -> None:
    """Time to first token, time per output token and throughput, each with the range that holds it in 4 cases of 5.

    Without a scenario it is fixed_concurrency when a concurrency is given, and saturated (the largest throughput) when
    not. Throughputs are for all accelerators together. Where a number cannot be said, the reason says why.
    """
    given = options_given(options, batch, REQUIRED_COLUMNS)
    if batch is not None and explain:
        raise click.UsageError("--explain takes a single question apart; leave out --batch")
    shown_as = answers_format(output_format, batch)
    if explain and shown_as in ("ndjson", "csv"):
        raise click.UsageError("--explain is shown as a table or as json")
    model = load_model(calibration)
    if batch is None:
        deliver(_single(given, shown_as, model, report_width(output, wide=False), explain=explain), output)
    else:
        deliver(
            predict_table(
                read_text(batch, "table of questions", "save it as CSV in UTF-8"), str(batch), model, shown_as
            ),
            output,
        )


def _single(
    given: dict[str, str], output_format: str, model: PerformanceModel, width: int | None, *, explain: bool
) -> str:  # fmt: skip
    """One question; a name that is not known stops the program here, where in a table it is the row's reason."""
    catalog = load_catalog()
    if catalog.engine_named(given.get("engine", "")) == LLAMA_CPP:
        given = given | {"engine": LLAMA_CPP}
    predict.check_row(given, catalog)
    defaults = predict.understood(given, catalog) | predict.model_facts(given)
    result = predict.result_of(predict.answer_rows([given], catalog, model), 0)
    explanation = predict.explain_row(given, catalog, model) if explain else None
    values = _as_numbers(given) | defaults | result
    if output_format == "json":
        explained = {"explain": explanation and asdict(explanation)} if explain else {}
        return json.dumps(values | explained, indent=2) + "\n"
    if output_format != "table":
        return answers_text([values], output_format)
    return _table(result, defaults, width) + (explain_text(explanation) if explain else "")


def _as_numbers(given: dict[str, str]) -> dict[str, float | str]:
    """Question as it was asked, with its counts and lengths as numbers."""
    return {
        name: _number(text) if name in (*COUNT_COLUMNS, *predict.NUMBER_COLUMNS) else text
        for name, text in given.items()
    }


def _number(text: str) -> float | str:
    """A number; the text itself where it is none, as its row says."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number


def _table(
    result: dict[str, float | str | None], defaults: dict[str, float | str | None], width: int | None
) -> str:  # fmt: skip
    """The numbers of such a model for people, each with its range, and what they are for, in lines of a width."""
    margin = max(map(len, QUANTITIES)) + 2
    is_one_pass = "compute_precision" in defaults or result[SAMPLES] is not None
    rows = [(name, _with_range(result, name)) for name in QUANTITIES if (name == SAMPLES) == is_one_pass]
    rows += [(name, str(result[name] or "-")) for name in ("evidence", "reason")]
    rows += [(name, _fact(value)) for name, value in defaults.items()]
    lines = (line for name, told in rows for line in wrap(told, width, f"{name:<{margin}}", " " * margin))
    return "\n".join(lines) + "\n"


def _fact(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value or "-"


def _with_range(result: dict[str, float | str | None], quantity: str) -> str:
    value, low, high = (result[quantity + suffix] for suffix in ("", "_low", "_high"))
    if not isinstance(value, float) or not isinstance(low, float) or not isinstance(high, float):
        return "-"
    return f"{_shown(value)}  ({_shown(low)} to {_shown(high)})"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.4g}"


def predict_table(text: str, where: str, model: PerformanceModel | None = None, output_format: str = "csv") -> str:
    """All rows of a CSV table with the result columns added after its own, as CSV, JSON or NDJSON.

    Raises InputError if the text is empty or no table with the columns needed.
    """
    header, rows = read_cases(text, where, REQUIRED_COLUMNS, predict.INPUT_COLUMNS, predict.RESULT_COLUMNS)
    if not rows:
        raise InputError("the file has a header and no rows", where=where)
    kept = [at for at, name in enumerate(header) if name not in predict.RESULT_COLUMNS]
    answers = predict.answer_rows((dict(zip(header, row, strict=False)) for row in rows), load_catalog(), model)
    for at, row in enumerate(rows):
        if len(row) > len(header):
            answers.silence(at, "the row has more cells than the header")
    if output_format != "csv":
        rows_asked = ({header[at]: row[at] for at in kept} for row in rows)
        answered = [{**_as_numbers(asked), **predict.result_of(answers, at)} for at, asked in enumerate(rows_asked)]
        return answers_text(answered, output_format)
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*(header[at] for at in kept), *predict.RESULT_COLUMNS])
    writer.writerows(
        [*(row[at] for at in kept), *cells] for row, cells in zip(rows, predict.result_cells(answers), strict=True)
    )
    return written.getvalue()
