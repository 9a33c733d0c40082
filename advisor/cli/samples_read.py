"""Where samples are, as a command line names it."""

from pathlib import Path

import click

from advisor.cli.progress import Progress
from advisor.errors import InputError
from advisor.samples.frame import SampleFrame
from advisor.samples.need.fleet import read_frame


def read_directory(place: str) -> SampleFrame:
    """All samples of a directory; files that are left out are named on stderr.

    Raises:
        InputError: it is an address, no directory, or there are no samples in it.
    """
    if "://" in place:
        raise InputError(
            "rows are needed for this, and an address answers with summaries",
            where=place,
            hint="`advisor samples summary` and `advisor samples need` take an address",
        )
    with Progress("files read") as progress:
        frame = read_frame(Path(place), progress)
    for file in frame.skipped:
        click.echo(f"skipped {file.path}: {file.reason}", err=True)
    return frame
