"""The agent of ``advisor`` by itself: ``inference-advisor-agent run``.

The modules of the agent lie in this folder, where ``import advisor`` finds them in this program and in no other: it can
be installed beside the whole of ``advisor``, of any version, and neither owns a file of the other.
"""

import sys
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Run the command line; the exit status."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from advisor.samples.agent.command import program  # noqa: PLC0415 - its folder has just become known

    return program(sys.argv[1:])
