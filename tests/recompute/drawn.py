"""Questions that nobody chose, each from its number: models, demand, places, purchases, limits and a few real offers.

The same number is the same question as long as the catalog has the same offers and models.
"""

import datetime as dt
import random
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.values import Dispersion
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.models.memory import FitRequest
from advisor.plan.request import PlanRequest
from advisor.workload.values import (
    DeclaredDemand,
    Deployment,
    Limits,
    OwnedCommitment,
    QuotaLimit,
    Routing,
    Scaling,
    Slo,
    Survive,
    Workload,
)
from plan.fleet.test_choose import week_of_days
from recompute import facts

USUAL = (
    "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "mistralai/Ministral-3-14B-Instruct-2512",
    "Qwen/Qwen3-32B", "meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b",
    "google/gemma-3-12b-it",
)  # fmt: skip
"""Half of the questions are about these, the others about any model that writes text."""
PURCHASES = tuple(
    tuple(map(Purchase, names.split()))
    for names in (
        "on_demand", "on_demand spot", "on_demand spot", "on_demand commitment", "on_demand spot commitment", "spot",
        "on_demand managed", "managed", "commitment on_demand managed spot",
    )
)  # fmt: skip
LIMITS = {
    "min_replicas": (2, 3, 5), "zones": (2, 3), "survive": tuple(Survive), "fault_tolerant_ratio": (0.3, 1.0),
    "on_demand_base_ratio": (0.3, 0.7), "max_regions": (1, 2, 3), "max_instance_types": (1, 2), "max_replicas": (8, 40),
    "max_kw": (5.0, 30.0), "max_kg_co2e_per_month": (3_000.0,), "max_usd_per_month": (4_000.0, 40_000.0),
    "simplicity": (0.0, 0.2), "mix_providers": (True,), "commit_without_history": (True,), "commitment_years": ((1, 3), (3,)),
    "max_changed_instances": (8,), "switching_usd_per_instance": (0.0, 25.0), "memory_utilization": (0.8, 0.95),
    "commit_beyond_forecast": (True,),
}  # fmt: skip
OFTEN = {"min_replicas": 0.3, "zones": 0.25, "commit_without_history": 0.4, "simplicity": 0.5}
LONGEST, LARGEST = 8192, 130e9
"""Tokens of a request, and parameters."""
USERS = ((("US-east", 0.7), ("DE", 0.3)), (("US-west", 1.0),), (("FR", 0.5), ("US-east", 0.5)))


def drawn(number):
    """(question, catalog of a few offers) by its number."""
    draw = random.Random(number)
    sold = offers(draw)
    model = draw.choice(USUAL) if draw.random() < 0.5 else draw.choice(_models())
    days = draw.choice((None, None, None, 1, 5, 15))
    peak = round(0.05 * 600 ** draw.random(), 3)
    workload = Workload(
        name=f"drawn-{number}",
        model=model,
        precisions=draw.choice((("bf16",), ("bf16", "fp8"), ("fp8", "bf16"), ("bf16", "fp8", "int4"), ("fp8",))),
        slo=draw.choice((Slo(2000, 60), Slo(1000, 50), Slo(3000, None), Slo(None, 80), Slo(1500, 80, 60_000))),
        demand=DeclaredDemand(
            round(peak / draw.choice((1.0, 1.5, 3.0)), 3),
            peak,
            draw.choice((100, 800, 2000)),
            draw.choice((20, 200, 400)),
        ),
        providers=tuple(sorted({offer.provider for offer in sold})),
        regions=tuple(dict.fromkeys(offer.region for offer in sold)),
        purchase=draw.choice(PURCHASES),
        context_tokens=draw.choice((4096, LONGEST)),
        current=current(draw, sold),
        limits=limits(draw, sold),
        path=Path("workload.yaml"),
        scaling=Scaling(scheduled=draw.random() < 0.8, scale_to_zero=draw.random() < 0.08),
        growth_per_year=draw.choice((None, None, 0.5, -0.2)),
        horizon_days=draw.choice((30.0, 30.0, 90.0)),
        users=draw.choice(USERS) if draw.random() < 0.15 else (),
        routing=Routing.BY_PROMPT_LENGTH if draw.random() < 0.1 else Routing.WEIGHTED,
        prefix_cache_hit_ratio=draw.choice((0.0, 0.0, 0.4)),
        commitments=_owned(draw, sold),
        as_of=dt.date(2026, 11, 20),
    )
    served = find_model(workload.model_reference)
    demand = measure_demand(workload, served, None, None)
    if days is not None:
        dispersion = draw.choice((Dispersion(), Dispersion(3.0, 10.0), Dispersion(6.0, 30.0)))
        demand = replace(demand, profile=week_of_days(peak, days, dispersion))
    return PlanRequest(workload, served, demand), whole_catalog().with_offers(sold)


@cache
def whole_catalog():
    """The shipped catalog with every table read, which those of a few offers then share."""
    catalog = load_catalog()
    for kind in type(catalog).__mro__:
        for name in [name for name, value in vars(kind).items() if isinstance(value, cached_property)]:
            getattr(catalog, name)
    return catalog


@cache
def _models():
    """Models that write text, of requests as long as are drawn and of a size that machines hold."""
    return [
        row["name"]
        for row in facts.rows("models")
        if row["task"] in {"llm", "vlm"}
        and int(row["max_context_tokens"] or 0) >= LONGEST
        and 0 < int(row["published_parameters_total"] or 0) < LARGEST
    ]


def offers(draw):
    """Two to nine offers in one to three regions, of those that have a price."""
    by_region = {}
    for offer in load_catalog().offers:
        if not offer.withdrawn and (offer.on_demand or offer.spot):
            by_region.setdefault((offer.provider, offer.region), []).append(offer)
    clouds = [place for place in by_region if place[0] in ("aws", "gcp", "azure")]
    places = clouds if draw.random() < 0.9 else list(by_region)
    chosen = draw.sample(places, min(draw.choice((1, 1, 1, 2, 3)), len(places)))
    found = [
        offer for at in chosen for offer in draw.sample(by_region[at], min(draw.randint(2, 5), len(by_region[at])))
    ]
    return tuple(found)


def current(draw, among):
    """What runs today, in three of ten questions: some machines that are sold on demand."""
    sold = [offer for offer in among if offer.on_demand]
    if not sold or draw.random() < 0.7:
        return None
    offer = draw.choice(sold)
    return Deployment(offer.provider, offer.region, offer.instance_type, draw.randint(1, 4), Purchase.ON_DEMAND)


def _owned(draw, among):
    if draw.random() < 0.9:
        return ()
    offer = draw.choice(among)
    expires = dt.date(2027, 5, 1)
    return (OwnedCommitment(offer.provider, offer.region, offer.instance_type, draw.randint(1, 3), expires),)


def limits(draw, among):
    """Limits, each stated in few of the questions."""
    stated = {name: draw.choice(values) for name, values in LIMITS.items() if draw.random() < OFTEN.get(name, 0.08)}
    quotas = []
    if draw.random() < 0.1:
        offer = draw.choice(among)
        counted = facts.quota_units(offer.provider, offer.instance_type, "on_demand")
        if counted:
            quotas.append(QuotaLimit(offer.provider, offer.region, counted[0], draw.choice((48.0, 200.0))))
    return Limits(quotas=tuple(quotas), **stated)


def drawn_fit(number):
    """(model, request for memory) by its number."""
    draw = random.Random(f"fit {number}")
    accelerator = draw.choice(facts.rows("accelerators"))
    ranks, stages = draw.choice((1, 1, 2, 4, 8)), draw.choice((1, 1, 1, 2, 3))
    engine, version = draw.choice(
        (("vLLM", ""), ("vLLM", "0.19.1"), ("vLLM", "0.11.0"), ("vLLM", "0.6.3"), ("SGLang", ""), ("TensorRT-LLM", ""))
    )
    return find_model(draw.choice(_models())), FitRequest(
        accelerator_memory_gib=float(accelerator["memory_gib"]),
        accelerator_count=ranks * stages,
        tensor_parallel=ranks,
        pipeline_parallel=stages,
        precision=draw.choice(("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")),
        kv_precision=draw.choice(("auto", "auto", "fp8", "bf16")),
        engine=engine,
        engine_version=version,
        context_tokens=draw.choice((512, 4096, 32_768, 131_072)),
        memory_utilization=draw.choice((0.8, 0.9, 0.95)),
        made_while_loading=draw.random() < 0.2,
        accelerator=accelerator["name"],
    )
