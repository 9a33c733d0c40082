"""Reading Terraform's language with the place of everything, so that checks can point and edits can keep the layout."""

from advisor.codegen.hcl.expressions import (
    NOT_LITERAL,
    Attribute,
    Block,
    Document,
    Expression,
    Traversal,
    literal,
    read_hcl,
    references,
    traversal,
)

__all__ = [
    "NOT_LITERAL",
    "Attribute",
    "Block",
    "Document",
    "Expression",
    "Traversal",
    "literal",
    "read_hcl",
    "references",
    "traversal",
]
