"""Questions that nobody chose about models that answer in one pass, each from its number.

Machines without an accelerator stand beside the few offers, all that the drawn regions sell.
"""

import datetime as dt
import random
from pathlib import Path

from advisor.demand.lengths import LengthSpread
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.plan.request import PlanRequest
from advisor.workload.measured_demand import OnePassSize
from advisor.workload.values import DeclaredDemand, Scaling, Slo, Workload
from recompute import facts
from recompute.drawn import PURCHASES, USERS, current, limits, offers, whole_catalog

TASKS = ("embedding", "embedding", "encoder", "vision", "asr", "diffusion")


def drawn_kind(number):
    """(question, catalog of a few offers) by its number."""
    draw = random.Random(f"kind {number}")
    sold = offers(draw)
    task = draw.choice(TASKS)
    row = draw.choice([row for row in facts.rows("models") if row["task"] == task])
    peak = round(0.05 * 2_000 ** draw.random(), 3)
    declared = DeclaredDemand(round(peak / draw.choice((1.0, 1.5, 3.0)), 3), peak, **_size(draw, row))
    late = "latency_ms"
    workload = Workload(
        name=f"drawn-kind-{number}",
        model=row["name"],
        precisions=draw.choice((("bf16",), ("fp16", "bf16"), ("fp32", "bf16"), ("bf16", "int8"))),
        slo=Slo(**{late: draw.choice((100.0, 400.0, 1_500.0)) * (20 if task == "diffusion" else 1)}),
        demand=declared,
        providers=tuple(sorted({offer.provider for offer in sold})),
        regions=tuple(dict.fromkeys(offer.region for offer in sold)),
        purchase=draw.choice(PURCHASES),
        context_tokens=None,
        current=current(draw, sold),
        limits=limits(draw, sold),
        path=Path("workload.yaml"),
        scaling=Scaling(scheduled=draw.random() < 0.8),
        growth_per_year=draw.choice((None, None, 0.5, -0.2)),
        horizon_days=draw.choice((30.0, 30.0, 90.0)),
        users=draw.choice(USERS) if draw.random() < 0.15 else (),
        as_of=dt.date(2026, 11, 20),
    )
    served = find_model(workload.model_reference)
    demand = measure_demand(workload, served, None, None)
    return PlanRequest(workload, served, demand), whole_catalog().with_offers(sold)


def _size(draw, row):
    """Size of a request in the unit of its kind, sometimes of lengths that differ."""
    is_spread = draw.random() < 0.3
    task, longest = row["task"], int(row["max_context_tokens"] or 512)
    if task in ("embedding", "encoder"):
        tokens = min(draw.choice((50, 200, 500)), longest // 2)
        spread = LengthSpread(tokens, tokens * 1.7) if is_spread else None
        length = spread.mean if spread else tokens
        if "rerank" in row["name"].lower() or "cross-encoder" in row["name"].lower():
            size = OnePassSize(documents=draw.choice((5, 20)), tokens_per_document=length, query_tokens=20)
            return {"input_tokens": None, "output_tokens": None, "size": size, "size_spread": spread}
        return {"input_tokens": length, "output_tokens": None, "size_spread": spread}
    if task == "asr":
        spread = LengthSpread(8, 25) if is_spread else None
        size = OnePassSize(audio_seconds=spread.mean if spread else draw.choice((5, 20)))
        return {"input_tokens": None, "output_tokens": None, "size": size, "size_spread": spread}
    if task == "diffusion":
        size = OnePassSize(steps=draw.choice((4, 25)), width=1024, height=768, images=draw.choice((1, 2)))
    else:
        size = OnePassSize(images=draw.choice((1, 4)))
    return {"input_tokens": None, "output_tokens": None, "size": size}
