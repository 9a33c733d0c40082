"""An edit of a literal in a user's Terraform, and what finds it again."""

from collections.abc import Iterator, Sequence

from advisor.codegen.applying.resolving import Place
from advisor.codegen.applying.rules import Figure, Resource
from advisor.codegen.quoting import hcl_number, hcl_string
from advisor.records import dataclass

LEFT = "not changed: "
"""Beginning of a note on an argument that is left to the reader."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A literal that becomes another."""

    place: Place
    text: str
    argument: str
    """Which argument it decides, such as ``aws_autoscaling_group.gpu: min_size``."""
    figure: Figure
    """Figure of the plan that the argument holds."""
    instances: int
    """Instances of the busiest hours, as the argument counts them: all, or those of each zone."""
    entries: tuple[str, ...] = ()
    """Texts of its entries, where it is a list."""

    @property
    def at(self) -> tuple[str, int]:
        """File and offset of the literal."""
        return self.place.document.path, self.place.start

    @property
    def is_as_planned(self) -> bool:
        """Whether the literal is that text already."""
        return self.text == literal_text(self.place.value, self.place.value)


def edits_within(resource: Resource, edits: Sequence[Edit]) -> Iterator[tuple[str, Edit]]:
    """Edits that a resource's arguments lead to, by the argument."""
    prefix = f"{resource.block.address}: "
    return ((edit.argument.removeprefix(prefix), edit) for edit in edits if edit.argument.startswith(prefix))


def literal_text(wanted: str | float | list[str], former: object) -> str:
    """A figure of the plan as a literal, in quotes where the former one is a text."""
    if isinstance(wanted, list):
        return f"[{', '.join(hcl_string(str(item)) for item in wanted)}]"
    if isinstance(wanted, str) or isinstance(former, str):
        return hcl_string(str(wanted))
    return hcl_number(wanted)
