"""``advisor calibrate``: one's own measurements in, a calibration that knows them out."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.atomic_files import write_output
from advisor.catalog import load_catalog
from advisor.cli.options import FILE, FOLDER, PATH
from advisor.cli.output import ResultOption, quiet_option, tell
from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.names import first_names
from advisor.report.text_table import render_table

if TYPE_CHECKING:
    from advisor.calibration.build import Learned
    from advisor.calibration.observations import LeftOut

FORMATS = ("csv", "guidellm", "vllm-serve", "vllm-throughput", "vllm-latency", "aiperf", "metrics")
NOT_LEARNED = "the model answers in one pass: its samples per second are not learned from"
SHOWN_PLACES = 6
"""Places named for one reason; the rest is counted."""


@click.command(name="calibrate")
@click.argument("files", nargs=-1, type=PATH)
@click.option("-o", "--output", type=FOLDER, default=Path("calibration"),
              show_default=True, help="Directory of the new calibration.")  # fmt: skip
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="[default: told by the content]")
@click.option("--model", help="A catalogued name, or the path of a config.json.")
@click.option("--accelerator", help="A catalogued accelerator, such as L40S or H100-SXM.")
@click.option("--accelerator-count", help="Accelerators, all replicas together.")
@click.option("--tensor-parallel", help="Ranks that share each layer.")
@click.option("--pipeline-parallel", help="Pipeline stages.")
@click.option("--expert-parallel", help="Ranks that share the experts.")
@click.option("--data-parallel", help="Groups that each hold all of attention.")
@click.option("--precision", help="Of the weights.")
@click.option("--kv-precision", help="Of the KV cache.")
@click.option("--engine", help="Serving engine.")
@click.option("--engine-version", help="Its version.")
@click.option("--concurrency", help="Users, where the file does not say.")
@click.option("--input-tokens", help="Prompt tokens, where the file does not say.")
@click.option("--output-tokens", help="Generated tokens, where the file does not say.")
@click.option("--draft-tokens", help="Tokens drafted for each step of speculative decoding.")
@click.option("--draft-acceptance", help="Share of them that is accepted.")
@click.option("--export", cls=ResultOption, type=FILE, help="Write what was read as our own CSV too.")
@click.option(
    "--rebuild", is_flag=True, help="Build the catalog's own calibration anew from its measurements (minutes)."
)
@quiet_option
def command(
    files: tuple[Path, ...],
    output: Path,
    file_format: str | None,
    export: Path | None,
    rebuild: bool,
    **told: str | None,
) -> None:
    """Learn from your own measurements in FILES, and say how much better the predictions become.

    FILES are results of GuideLLM, vLLM's or SGLang's benchmarks, AIPerf or genai-perf, scrapes of an engine's
    metrics, or a CSV table. Give the directory that is written to `advisor predict` and `advisor recommend` with
    --calibration.
    """
    if rebuild:
        _rebuild(output)
        return
    if not files:
        raise click.UsageError("give at least one file of measurements")
    _calibrate(files, output, (file_format, export), {name: value for name, value in told.items() if value is not None})


def _rebuild(output: Path) -> None:
    from advisor.calibration.build import rebuild, write_files  # noqa: PLC0415
    from advisor.calibration.observations import load_measurements, observe  # noqa: PLC0415

    reading, catalog = load_measurements(), load_catalog()
    observed, left_out = observe(reading.measurements, catalog)
    click.echo(left_out_text([*reading.left_out, *left_out]), err=True)
    write_files(rebuild(observed, reading.measurements, catalog, lambda line: click.echo(line, err=True)), output)
    tell(f"wrote {output}: {observed.size:,} measurements")


def _calibrate(
    files: Sequence[Path], output: Path, asked: tuple[str | None, Path | None], told: dict[str, str]
) -> None:  # fmt: skip
    from advisor.calibration.build import impossible, learn, own_files, write_files  # noqa: PLC0415
    from advisor.calibration.observations import LeftOut, load_measurements, observe  # noqa: PLC0415
    from advisor.calibration.readers import FileFormat, read_measurements, write_own_csv  # noqa: PLC0415
    from advisor.performance.calibration import shipped  # noqa: PLC0415

    file_format, export = asked
    readings = [read_measurements(path, told, FileFormat(file_format) if file_format else None) for path in files]
    measurements = [measurement for reading in readings for measurement in reading.measurements]
    catalog = load_catalog()
    own, unanswered = observe(measurements, catalog)
    seen = {*own.where, *(left_out.where for left_out in unanswered)}
    passes = [LeftOut(measurement.where, NOT_LEARNED) for measurement in measurements if measurement.where not in seen]
    too_fast = impossible(own)
    own = own.without(at for at, _ in too_fast)
    left_out = [
        *(left_out for reading in readings for left_out in reading.left_out),
        *unanswered,
        *passes,
        *(left_out for _, left_out in too_fast),
    ]
    if left_out:
        click.echo(left_out_text(left_out), err=True)
    if not own.size:
        raise InputError("no measurement is left to learn from", hint="the reasons are listed above")
    if export:
        write_output(export, write_own_csv(measurements).encode())
    published, _ = observe(load_measurements().measurements, catalog)
    learned = learn(own, published, shipped())
    write_files(own_files(learned.calibration, own, data_dir("instance_catalog")), output)
    click.echo(learned_text(learned, own.size), nl=False)
    tell(f"wrote {output}: use it with --calibration {shlex.quote(str(output))}")


def left_out_text(left_out: Sequence["LeftOut"]) -> str:
    """Inputs that are not used, by reason, each with its places."""
    places: dict[str, list[str]] = defaultdict(list)
    for scenario in left_out:
        places[scenario.reason].append(scenario.where)
    lines = [f"left out: {len(left_out)}"]
    for reason, where in sorted(places.items(), key=lambda item: -len(item[1])):
        lines.append(f"  {len(where):>5}  {reason}: {first_names(where, SHOWN_PLACES)}")
    return "\n".join(lines)


def learned_text(learned: "Learned", rows: int) -> str:
    """Accuracy before and after, on one's own rows and on published ones."""
    lines = [f"{rows} measurements; median error"]
    heads = ("scenario", "quantity", "rows", "cells", "shipped", "unseen cell", "unseen load")
    table = []
    for accuracy in learned.accuracy:
        shown = (_percent(accuracy.before), _percent(accuracy.unseen_cell), _percent(accuracy.unseen_point))
        table.append((accuracy.scenario, accuracy.quantity, str(accuracy.rows), str(accuracy.cells), *shown))
    lines.append(render_table(heads, table))
    if any(accuracy.unseen_cell is None or accuracy.unseen_point is None for accuracy in learned.accuracy):
        lines.append("  -: measured in one cell, or under one load, so that nothing can be left out to test it")
    lines += ["", "published measurements of other cells, which the fit has seen, before and after"]
    compared = [(*key, _percent(before), _percent(after)) for key, before, after in learned.published]
    lines.append(render_table(("scenario", "quantity", "before", "after"), compared))
    if learned.reach is None:
        lines += ["", "no factor was learned: none would have improved what it has not seen"]
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
