"""Outputs of roots and programs, one table for both languages."""

from collections.abc import Callable, Iterator, Mapping

from advisor.codegen.quoting import Quoted
from advisor.data_files import facts_beside
from advisor.records import dataclass

_MAPPING = "pulumi.Output[Mapping[str, str]]"
"""Type of most outputs."""
_TABLE = facts_beside(__file__, "outputs.toml")


@dataclass(frozen=True, slots=True)
class Output:
    """Output of a root, or attribute of a program's component."""

    name: Quoted
    description: str
    code: Quoted
    """Value in HCL, or type in Python."""


def outputs_of(
    target: str, truth: Callable[[str], object], text: Callable[[str], str], *, is_program: bool
) -> Iterator[Output]:
    """Outputs that a target's code of a language has.

    Args:
        target: name of its table, such as ``aws-ec2``.
        truth: evaluates a condition.
        text: fills a description or a value, of which parts may depend on the stack.
        is_program: whether the code is a program.
    """
    for name in (*_TABLE[target]["order"], *_TABLE["always"]):
        row: Mapping[str, str] = {**_TABLE["all"].get(name, {}), **_TABLE[target].get(name, {})}
        code = row.get("type", _MAPPING) if is_program else row.get("hcl", "")
        if code and ("when" not in row or truth(row["when"])):
            yield Output(Quoted(name), text(row["about"]), Quoted(text(code).strip("\n")))
