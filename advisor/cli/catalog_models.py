"""``advisor catalog models``: the models that are known by name."""

from pathlib import Path

import click

from advisor.cli.listing import Entry, deliver_entries
from advisor.cli.output import list_format_option, output_option
from advisor.errors import InputError
from advisor.models import find_model, model_names, weight_bytes
from advisor.models.model import Model
from advisor.units import bytes_to_gib

_BILLION = 1e9
_HEADS = {
    "billion_parameters": "10⁹ params", "active_billion": "10⁹ active", "weights_gib": "size GiB",
    "precision": "held as", "context_tokens": "context",
}  # fmt: skip


@click.command("models")
@click.argument("name", default="")
@list_format_option
@output_option
def models_command(name: str, output_format: str, output: Path | None) -> None:
    """List the models that are known by name, with their size; only those with NAME in theirs."""
    names = sorted(known for known in model_names() if name.casefold() in known.casefold())
    if not names:
        raise InputError(
            f"no model has '{name}' in its name",
            hint="ask without NAME for all, or give the path of a config.json in place of a name",
        )
    deliver_entries([_entry(find_model(known)) for known in names], output_format, output, _HEADS)


def _entry(model: Model) -> Entry:
    return {
        "name": model.name,
        "task": model.task,
        "billion_parameters": round(model.parameters_total / _BILLION, 3),
        "active_billion": round(model.parameters_active / _BILLION, 3),
        "weights_gib": round(bytes_to_gib(weight_bytes(model, model.checkpoint.precision)), 1),
        "precision": model.checkpoint.precision,
        "context_tokens": model.max_context_tokens or None,
    }
