"""Small worlds with defaults: a test states only what it is about."""

import shutil
from dataclasses import replace
from pathlib import Path

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.data_files import data_dir
from advisor.workload.values import DeclaredDemand, Limits, Slo, Workload

LISTED = Provenance("a price list", "2026-01-01", Quality.LISTED)


def offer(instance_type="g6.xlarge", region="us-east-1", on_demand=0.8, spot=None, provider="aws") -> Offer:
    """An offer; a price of None is unknown."""
    prices = [None if usd is None else Price(usd, LISTED) for usd in (on_demand, spot)]
    return Offer(provider, region, instance_type, *prices)


def catalog_of(*offers: Offer) -> Catalog:
    """The shipped hardware facts with these offers only."""
    catalog = Catalog(data_dir("instance_catalog"))
    catalog.__dict__["offers"] = tuple(offers)
    catalog.__dict__["accelerators"] = load_catalog().accelerators
    catalog.__dict__["instance_types"] = load_catalog().instance_types
    catalog.__dict__["regions"] = load_catalog().regions
    for name in ("_engine_support", "releases", "deployment"):
        catalog.__dict__[name] = getattr(load_catalog(), name)
    return catalog


def workload(**changes) -> Workload:
    """A chat workload on Llama 3.1 8B with 8 requests a second at the peak."""
    default = Workload(
        name="chat",
        model="meta-llama/Llama-3.1-8B-Instruct",
        precisions=("bf16", "fp8"),
        slo=Slo(ttft_p95_ms=1000, tpot_p95_ms=60),
        demand=DeclaredDemand(5, 8, 800, 200),
        providers=("aws",),
        regions=(),
        purchase=(Purchase.ON_DEMAND, Purchase.SPOT),
        context_tokens=4096,
        current=None,
        limits=Limits(),
        path=Path("workload.yaml"),
    )
    return replace(default, **changes)


def copy_catalog(directory: Path) -> Path:
    """A copy of the shipped tables that a test may spoil."""
    return Path(shutil.copytree(data_dir("instance_catalog"), directory / "instance_catalog"))
