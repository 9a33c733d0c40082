"""A plan in; infrastructure code out.

::

    plan ─▶ selection.choose ─▶ stack.stacks_of ─▶ Stack ─▶ targets ─▶ {path: text} ─▶ module_files.write_files

``stack`` decides and computes, the templates only print, and ``quoting`` stands between the two.
"""

from advisor.codegen.generate import Generated, generate
from advisor.codegen.model import Engine, Language, Wanted
from advisor.codegen.module_files import WriteReport, write_files

__all__ = ["Engine", "Generated", "Language", "Wanted", "WriteReport", "generate", "write_files"]
