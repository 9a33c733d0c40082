"""Names of the options that an engine's wheel (or a source file of its) declares, one a line.

pip download --no-deps vllm==0.30.0; python tests/codegen/data/read_engine_options.py vllm-0.30.0-*.whl
"""

import ast
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

_DECLARING = re.compile(
    r"vllm/engine/arg_utils|vllm/entrypoints/.*cli_args|sglang/srt/(server_args|arg_groups/fields/\w+)"
)
_FIELDS = re.compile(r".*cli_args|.*arg_groups/fields/\w+")
"""Modules whose classes a parser is made from, an option for each field."""
_OPTION = re.compile(r"--[a-z][\w-]*")


def options(name: str, text: str) -> Iterator[str]:
    """Options that are literals, and the fields that become options."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _OPTION.fullmatch(node.value):
            yield node.value
        if isinstance(node, ast.ClassDef) and _FIELDS.match(name):
            yield from (f"--{one.target.id.replace('_', '-')}" for one in node.body if _is_field(one))


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")


def sources(path: Path) -> Iterator[tuple[str, str]]:
    """Name and text of the modules that declare options."""
    if path.suffix != ".whl":
        yield path.name, path.read_text()
        return
    with zipfile.ZipFile(path) as wheel:
        yield from ((name, wheel.read(name).decode()) for name in wheel.namelist() if _DECLARING.match(name))


if __name__ == "__main__":
    for option in sorted({one for source in sources(Path(sys.argv[1])) for one in options(*source)}):
        sys.stdout.write(f"{option}\n")
