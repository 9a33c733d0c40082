"""Running imports as a user does, and reading what came of them."""

from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.cli.catalog import command
from advisor.errors import AdvisorError


def run(*arguments):
    """Result of the command; an error of ours is raised as the program's boundary would see it."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if isinstance(result.exception, AdvisorError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def left_out(entry):
    """Reason → rows and names."""
    return {one["reason"]: (one["rows"], one["names"]) for one in entry["left_out"]}


def offer(provider, region, name):
    """An offer of the user's catalog."""
    (found,) = [
        one
        for one in load_catalog().offers
        if (one.provider, one.region, one.instance_type) == (provider, region, name)
    ]
    return found
