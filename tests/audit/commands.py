"""Commands of findings, read by the programs that they are for: this one by click, AWS's by the models of its API."""

import re
import shlex
from functools import cache

import botocore.session
import click

from advisor.cli.app import advisor

_SERVICES = {"s3api": "s3"}


def parsed(words):
    """Context of a command of this program, with all that click checks of it.

    Raises:
        click.UsageError: it does not take these words.
    """
    command, rest, context = advisor, words[1:], click.Context(advisor)
    while isinstance(command, click.Group):
        name, command, rest = command.resolve_command(context, list(rest))
        context = click.Context(command, info_name=name, parent=context)
    return command.make_context(context.info_name, list(rest), parent=context.parent)


def aws_parsed(words):
    """Service, operation and parameters of a command of AWS's command line; an error where its API has no such."""
    service, verb, *rest = words[1:]
    model = _model(_SERVICES.get(service, service))
    operation = model.operation_model(next(name for name in model.operation_names if _spelled(name) == verb))
    members = {_spelled(name) for name in operation.input_shape.members} | {"region", "query", "max-items"}
    options = [word.removeprefix("--") for word in rest if word.startswith("--")]
    assert set(options) <= members, (set(options) - members, members)
    required = {_spelled(name) for name in operation.input_shape.required_members}
    assert required <= set(options), required - set(options)
    return service, verb, options


@cache
def _model(service):
    return botocore.session.get_session().get_service_model(service)


def _spelled(name):
    """``SnapshotId`` and ``resourceARNList`` as options: ``snapshot-id``, ``resource-arn-list``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def parts(command):
    """Commands that one line joins, as words."""
    return [shlex.split(part) for part in re.split(" && |; ", command)]
