"""Rates under bursts: as few replicas as carry the busiest minute, each with its part of the bursts."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.data_files import data_dir
from advisor.demand.tally import read_summary
from advisor.performance.model import shipped_model
from advisor.performance.queueing import Bursts
from advisor.performance.serving import rates_at_slo
from advisor.workload.values import Slo
from performance.deployment_builders import make_deployment, pack

SLIGHTLY = 1e-4
PACKED = pack([make_deployment(tensor_parallel=degree) for degree in (1, 2)])
TOKENS = read_summary(data_dir("instance_catalog").parent / "examples" / "chat" / "demand.json").tokens
LEARNED = shipped_model().open_loop(PACKED, TOKENS)

dispersions = st.floats(1.001, 100)
peaks = st.floats(0.01, 500)
targets = st.builds(Slo, ttft_p95_ms=st.floats(100, 5_000), tpot_p95_ms=st.floats(10, 100))


def rates(slo, bursts):
    """Requests per second of each deployment."""
    return rates_at_slo(PACKED, TOKENS, slo, LEARNED, bursts)


@given(slo=targets, peak=peaks, dispersion=dispersions)
@settings(max_examples=30, deadline=None)
def test_as_few_replicas_as_carry_the_peak(slo, peak, dispersion):
    """So many replicas carry it at the dispersion that each then sees; noticeably fewer do not, unless one is enough."""
    for at, rate in enumerate(rates(slo, Bursts(dispersion, peak)).tolist()):
        if rate == 0:
            continue
        assert carries(at, rate * (1 - SLIGHTLY), slo, peak, dispersion)
        assert not carries(at, rate * (1 + SLIGHTLY), slo, peak, dispersion)


def carries(at, rate, slo, peak, dispersion):
    """Whether a replica sustains a rate among as few as carry the peak so."""
    count = max(peak / rate, 1.0)
    return rates(slo, Bursts(1 + (dispersion - 1) / count))[at] >= rate


@given(slo=targets, peak=peaks, dispersion=dispersions, factor=st.floats(1.0, 10))
@settings(max_examples=30, deadline=None)
def test_looser_target_has_no_lower_rate(slo, peak, dispersion, factor):
    """A looser target raises the rate at every dispersion, and so the rate with bursts."""
    for name in ("ttft_p95_ms", "tpot_p95_ms"):
        looser = replace(slo, **{name: getattr(slo, name) * factor})
        assert (
            rates(looser, Bursts(dispersion, peak)) >= rates(slo, Bursts(dispersion, peak)) * (1 - SLIGHTLY)
        ).all()  # fmt: skip


@given(slo=targets, peak=peaks, dispersion=dispersions)
@settings(max_examples=30, deadline=None)
def test_more_demand_shares_the_bursts_among_more(slo, peak, dispersion):
    """The bursts of a larger demand thin out over more replicas; random arrivals are never worse."""
    burst, larger = (rates(slo, Bursts(dispersion, factor * peak)) for factor in (1, 3))
    assert (larger >= burst * (1 - SLIGHTLY)).all()
    assert (rates(slo, Bursts()) >= larger * (1 - SLIGHTLY)).all()
    assert np.isfinite(burst).all()
