"""What is about to be written is checked first: code with a finding is never written."""

from collections.abc import Mapping

from advisor.codegen.check.files import findings_of_files
from advisor.codegen.check.finding import Finding
from advisor.codegen.check.python import findings_of_python
from advisor.codegen.check.terraform import findings_of_terraform
from advisor.errors import AdvisorError

__all__ = ["Finding", "check_files", "findings"]

_MOST_SHOWN = 10


class UnsoundCode(AdvisorError):  # noqa: N818 - what it says of the code
    """Generated code that does not pass its check: a fault of this program, or of a template that was changed."""

    exit_code = 3


def findings(files: Mapping[str, str]) -> tuple[Finding, ...]:
    """Everything that is wrong with generated files (relative path → text), in the order of the paths."""
    found = [*findings_of_files(files), *findings_of_terraform(files), *findings_of_python(files)]
    return tuple(sorted(found, key=lambda one: (one.path, one.line, one.message)))


def check_files(files: Mapping[str, str]) -> None:
    """Refuse files that are unsound.

    Raises:
        UnsoundCode: with each finding and its place.
    """
    found = findings(files)
    if not found:
        return
    shown = "\n  ".join(str(one) for one in found[:_MOST_SHOWN])
    more = f"\n  and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    raise UnsoundCode(
        f"the generated code does not pass its own check, so nothing is written:\n  {shown}{more}",
        hint="please report it with the plan; --option RANK generates another option",
    )
