"""``advisor completion``: what makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from advisor.errors import InputError

_WHERE = {
    "bash": "~/.local/share/bash-completion/completions/advisor",
    "zsh": "a folder of $fpath, as _advisor",
    "fish": "~/.config/fish/completions/advisor.fish",
}


@click.command(name="completion")
@click.argument("shell", type=click.Choice([*_WHERE]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and their values in SHELL.

    \b
    bash  ~/.local/share/bash-completion/completions/advisor
    zsh   a folder of $fpath, as _advisor
    fish  ~/.config/fish/completions/advisor.fish
    """  # noqa: D301 - click keeps the lines after a backspace as they are
    completion = get_completion_class(shell)
    if completion is None:
        raise InputError(f"{shell} is not completed by this version of click", hint="pip install -U click")
    click.echo(completion(context.find_root().command, {}, "advisor", "_ADVISOR_COMPLETE").source())
