"""The command line: one command, one thin module, and the only error boundary."""

from advisor.cli.app import main, run

__all__ = ["main", "run"]
