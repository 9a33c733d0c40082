"""A plan in; infrastructure code out.

::

    plan ─▶ selection.choose ─▶ stack.stacks_of ─▶ cut_over.staged ─▶ targets ─▶ {path: text} ─▶ writing.write_files

``stack`` decides and computes, ``cut_over`` keeps what retires beside it, the templates only print, and ``quoting``
stands between the two.
"""

from advisor.codegen.container import Engine, Form, Language, Stage, Wanted
from advisor.codegen.generate import Generated, beside_total, generate, own_targets
from advisor.codegen.writing import ConflictPolicy, WriteOptions, WriteReport, last_generated, read_former, write_files

__all__ = [
    "ConflictPolicy",
    "Engine",
    "Form",
    "Generated",
    "Language",
    "Stage",
    "Wanted",
    "WriteOptions",
    "WriteReport",
    "beside_total",
    "generate",
    "last_generated",
    "own_targets",
    "read_former",
    "write_files",
]
