"""Numbers of the command line that are above zero."""

import math

import click


class Above(click.ParamType[float]):
    """Number above 0, and at most a limit where there is one."""

    name = "number"

    def __init__(self, hint: str, most: float = math.inf) -> None:
        """Take what to do instead."""
        self._hint, self._most = hint, most

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            click.BadParameter: it is none, or out of range.
        """
        try:
            number = float(value)
        except ValueError:
            self.fail(f"'{value}' is no number", param, ctx)
        if not 0 < number <= self._most or not math.isfinite(number):
            most = "" if self._most == math.inf else f" and at most {self._most:g}"
            self.fail(f"{value} is not above 0{most}: {self._hint}", param, ctx)
        return number
