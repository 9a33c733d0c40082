"""Names of advisor/ that neither its code nor its templates use; ends with 1 where there are any."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).parent.parent
USED_ELSEWHERE = frozenset((Path(__file__).with_name("used_elsewhere.txt")).read_text(encoding="utf-8").split())
"""Names that other programs read or set: libraries, type checkers, benchmarks."""
LOADED_BY_NAME = re.compile(r"(Amd|Gaudi|Neuron|Nvml|Tpu)Source")
"""Sources of samples, which a table names."""


def _templates() -> Iterator[Path]:
    """What Jinja evaluates: templates, and conditions in the tables of inputs."""
    yield from (ROOT / "templates").rglob("*.j2")
    yield from (ROOT / "advisor" / "codegen" / "inputs").glob("*.toml")


def main() -> int:
    """Print what is not used.

    Returns:
        1 where there is any, else 0.
    """
    texts = "\n".join(path.read_text(encoding="utf-8") for path in _templates())
    in_templates = frozenset(re.findall(r"\w+", texts))
    vulture = Vulture()
    vulture.scavenge([ROOT / "advisor"])
    # The fields of values are written out by name, in plans and reports.
    unused = [
        item
        for item in vulture.get_unused_code(min_confidence=60)
        if item.typ != "variable"
        and item.filename.parent.name != "cli"  # commands, which click calls
        and item.name not in in_templates | USED_ELSEWHERE
        and not LOADED_BY_NAME.fullmatch(item.name)
    ]
    for item in unused:
        print(f"{item.filename}:{item.first_lineno}: {item.typ} {item.name} is not used")
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main())
