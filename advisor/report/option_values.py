"""Options of a plan as rows of a table for other programs: the plan's own names and numbers."""

from collections.abc import Mapping

from advisor.plan.values import Option

_OWN = (
    "rank", "provider", "region", "instance_type", "accelerator", "accelerator_count", "purchase", "commitment",
    "precision", "engine", "tensor_parallel", "pipeline_parallel", "instances", "replicas", "evidence",
)  # fmt: skip
_COSTS = (
    "total_usd_per_month",
    "usd_per_million_output_tokens",
    "instance_usd_per_hour",
    "price_as_of",
    "price_quality",
)
_REPLAYED = ("ttft_p95_ms", "tpot_p95_ms", "within_slo_ratio")
_PREDICTED = ("ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms")
OPTION_COLUMNS = (
    *_OWN, *_COSTS, *(f"predicted_{name}" for name in _PREDICTED), *(f"replayed_{name}" for name in _REPLAYED),
)  # fmt: skip


def option_values(option: Option) -> Mapping[str, object]:
    """An option under :data:`OPTION_COLUMNS`; empty where it was not replayed, or takes no time per token."""
    values: dict[str, object] = {name: getattr(option, name) for name in _OWN}
    values |= {name: getattr(option.cost, name) for name in _COSTS}
    for name in _PREDICTED:
        interval = getattr(option.predicted, name)
        values[f"predicted_{name}"] = None if interval is None else interval.value
    for name in _REPLAYED:
        values[f"replayed_{name}"] = None if option.confirmed is None else getattr(option.confirmed, name)
    return values
