"""``advisor agent``: what runs on inference hosts, and what installs it there."""

import sys

import click

from advisor.cli.agent_install import install
from advisor.samples.agent.command import COMMANDS, run


@click.group(name="agent")
def command() -> None:
    """Collect accelerator samples on an inference host."""


def _forwarded(name: str, summary: str) -> click.Command:
    """A command of the agent's own command line, which the slim distribution has too."""

    def forward(arguments: tuple[str, ...]) -> None:
        sys.exit(run(name, arguments, "advisor agent"))

    return click.Command(
        name,
        callback=forward,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        add_help_option=False,
        short_help=summary,
    )


for _name, _command in COMMANDS.items():
    command.add_command(_forwarded(_name, _command.summary))
command.add_command(install)
