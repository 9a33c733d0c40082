"""The exceptions of the product; each says where it happened, what is wrong and how to fix it.

::

    AdvisorError            exit 1: the user can fix it
    ├── InputError          a file, a field or a name the user gave
    │   ├── NotDeployable   exit 4: instances of a plan that no generated code can start
    │   └── OutputIsInput   exit 2: the result would be written over a file that it is made from
    └── NothingFeasible     exit 4: valid input, but nothing in the catalog satisfies it

Wrong usage of the command line is click's (exit 2); anything else that escapes is an internal error (exit 3).
"""


class AdvisorError(Exception):
    """An error that a user can understand and fix.

    *message*: what is wrong, in one sentence. *where*: the file, line, row or field it was found at ("" when there is
    no such place). *hint*: how to fix it ("" when the message already says so).
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        """Keep the three parts apart, so that a caller can add the place it alone knows."""
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """Render as ``where: message`` with the hint on a line of its own."""
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head


class InputError(AdvisorError):
    """Something that the user gave is wrong: a file, a field, a name, a value."""


class OutputIsInput(InputError):  # noqa: N818 - as below
    """The file that the result was to be written to is read by the same run, and would be lost."""

    exit_code = 2


class NothingFeasible(AdvisorError):  # noqa: N818 - the outcome is not an error of the program's
    """The input is valid, but no offer of the catalog satisfies it."""

    exit_code = 4


class NotDeployable(InputError):  # noqa: N818 - as above
    """Error of a plan that generated code cannot start: no other option is taken in its place."""

    exit_code = 4
