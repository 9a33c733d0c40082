"""``advisor comment``: one comment on a pull request, posted or kept up to date."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.options import FILE_OR_STDIN
from advisor.errors import InputError
from advisor.names import without_credentials
from advisor.records import replace
from advisor.units import counted

if TYPE_CHECKING:
    from advisor.pull_requests import Host, PullRequest

_HOSTS = ("github", "gitlab", "azure-repos", "bitbucket")
_MOST_BYTES = 4 * 1024 * 1024
_PROJECT = re.compile(r"\d+|[^/?#\\\x00-\x1f]+(?:/[^/?#\\\x00-\x1f]+)+")
"""Names with slashes between them, or GitLab's number."""


@click.command(name="comment")
@click.argument("text", type=FILE_OR_STDIN, metavar="COMMENT.md")
@click.option("--host", "host_name", type=click.Choice(_HOSTS), help="Host of the repository.  [default: the CI job's]")
@click.option("--api", help="Base URL of its API.  [default: the CI job's]")
@click.option("--project", help="OWNER/NAME; Azure Repos: PROJECT/REPOSITORY.  [default: the CI job's]")
@click.option("--pull-request", "number", type=click.IntRange(min=1), help="Number.  [default: the CI job's]")
@click.option("--tag", default="plan", show_default=True, help="Names the comment: one for each workload, say.")
@click.option("--dry-run", is_flag=True, help="Say where the comment would go; nothing is sent, no token is needed.")
def command(
    text: Path,
    host_name: str | None,
    api: str | None,
    project: str | None,
    number: int | None,
    tag: str,
    dry_run: bool,
) -> None:
    """Post COMMENT.md (- for standard input) on a pull request, or put it into the comment that is there.

    The token comes from the environment alone: GITHUB_TOKEN, GITLAB_TOKEN, SYSTEM_ACCESSTOKEN or AZURE_DEVOPS_EXT_PAT,
    BITBUCKET_TOKEN. A comment of the same tag is changed and no second one posted.
    """
    from advisor.pull_requests import Client, publish  # noqa: PLC0415
    from advisor.reading import read_text  # noqa: PLC0415

    content = read_text(text, "comment", most_bytes=_MOST_BYTES)
    if not content.strip():
        raise InputError("the comment is empty", where=str(text), hint="give the Markdown of a command")
    host, pull_request = _host_of(host_name, os.environ)
    place = _completed(pull_request, api, project, number)
    where = f"pull request {place.number} of {place.project} ({host.title}, {without_credentials(place.api)})"
    if dry_run:
        click.echo(f"dry run: {counted(len(content.splitlines()), 'line')} would go to {where}", err=True)
        return
    token, variable = _token(host, os.environ)
    action = publish(Client(host, place, token, variable), content, tag)
    click.echo(f"{action} the comment {tag!r} on {where}", err=True)


def _host_of(name: str | None, environment: Mapping[str, str]) -> "tuple[Host, PullRequest]":
    """The host, and what the CI job says of the pull request."""
    from advisor.pull_requests import HOSTS, PullRequest  # noqa: PLC0415 - help shows without it

    names = (name,) if name else _HOSTS
    for host in (HOSTS[name] for name in names):
        pull_request = host.in_environment(environment)
        if pull_request is not None:
            return host, pull_request
    if name is None:
        raise InputError(
            "no CI job says where the pull request is",
            hint=f"outside of CI give --host {'|'.join(_HOSTS)}, --project and --pull-request",
        )
    return HOSTS[name], PullRequest(_PUBLIC.get(name, ""), "", "")


_PUBLIC = {
    "github": "https://api.github.com",
    "gitlab": "https://gitlab.com/api/v4",
    "bitbucket": "https://api.bitbucket.org/2.0",
}
"""APIs of the public hosts; that of Azure Repos holds the organisation."""


def _completed(pull_request: "PullRequest", api: str | None, project: str | None, number: int | None) -> "PullRequest":
    """Pull request of the CI job, with the options in its place."""
    place = replace(
        pull_request,
        api=(api or pull_request.api).rstrip("/"),
        project=project or pull_request.project,
        number=str(number or pull_request.number),
    )
    missing = next((field for field in ("api", "project", "number") if not getattr(place, field)), None)
    if missing == "number":
        raise InputError(
            "this job runs for no pull request", hint="run it in a pipeline of pull requests, or give --pull-request"
        )
    if missing:
        raise InputError(f"no CI job says the {missing}", hint=f"give --{missing}")
    if not _PROJECT.fullmatch(place.project) or ".." in place.project.split("/"):
        raise InputError(f"{place.project!r} is not a project", hint="give --project OWNER/NAME")
    if not place.number.isdecimal():
        raise InputError(f"{place.number!r} is not the number of a pull request", hint="give --pull-request")
    return place


def _token(host: "Host", environment: Mapping[str, str]) -> tuple[str, str]:
    """Token and the variable that holds it."""
    for variable in host.token_variables:
        token = environment.get(variable, "").strip()
        if token and token.isprintable() and token.isascii():
            return token, variable
    names = " or ".join(host.token_variables)
    raise InputError(
        f"no token for {host.title}", where=names, hint=f"set it in the environment; it needs {host.needs}"
    )
