"""A plan in; infrastructure code out.

::

    plan ─▶ selection.choose ─▶ stack.stacks_of ─▶ Stack ─▶ targets ─▶ {path: text} ─▶ writing.write_files

``stack`` decides and computes, the templates only print, and ``quoting`` stands between the two.
"""

from advisor.codegen.generate import Generated, generate
from advisor.codegen.model import Engine, Form, Language, Wanted
from advisor.codegen.writing import Manner, Prefer, WriteReport, write_files

__all__ = [
    "Engine",
    "Form",
    "Generated",
    "Language",
    "Manner",
    "Prefer",
    "Wanted",
    "WriteReport",
    "generate",
    "write_files",
]
