"""Small models on slices, shares and whole accelerators, and the time to pack many; prints, asserts nothing.

The figures of docs/sharing.md: list prices of the catalog, what is predicted of each seat, and who sits with whom.
"""

import random
import time
from collections import Counter
from pathlib import Path

from advisor.candidates import match
from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.performance.evidence import Served
from advisor.performance.model import shipped_model
from advisor.performance.stage import latencies_at_load, serve
from advisor.plan.estate.seats import most_sharers
from advisor.plan.sharing import pack_shared
from advisor.plan.tenants import Host, Need, Slice, Tenant
from advisor.requirements import require
from advisor.workload.values import DeclaredDemand, Limits, Slo, Workload

MODEL = "meta-llama/Llama-3.2-1B-Instruct"
TPOT_MS = 40.0
MACHINES = (
    ("aws", "us-east-1", "g6f.2xlarge"),
    ("aws", "us-east-1", "g6.xlarge"),
    ("azure", "eastus", "Standard_NC24ads_A100_v4"),
)


Found = dict[tuple[str, str], tuple[Served, float, float, int]]
"""By machine and slices: what serves, its TTFT and TPOT p95 at the peak, and among how many it keeps its targets."""


def seats(catalog: Catalog, peak: float) -> Found:
    """What holds the model within the SLO."""
    work = Workload(
        name="helper",
        model=MODEL,
        precisions=("fp8",),
        slo=Slo(ttft_p95_ms=1000, tpot_p95_ms=TPOT_MS),
        demand=DeclaredDemand(peak / 3, peak, 600, 150),
        providers=("aws", "azure"),
        regions=(),
        purchase=(Purchase.ON_DEMAND,),
        context_tokens=4096,
        current=None,
        limits=Limits(),
        path=Path("workload.yaml"),
    )
    asked = require(work, find_model(MODEL), declared_demand(peak / 3, peak, 600, 150), catalog)
    names = {name for _, _, name in MACHINES}
    known = [one for one in match(asked, catalog).candidates if one.instance_type.name in names]
    served, _ = serve(known, asked, shipped_model())
    rates = [asked.demand.requests_per_second.peak] * len(served)
    found = latencies_at_load([one.candidate for one in served], rates, asked, shipped_model())
    sharers = most_sharers([one.candidate for one in served], peak, asked, shipped_model())
    return {
        (one.candidate.instance_type.name, one.candidate.partition): (
            one, at.ttft_p95_ms.value, at.tpot_p95_ms.value, most
        )
        for one, at, most in zip(served, found, sharers, strict=True)
    }  # fmt: skip


def price(catalog: Catalog, provider: str, region: str, name: str) -> float:
    """List price on demand in USD per hour."""
    (offer,) = [one for one in catalog.offers_in((provider,), (region,)) if one.instance_type == name]
    found = catalog.price(offer, Purchase.ON_DEMAND)
    assert found is not None
    return found.usd_per_hour


def host(catalog: Catalog, provider: str, region: str, name: str) -> Host:
    """A machine with its slices, nine tenths of the memory usable."""
    machine = catalog.instance_type(provider, name)
    count = machine.accelerator_count or 0.0
    memory_gib = 0.9 * catalog.accelerator(machine.accelerator).memory_gib * min(count, 1.0)
    cut = catalog.partitions(machine.accelerator) if count >= 1 else ()
    slices = tuple(Slice(one.name, 0.9 * one.memory_gib, one.per_accelerator) for one in cut)
    return Host(name, price(catalog, provider, region, name), memory_gib, max(int(count), 1), slices)


def tenant(name: str, found: Found, peak: float, **changes: bool) -> Tenant:
    """A model with 0.5 GiB of KV cache on every seat that keeps its SLO."""
    needs = {}
    for key, (served, _, _, most) in found.items():
        memory = served.candidate.memory
        gib = memory.weights_gib + memory.workspace_gib + memory.runtime_gib + 0.5
        needs[key] = Need(gib, peak / served.requests_per_second_per_replica.value, most)
    return Tenant(name, needs, **changes)


def crowd(count: int, hosts: list[Host]) -> list[Tenant]:
    """Models of many sizes."""
    draw = random.Random(1)
    tenants = []
    for index in range(count):
        memory_gib, busy, most = draw.uniform(3, 18), draw.uniform(0.01, 0.3), draw.randint(2, 8)
        needs = {}
        for speed, one in enumerate(hosts, start=1):
            for part in ("", *(piece.name for piece in one.slices)):
                slower = 1.0 if not part else 5.0
                needs[one.name, part] = Need(memory_gib, busy * slower / speed, most)
        tenants.append(Tenant(f"t{index}", needs, draw.random() < 0.1))
    return tenants


def show_seats(hosts: list[Host], found: Found) -> None:
    """One line for each seat that one model can have."""
    for machine in hosts:
        per = {"": 1} | {one.name: one.per_accelerator for one in machine.slices}
        for part, count in per.items():
            if (machine.name, part) not in found:
                print(f"{machine.name} {part or 'whole'}: no seat, the model is too slow there or no code is generated")
                continue
            served, ttft_ms, tpot_ms, most = found[machine.name, part]
            rate = served.requests_per_second_per_replica.value
            print(
                f"{machine.name} {part or 'whole'}: {count} seats, {machine.usd_per_hour / count * 730:.0f} USD/month "
                f"each, {rate:.1f} requests/s, TTFT {ttft_ms:.0f} ms, TPOT {tpot_ms:.1f} ms ({served.evidence}), "
                f"{most} in turns"
            )


def show_packings(hosts: list[Host], found: Found, peak: float) -> None:
    """One line for each number of models."""
    for critical in (False, True):
        for count in (1, 2, 4, 7, 14):
            tenants = [tenant(f"m{index}", found, peak, latency_critical=critical) for index in range(count)]
            packing = pack_shared(tenants, hosts)
            sizes = Counter(f"{len(one.tenants)} on a {one.host} {one.slice or 'whole'}" for one in packing.groups)
            print(
                f"{count} models of {peak:g} requests/s, alone {critical}: {packing.usd_per_hour * 730:,.0f} USD/month "
                f"(gap {packing.gap_ratio:.2f}): {', '.join(f'{times} × ({size})' for size, times in sizes.items())}"
            )


def main() -> None:
    """Print the seats of one model, the packings of several, and the time for many."""
    catalog = load_catalog()
    hosts = [host(catalog, *one) for one in MACHINES]
    show_seats(hosts, seats(catalog, 1.0))
    for peak in (1.0, 4.0):
        show_packings(hosts, seats(catalog, peak), peak)
    for count in (8, 12, 16, 100, 1000):
        tenants = crowd(count, hosts)
        started = time.process_time()
        packing = pack_shared(tenants, hosts)
        print(f"{count} tenants: {time.process_time() - started:.2f} s, gap {packing.gap_ratio:.3f}")


if __name__ == "__main__":
    main()
