"""Size of each package, and names and docstrings that say nothing: figures, with a limit that only ever falls.

Programs that templates render are checked too, as the golden stacks keep them: a stack for each target.

``python .ci/house.py`` prints a line a package and ends with 1 where names or docstrings became worse.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
ROOT = CHECKOUT / "advisor"
PROGRAMS = CHECKOUT / "tests" / "golden" / "stacks"
VAGUE_NAMES = frozenset({"one", "found", "known"})
VAGUE_OPENINGS = frozenset(
    {"What", "Of", "Beside", "And", "By", "In", "As", "From", "Those", "That", "For", "It", "Its", "With", "Such", "So"}
)
MOST = {"names": 0, "docstrings": 0}
"""Vague names of locals and arguments, and vague first words of docstrings, in all packages and programs together."""


def names_of(tree: ast.AST) -> Iterator[str]:
    """Names that the code gives to locals and arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def openings_of(tree: ast.AST) -> Iterator[str]:
    """First words of docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (ast.get_docstring(node) or "").split()[:1]


def figures_of(path: Path) -> Counter[str]:
    """Figures of one module: files, lines, vague names, vague docstrings."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return Counter(
        files=1,
        lines=text.count("\n"),
        names=sum(name in VAGUE_NAMES for name in names_of(tree)),
        docstrings=sum(word in VAGUE_OPENINGS for word in openings_of(tree)),
    )


def main() -> int:
    """Print the table.

    Returns:
        1 where there are more vague names or docstrings than :data:`MOST` allows, else 0.
    """
    packages: dict[str, Counter[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        package = path.relative_to(ROOT).parts[0] if path.parent != ROOT else "."
        packages[package] = packages.get(package, Counter()) + figures_of(path)
    programs = sum(map(figures_of, PROGRAMS.rglob("*.py")), Counter())
    own = sum(packages.values(), Counter())
    columns = ("files", "lines", *MOST)
    print(f"{'package':12}" + "".join(f"{column:>12}" for column in columns))
    for package, figures in (*packages.items(), ("all", own), ("(programs)", programs)):
        print(f"{package:12}" + "".join(f"{figures[column]:>12,}" for column in columns))
    total = own + programs
    worse = [f"{total[column]} vague {column}, at most {most}" for column, most in MOST.items() if total[column] > most]
    print("\n".join(worse), end="\n" if worse else "")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
