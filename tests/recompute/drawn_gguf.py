"""Questions that nobody chose about small language models that llama.cpp serves, each from its number.

Machines without an accelerator stand beside the few offers, all that the drawn regions sell.
"""

import random
from dataclasses import replace

from advisor.catalog import load_catalog
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.plan.request import PlanRequest
from advisor.workload.values import DeclaredDemand, Slo
from recompute import facts
from recompute.drawn import drawn

LLAMA_CPP = "llama.cpp server"


def drawn_gguf(number):
    """(question, catalog of a few offers) by its number."""
    draw = random.Random(f"gguf {number}")
    question, catalog = drawn(number)
    peak = round(0.01 * 100 ** draw.random(), 3)
    workload = replace(
        question.workload,
        name=f"drawn-gguf-{number}",
        model=draw.choice(_converted()),
        precisions=draw.choice((("bf16",), ("int8",), ("int4",), ("bf16", "int8", "int4"), ("fp16",))),
        engines=draw.choice(((), (LLAMA_CPP,), (LLAMA_CPP,))),
        slo=draw.choice((Slo(5000, 200), Slo(20_000, 800), Slo(None, 400))),
        demand=DeclaredDemand(
            round(peak / draw.choice((1.0, 1.5, 3.0)), 4), peak, draw.choice((100, 800)), draw.choice((20, 200))
        ),
        context_tokens=2048,
        prefix_cache_hit_ratio=0.0,
    )
    served = find_model(workload.model_reference)
    return PlanRequest(workload, served, measure_demand(workload, served, None, None)), catalog


def _converted():
    """Models whose published weights code makes a GGUF of, for requests as long as are drawn."""
    catalog = load_catalog()
    return [
        row["name"]
        for row in facts.rows("models")
        if int(row["max_context_tokens"] or 0) >= 2048 and catalog.precisions.loaded(row["name"], "bf16", LLAMA_CPP)
    ]
