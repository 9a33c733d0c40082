"""``advisor samples``: peak against average, what is needed, and what limits it."""

import click

from advisor.cli.samples_need import need
from advisor.cli.samples_show import show
from advisor.cli.samples_summary import summary


@click.group(name="samples")
def command() -> None:
    """Look at collected samples."""


for _subcommand in (show, summary, need):
    command.add_command(_subcommand)
