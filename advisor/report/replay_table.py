"""The result of a replay, for people."""

from advisor.plan.replay.values import ReplayResult
from advisor.report.text_table import render_table
from advisor.units import ratio_words
from advisor.workload.values import Slo

_WHOLE_MS = 10
"""Milliseconds from which no fraction of one is told."""
_GROUP_COLUMNS = ("group", "requests", "within", "instance hours", "cost")


def replay_table(title: str, result: ReplayResult, slo: Slo) -> str:
    """A line on the whole, latencies beside their targets, and the groups."""
    latencies: tuple[tuple[str, float | None, float | None], ...] = (
        ("time to first token", result.ttft_p95_ms, slo.ttft_p95_ms),
        ("time per output token", result.tpot_p95_ms, slo.tpot_p95_ms),
        ("end to end", result.e2e_p95_ms, slo.e2e_p95_ms),
    )
    if slo.is_of_whole_answers:
        latencies = (("latency", result.e2e_p95_ms, slo.latency_ms),)
    groups = [
        (
            group_result.name,
            f"{group_result.requests:,}",
            _share(group_result.within_slo_ratio),
            f"{group_result.instance_hours:,.2f}",
            _usd(group_result.cost_usd),
        )
        for group_result in result.by_group
    ]
    head = (
        f"{title}: {_share(result.within_slo_ratio)} of {result.requests:,} requests kept every target, "
        f"for {_usd(result.cost_usd)} in {result.hours:,.2f} h ({_usd(result.usd_per_month)} a month)\n"
        f"refused {result.refused:,} · preempted {result.preemptions:,} · interrupted {result.interruptions:,}\n"
    )
    rows = [(what, _ms(found), _ms(limit)) for what, found, limit in latencies]
    if slo.real_time_factor is not None:
        rows = [(what, value, _of_recording(limit, slo.real_time_factor)) for what, value, limit in rows]
    tables = render_table(("p95", "replayed", "target"), rows), render_table(_GROUP_COLUMNS, groups)
    return f"{head}\n{tables[0]}\n\n{tables[1]}\n"


def _of_recording(limit: str, real_time_factor: float) -> str:
    """Target of a transcript: a share of its recording's length, and of all of them the limit that is stated."""
    share = f"{real_time_factor:g} × recording"
    return share if limit == "-" else f"{share}, {limit}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms" if value >= _WHOLE_MS else f"{value:.3g} ms"


def _share(ratio: float | None) -> str:
    return "-" if ratio is None else ratio_words(ratio)


def _usd(value: float) -> str:
    return f"${value:,.2f}"
