"""A plan in; infrastructure code out.

::

    plan, option ─▶ stack.stack_of ─▶ StackModel ─▶ terraform.render ─▶ {path: text} ─▶ module_files.write_stack

``stack`` decides and computes, the templates only print, and ``quoting`` stands between the two.
"""

from advisor.codegen.module_files import WriteReport, write_stack
from advisor.codegen.selection import Choice, choose_option
from advisor.codegen.terraform import generate

__all__ = ["Choice", "WriteReport", "choose_option", "generate", "write_stack"]
