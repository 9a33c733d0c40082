"""Writes rows until it is killed, and says which are acknowledged: DIRECTORY NUMBER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from advisor.samples.agent.spool import SpoolWriter
from samples.records import row, us


def main() -> None:
    """Append, sync, say so; an hour passes every 20 rows."""
    index = int(sys.argv[2])
    writer = SpoolWriter(Path(sys.argv[1]), "host-a")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(1, 1_000_000):
        at = number * 12
        writer.append([row(at, index, busy_ratio=0.5, power_watts=number % 700)])
        writer.sync()
        sys.stdout.write(f"{index}:{us(at)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
