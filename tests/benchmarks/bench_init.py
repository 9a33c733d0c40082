"""How much of a simulated estate `advisor init` gets right, and whether every file is planned without an edit.

    python tests/benchmarks/bench_init.py [HOURS]

Two clusters (EKS and GKE), six services that answer token by token on four engines (vLLM, SGLang, vLLM on Ray, TGI) in
five kinds of deployments, two that answer in one pass, and a real Prometheus with HOURS (6) of metrics. Prints, for
each service, what was found beside what runs; asserts nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from discovery.estate import estate
from discovery.simulated import PLANNED, Truth
from services.prometheus import running_prometheus

_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the files, plan them, and print the tables."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 6.0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "prometheus").mkdir()
        with (
            running_prometheus(place / "prometheus", out_of_order="100d") as url,
            estate(place, url, hours) as running,
        ):
            out = place / "workloads"
            began = time.monotonic()
            found = json.loads(_advisor("init", *running.places, "--out", str(out), "--yes", "--format", "json"))
            took = time.monotonic() - began
            began = time.monotonic()
            plans = json.loads(_advisor("recommend", str(out), "--format", "json"))
            planned = time.monotonic() - began
            today = {
                name: json.loads(_advisor("recommend", str(out / f"{name}.yaml"), "--format", "json"))
                for name in (truth.name for truth in PLANNED)
            }
    services = {service["name"]: service for service in found["services"]}
    print(
        f"{'service':<12}{'model':>7}{'engine':>8}{'current':>9}{'replicas':>10}{'rate':>14}{'tokens in, out':>20}{'SLO':>20}"
    )
    right = [_row(truth, services[truth.name]) for truth in PLANNED]
    print(f"right of {len(PLANNED)}: " + ", ".join(f"{name} {sum(row[name] for row in right)}" for name in right[0]))
    print(f"{'service':<12}{'runs':>6}{'needed':>8}{'within SLO':>12}{'today USD':>12}{'plan USD':>12}")
    for name, plan in today.items():
        current = plan["current"]
        needed, within = current["instances_needed"], current["within_slo_ratio"]
        usd = current["total_usd_per_month"], plan["fleet"]["cost"]["total_usd_per_month"]
        print(f"{name:<12}{current['instances']:>6}{needed or '-':>8}{within:>12.2%}{usd[0]:>12,.2f}{usd[1]:>12,.2f}")
    missed = [name for name, plan in today.items() if _is_a_miss(plan["current"])]
    print(f"today's machines that the plan calls too few, of {len(today)}: {', '.join(missed) or 'none'}")
    totals = plans["totals"]
    print(f"planned without an edit: {totals['planned']} of {totals['workloads']}")
    print(f"init {took:.1f} s, recommend {planned:.1f} s")


def _row(truth: Truth, service: Mapping[str, Any]) -> dict[str, bool]:
    """Print a service, and say what of it is right: demand within 5 %."""
    machine = truth.machine
    keys = ("provider", "region", "instance_type", "purchase", "instances")
    expected = [machine.provider, machine.region, machine.instance_type, machine.purchase, truth.instances]
    tokens = (service["input_tokens"], service["output_tokens"])
    right = {
        "model": str(service["model"]).rpartition("/")[2] == truth.model.rpartition("/")[2],
        "engine": service["engine"] == truth.engine,
        "current": [service[key] for key in keys] == expected,
        "replicas": (service["replicas"], service["accelerators_per_replica"]) == (truth.replicas, truth.per_replica),
        "rate": _near(service["requests_per_second"], truth.rate),
        "tokens": all(_near(ours, theirs) for ours, theirs in zip(tokens, truth.tokens, strict=True)),
    }
    slo = ", ".join(f"{service[key]:g}" for key in ("ttft_p95_ms", "tpot_p95_ms") if service[key]) + " ms"
    words = [*("yes" if right[name] else "NO" for name in ("model", "engine", "current", "replicas"))]
    rate = f"{service['requests_per_second']:.2f} of {truth.rate:g}"
    print(
        f"{truth.name:<12}{words[0]:>7}{words[1]:>8}{words[2]:>9}{words[3]:>10}{rate:>14}"
        f"{f'{tokens[0]:.0f}, {tokens[1]:.0f}':>20}{slo:>20}"
    )
    return right


def _is_a_miss(current: Mapping[str, Any]) -> bool:
    return current["instances_needed"] is None or current["instances_needed"] > current["instances"]


def _near(ours: float | None, theirs: float) -> bool:
    return ours is not None and abs(ours - theirs) <= 0.05 * theirs


def _advisor(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command: Sequence[str] = [sys.executable, "-m", "advisor", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: exit {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
