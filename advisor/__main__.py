"""``python -m advisor``."""

from advisor.cli import run

if __name__ == "__main__":
    run()
