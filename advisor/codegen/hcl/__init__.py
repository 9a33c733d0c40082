"""Reading Terraform's language with the place of everything, so that checks can point and edits can keep the layout."""

from advisor.codegen.hcl.expressions import NOT_LITERAL, Traversal, literal, references, traversal
from advisor.codegen.hcl.reading import Attribute, Block, Document, Expression, read_hcl

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
