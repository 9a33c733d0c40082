"""From a bill and a server's metrics to a patch of Terraform: time, and what of each endpoint comes out of it.

``python tests/benchmarks/bench_audit_into.py`` plays three endpoints of the simulated estate on a real Prometheus, bills
them for machines that are too large, and runs ``advisor audit BILL --prometheus URL --into infra/`` as a user would.
"""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from audit.bills import HOUR, Charge, focus_row, write_csv  # noqa: E402 - the path of the tests comes first
from discovery.simulated import SERVICES, Truth, series  # noqa: E402
from samples.query.remote_writing import write  # noqa: E402
from services.prometheus import running_prometheus  # noqa: E402

HOURS = 6
WORKLOAD = """\
name: {name}
model: {model}
slo: {{ttft_p95: 2s, tpot_p95: 80ms, within_ratio: 0.95}}
demand: {{prometheus: {{url: '{url}', window: {hours}h, model: {name}}}}}
"""


@dataclass(frozen=True)
class Billed:
    """Machines that an endpoint is billed for, and the name that its engine serves under."""

    endpoint: str
    instance_type: str
    usd_per_hour: str
    count: int

    @property
    def truth(self) -> Truth:
        """Service of the simulated estate."""
        return next(truth for truth in SERVICES if self.endpoint in (truth.served_name, truth.model.rpartition("/")[2]))

    @property
    def code(self) -> str:
        """Terraform that runs it."""
        return (
            f'resource "aws_launch_template" "{self.truth.name}" {{\n  instance_type = "{self.instance_type}"\n}}\n\n'
            f'resource "aws_autoscaling_group" "{self.truth.name}" {{\n  min_size         = {self.count}\n'
            f"  max_size         = {self.count + 1}\n  desired_capacity = {self.count}\n  launch_template {{\n"
            f"    id = aws_launch_template.{self.truth.name}.id\n  }}\n}}\n"
        )


BILLED = (
    Billed("chat", "g6e.12xlarge", "10.49", 3),
    Billed("Qwen3-32B", "g6e.48xlarge", "30.13", 2),
    Billed("qwen-rag", "p4d.24xlarge", "21.96", 2),
)


def rows(start: dt.datetime) -> list[dict[str, str]]:
    """Rows of the bill, one for each machine and hour."""
    bill = []
    for billed in BILLED:
        for number in range(billed.count * HOURS):
            at = start + HOUR * (number // billed.count)
            resource = f"i-{billed.truth.name}-{number % billed.count}"
            row = focus_row(Charge(resource=resource, at=at, tags={"service": billed.endpoint}))
            cost = {"BilledCost": billed.usd_per_hour, "EffectiveCost": billed.usd_per_hour}
            bill.append(row | cost | {"SkuMeter": f"BoxUsage:{billed.instance_type}"})
    return bill


def main() -> None:
    """Print the patch, what was said, and the time."""
    with tempfile.TemporaryDirectory() as name, running_prometheus(Path(name), out_of_order="100d") as url:
        place, end = Path(name), time.time()
        times_ms = np.arange(round(end - HOURS * 3600) * 1000, round(end) * 1000, 30_000)
        for folder in ("infra", "workloads"):
            (place / folder).mkdir()
        for billed in BILLED:
            write(url, series(billed.truth, times_ms))
            if billed.truth.served_name:
                text = WORKLOAD.format(name=billed.endpoint, model=billed.truth.model, url=url, hours=HOURS)
                (place / "workloads" / f"{billed.endpoint}.yaml").write_text(text)
        (place / "infra" / "main.tf").write_text("\n".join(billed.code for billed in BILLED))
        start = dt.datetime.fromtimestamp(end // 3600 * 3600, dt.UTC) - HOUR * (HOURS - 1)
        bill = write_csv(place / "bill.csv", rows(start))
        began, before = time.perf_counter(), os.times()
        subprocess.run(
            [sys.executable, "-m", "advisor", "audit", bill, "--prometheus", url, "--into", place / "infra", "--workloads",
             place / "workloads"],
            cwd=ROOT, check=True,
        )  # fmt: skip
        used = os.times()
        of_processor = used.children_user + used.children_system - before.children_user - before.children_system
        print(f"{time.perf_counter() - began:.1f} s, {of_processor:.1f} s of processor")


if __name__ == "__main__":
    main()
