"""``advisor demand cache``: which share of a request log caches would have answered."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from advisor.cli.durations import duration_between
from advisor.cli.output import deliver, output_option, report_format_option, report_width
from advisor.cli.progress import Progress
from advisor.demand.cache.log import read_log
from advisor.demand.cache.replay import SCHEMA, CacheCurve, CacheReplay, Vectors, replay_caches
from advisor.demand.values import Unit
from advisor.errors import InputError
from advisor.models import find_model
from advisor.report.sections import Section, sections_markdown, sections_text
from advisor.units import size_words
from advisor.workload.kinds import UNITS, is_reranker

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_THRESHOLDS = (0.8, 0.85, 0.9, 0.95, 0.98)


@click.command(name="cache")
@click.argument("log", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--ttl",
    type=duration_between(timedelta(seconds=1), timedelta(days=365)),
    help="How long an answer counts after it was written; without: for ever.",
)
@click.option("--time-unit", type=click.Choice(list(_UNITS)), default="s", show_default=True, help="Of timestamps.")
@click.option(
    "--block-tokens", type=click.IntRange(1, 4096), default=16, show_default=True, help="Of a prompt's block."
)
@click.option(
    "--threshold",
    "thresholds",
    type=click.FloatRange(0, 1, min_open=True),
    multiple=True,
    default=_THRESHOLDS,
    help="Cosine similarity from which a semantic cache answers. Repeatable.",
)
@click.option(
    "--embedder",
    metavar="MODEL",
    help="The log is that of this embedding model: each answer is a vector, whose size is computed.",
)
@click.option(
    "--dimension",
    type=click.IntRange(1, 65_536),
    help="With --embedder: numbers of a vector; default: the model's width.",
)
@click.option(
    "--number-bytes",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="With --embedder: bytes of each of them as they are stored.",
)
@report_format_option
@output_option
def cache_command(
    log: Path,
    ttl: timedelta | None,
    time_unit: str,
    block_tokens: int,
    thresholds: tuple[float, ...],
    embedder: str | None,
    dimension: int | None,
    number_bytes: int,
    output_format: str,
    output: Path | None,
) -> None:
    """Replay LOG (JSON lines: prompt, messages, input, hash_ids or key) against exact, prefix and semantic caches.

    Prompts are hashed as they are read; nothing of them is stored or printed. Semantic caches take an embedding on each
    line, and their false hits a response or an answer_id.
    """
    vectors = _vectors(embedder, dimension, number_bytes)
    with Progress("requests read") as progress:
        requests = read_log(log, block_tokens, _UNITS[time_unit], progress)
    if ttl is not None and not requests.times_s:
        raise InputError(
            "not every request has a timestamp, and --ttl needs them", where=str(log), hint="leave --ttl out"
        )  # fmt: skip
    replay = replay_caches(requests, block_tokens, None if ttl is None else ttl.total_seconds(), thresholds, vectors)
    deliver(_rendered(replay, output_format, report_width(output, wide=False)), output)


def _vectors(embedder: str | None, dimension: int | None, number_bytes: int) -> Vectors | None:
    """Answers of the embedder; None without one.

    Raises:
        InputError: the model answers with something else.
    """
    if embedder is None:
        if dimension is not None:
            raise click.UsageError("--dimension says how long the vectors of --embedder are: give both")
        return None
    model = find_model(embedder)
    if UNITS.get(model.task) is not Unit.TEXTS or is_reranker(model):
        raise InputError(
            f"{model.name} does not answer a text with a vector",
            where="--embedder",
            hint="leave it out; the size of an answer is that of response or output_tokens of the log",
        )
    return Vectors(model.name, dimension or model.hidden, number_bytes)


def _rendered(replay: CacheReplay, output_format: str, width: int | None) -> str:
    if output_format == "json":
        return _as_json(replay)
    sections = list(_sections(replay))
    return sections_markdown(sections) if output_format == "markdown" else sections_text(sections, width)


def _as_json(replay: CacheReplay) -> str:
    return json.dumps({"schema": SCHEMA} | asdict(replay), indent=1) + "\n"


def _sections(replay: CacheReplay) -> Iterator[Section]:
    kept = "for ever" if replay.ttl_s is None else f"for {replay.ttl_s:,.0f} s"
    title = f"{replay.requests:,} requests: {replay.exact.unlimited_hit_ratio:.1%} are answered by an exact cache"
    lines = (f"an answer counts {kept}; least recently used ones go first", *replay.notes)
    yield Section(
        title, (*lines, "`advisor levers WORKLOAD --cache FILE` prices caches by this: -o FILE.json writes it")
    )
    yield _curve("exact cache: equal requests", replay.exact, "hit ratio")
    if replay.prefix is not None:
        yield _curve(
            f"prefix cache: blocks of {replay.block_tokens} tokens, one pool", replay.prefix, "share of input tokens"
        )
    if replay.semantic:
        rows = tuple(
            (
                f"{point.threshold:g}",
                f"{point.entries:,}",
                "-" if point.memory_gib is None else size_words(point.memory_gib),
                f"{point.hit_ratio:.1%}",
                "-" if point.false_hit_ratio is None else f"{point.false_hit_ratio:.1%}",
            )
            for point in replay.semantic
        )
        yield Section(
            "semantic cache, unlimited", (), ("threshold", "entries", "memory", "hit ratio", "false among hits"), rows
        )


def _curve(title: str, curve: CacheCurve, ratio: str) -> Section:
    rows = tuple(
        (
            f"{point.entries:,}",
            "-" if point.memory_gib is None else size_words(point.memory_gib),
            f"{point.hit_ratio:.1%}",
        )
        for point in curve.points
    )
    line = f"the last row is the working set: a larger cache hits no more than {curve.unlimited_hit_ratio:.1%}"
    return Section(title, (line,), ("entries", "memory", ratio), rows)
