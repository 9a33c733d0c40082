"""Numbers, options and rejections in words; each phrase is made in one place for every format."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.plan.fleet.chosen import FleetGroup
from advisor.plan.values import CurrentCost, Option, Rejection

OPTION_HEADERS = (
    "#", "provider", "region", "instance type", "accelerator", "purchase", "precision", "TP", "count", "replicas",
    "TTFT p95", "TPOT p95", "req/s each", "USD/month", "USD/1M out",
)  # fmt: skip

SOLD_UNPRICED = "sold, price unknown"
"""Of an offer that nobody prices: not absent, and not free."""

CODE_WORDS = {
    "budget": "over the budget",
    "carbon_unknown": "carbon unknown",
    "cold_start": "starts too slowly",
    "contiguous_kv": "too little memory without paging",
    "host_memory": "too little host memory",
    "max_replicas": "need more replicas than allowed",
    "memory": "too little memory",
    "model_unsupported": "engine does not list the model",
    "network": "too far from the users",
    "no_image": "no engine image",
    "no_machine": "no machine to order",
    "not_generated": "no code is generated",
    "not_sold": "not sold in these regions",
    "parallelism": "heads cannot be split so",
    "power_unknown": "power unknown",
    "precision_unsupported": "precision not served there",
    "engine_excluded": "engine left out by the workload",
    "prediction_abstained": "outside what can be predicted",
    "preview": "preview only",
    "price_unknown": "price unknown",
    "residency": "outside where requests may be processed",
    "slo_e2e": "too slow end to end",
    "slo_tpot": "too slow per token",
    "slo_ttft": "too slow to the first token",
    "unknown_hardware": "hardware facts unknown",
}

_SHOWN_AS_A_SECOND_MS = 999.5
"""From here on three digits of milliseconds would be written as a power of ten."""
_FLOORS = {"slo_ttft": "TTFT p95", "slo_tpot": "TPOT p95", "slo_e2e": "end-to-end p95"}
_JUDGED = (*_FLOORS, "max_replicas", "price_unknown", "budget")
"""What is judged of those that can hold the model, in that order."""


def usd(amount: float) -> str:
    """``$1,234.50``; negative amounts keep their sign in front."""
    return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"


def milliseconds(value_ms: float) -> str:
    """``35 ms`` or ``1.2 s``: three significant digits."""
    return f"{value_ms:.3g} ms" if value_ms < _SHOWN_AS_A_SECOND_MS else f"{value_ms / 1000:.3g} s"


def purchase_words(purchase: str) -> str:
    """``on demand`` or ``spot``."""
    return purchase.replace("_", " ")


def hardware_words(option: Option | FleetGroup) -> str:
    """``8×A100-40GB-SXM``, or ``56×1g.5gb of A100-40GB-SXM`` where the accelerators are cut."""
    if option.partition:
        return f"{option.replicas_per_instance}×{option.partition.removeprefix('mig-')} of {option.accelerator}"
    return f"{option.accelerator_count:g}×{option.accelerator}"


def option_cells(option: Option) -> tuple[str, ...]:
    """The cells of an option under :data:`OPTION_HEADERS`."""
    predicted = option.predicted
    return (
        str(option.rank), option.provider, option.region, option.instance_type,
        hardware_words(option), purchase_words(option.purchase), option.precision,
        str(option.tensor_parallel), str(option.instances), str(option.replicas),
        milliseconds(predicted.ttft_p95_ms.value), milliseconds(predicted.tpot_p95_ms.value),
        f"{predicted.requests_per_second_per_replica.value:.3g}",
        f"{option.cost.total_usd_per_month:,.2f}", f"{option.cost.usd_per_million_output_tokens:,.2f}",
    )  # fmt: skip


def slo_words(slo: Mapping[str, Any]) -> str:
    """``TTFT p95 ≤ 1 s, TPOT p95 ≤ 50 ms``."""
    names = {
        "ttft_p95_ms": "TTFT p95",
        "tpot_p95_ms": "TPOT p95 (per token after the first)",
        "e2e_p95_ms": "end-to-end p95",
    }
    targets = [f"{words} ≤ {milliseconds(slo[key])}" for key, words in names.items() if slo[key] is not None]
    return ", ".join(targets) or "none stated"


def floor_words(rejected: Sequence[Rejection]) -> str:
    """The shortest latency of all candidates, where a target is below it; "" where something else stands in the way."""
    judged = [code for code in _JUDGED if any(one.code == code for one in rejected)]
    if not judged or judged[-1] not in _FLOORS:
        return ""
    floors = [
        (one.available, one)
        for one in rejected
        if one.code == judged[-1] and isinstance(one.available, int | float)
    ]  # fmt: skip
    floor_ms, fastest = min(floors, key=lambda floor: floor[0])
    of_those = " of those that keep the targets before it" if len(judged) > 1 else ""
    split = f" on {fastest.tensor_parallel} accelerators" if (fastest.tensor_parallel or 1) > 1 else ""
    return (
        f" The fastest candidate{of_those}, {fastest.instance_type} {fastest.precision}{split}, has "
        f"{_FLOORS[fastest.code]} {milliseconds(floor_ms)} with no other load; no target below that can be kept."
    )


def savings_words(current: CurrentCost, usd_per_month: float, ratio: float) -> str:
    """Compute of the fleet against that of what runs today."""
    today = f"{current.instances} × {current.instance_type} today ({usd(current.total_usd_per_month)})"
    if usd_per_month < 0:
        return f"{usd(-usd_per_month)} ({-ratio:.0%}) more than {today}"
    return f"{usd(usd_per_month)} ({ratio:.0%}) less than {today}"


def rejection_counts(rejected: Sequence[Rejection]) -> str:
    """``412 too little memory, 30 price unknown``: most frequent first."""
    counts = Counter(rejection.code for rejection in rejected)
    return ", ".join(f"{count} {CODE_WORDS[code]}" for code, count in counts.most_common())
