"""Spans of time as options of the command line."""

from collections.abc import Callable
from datetime import timedelta

import click

from advisor.durations import parse_duration_between


def duration_between(shortest: timedelta, longest: timedelta, why: str = "") -> Callable[[str], timedelta]:
    """Type of a command-line option that is a span of time; anything else is wrong usage, and *why* is said."""

    def duration(value: str) -> timedelta:
        try:
            return parse_duration_between(value, shortest, longest, why)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return duration
