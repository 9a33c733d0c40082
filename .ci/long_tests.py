"""Tests that take long, from the times that a run of all of them wrote; what tests/conftest.py takes turns with.

``make test-every PYTEST_ADDOPTS=--junitxml=build/tests.xml``, then ``python .ci/long_tests.py build/tests.xml``. Tests
that did not run keep the time that stands.
"""

import csv
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

TABLE = Path(__file__).parents[1] / "tests" / "long_tests.csv"
LONG_SECONDS = 1.0


def seconds_of(report: Path) -> Counter[str]:
    """Seconds that every case of a test took together, by the test's path and name."""
    seconds: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - a file that pytest wrote
        module, name = case.get("classname"), case.get("name", "")
        if module:
            seconds[f"{module.replace('.', '/')}.py::{name.partition('[')[0]}"] += float(case.get("time", 0))
    return seconds


def main() -> None:
    """Write the table anew."""
    with TABLE.open(newline="") as file:
        kept = {row["test"]: float(row["seconds"]) for row in csv.DictReader(file)}
    kept |= seconds_of(Path(sys.argv[1]))
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("test", "seconds"))
        writer.writerows(sorted((test, f"{taken:.0f}") for test, taken in kept.items() if taken > LONG_SECONDS))


if __name__ == "__main__":
    main()
