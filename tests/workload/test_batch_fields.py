"""Batch work in a workload file: what it means, and what is refused."""

import json

import pytest

from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.workload.document import read_workload
from advisor.workload.values import BatchWork, Scaling

SIZES = {"input_tokens": 800, "output_tokens": 200}
STATED = {"items": 1000, "every": "day", "deadline": "6h", **SIZES}


def read(folder, batch, **changes):
    """The workload that states some batch work."""
    path = folder / "workload.yaml"
    path.write_text(json.dumps({"name": "a", "model": "Qwen/Qwen3-14B", "demand": {"batch": batch}} | changes))
    return read_workload(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, BatchWork(1000, 24, 6.0, None)),
        ({"every": "week", "deadline": "3d"}, BatchWork(1000, 168, 72.0, None)),
        ({"every": "12h", "deadline": "90m"}, BatchWork(1000, 12, 1.5, None)),
        ({"window": "22:00-06:00"}, BatchWork(1000, 24, 6.0, (22, 6))),
        ({"window": "22:00 - 06:00", "timezone": "Asia/Tokyo"}, BatchWork(1000, 24, 6.0, (13, 21))),
        # 21:00 to 05:00 UTC in winter, 20:00 to 04:00 in summer
        ({"window": "22:00-06:00", "timezone": "Europe/Berlin"}, BatchWork(1000, 24, 6.0, (21, 4))),
        # Monday 22:00 in New York is Tuesday 03:00 UTC, Monday 06:00 in Tokyo Sunday 21:00 UTC
        (
            {"every": "week", "window": "22:00-06:00", "timezone": "America/New_York"},
            BatchWork(1000, 168, 6.0, (27, 10)),
        ),
        ({"every": "week", "window": "06:00-12:00", "timezone": "Asia/Tokyo"}, BatchWork(1000, 168, 6.0, (165, 3))),
        ({"window": "00:00-24:00"}, BatchWork(1000, 24, 6.0, (0, 0))),
    ],
)
def test_what_it_means(tmp_path, changes, expected):
    """Times in hours, windows in UTC, all year round."""
    assert read(tmp_path, STATED | changes).demand.batch == expected


def test_a_window_alone_is_a_deadline(tmp_path):
    """Work is done when the window closes."""
    batch = {key: value for key, value in STATED.items() if key != "deadline"} | {"window": "22:00-06:00"}

    assert read(tmp_path, batch).demand.batch == BatchWork(1000, 24, None, (22, 6))


def test_work_that_waits_may_be_cut_off_and_stops_between_runs(tmp_path):
    """Defaults that other work does not have; what is stated of spot holds."""
    workload, stated = read(tmp_path, STATED), read(tmp_path, STATED, purchase=["on_demand"], limits={"zones": 2})

    assert workload.purchase == (Purchase.ON_DEMAND, Purchase.SPOT)
    assert workload.limits.fault_tolerant_ratio == 1.0
    assert workload.scaling == Scaling(scheduled=True, scale_to_zero=True)
    assert stated.purchase == (Purchase.ON_DEMAND,)
    assert stated.limits.fault_tolerant_ratio == 1.0
    assert read(tmp_path, STATED, limits={"fault_tolerant_ratio": 0.5}).limits.fault_tolerant_ratio == 0.5


REFUSED = {
    "no items": ({"items": 0}, ["items", "0 is out of range", "at least 1"]),
    "neither deadline nor window": ({"deadline": None}, ["by when", "deadline: 6h", "window: 22:00-06:00"]),
    "no distance of runs": ({"every": None}, ["missing: every"]),
    "a deadline after the next run": ({"deadline": "30h"}, ["30 h is longer than the 24 h", "at most 24h"]),
    "runs at other hours each week": ({"every": "5h"}, ["5 h do not divide the 168 hours of a week", "day, week"]),
    "runs each half hour": ({"every": "30m", "deadline": "10m"}, ["every 0.5 h", "day, week"]),
    "a window without hours": ({"window": "22:00-22:00"}, ["'22:00-22:00' has no hours"]),
    "a window that clock changes use up": (
        {"window": "22:00-23:00", "timezone": "Europe/Berlin"}, ["its 1 h are 0 h", "longer window"]
    ),
    "a window of half hours": ({"window": "22:30-06:00"}, ["by the hour", "whole hours"]),
    "a window that is none": ({"window": "night"}, ["'night' is not a window", "22:00-06:00"]),
    "a window beyond the day": ({"window": "22:00-30:00"}, ["00:00 to 24:00"]),
    "a window of runs within a day": ({"every": "6h", "window": "22:00-06:00"}, ["once a day", "runs every 6 h"]),
    "a zone without a window": ({"timezone": "Asia/Tokyo"}, ["timezone", "needs a window"]),
    "a zone of half hours": ({"window": "22:00-06:00", "timezone": "Asia/Kolkata"}, ["not whole hours of UTC"]),
    "a rate": ({"requests_per_second": 3}, ["unknown key 'requests_per_second'", "under demand.declared"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    """Each names its field, the numbers, and what to write."""
    changes, words = REFUSED[name]
    batch = {key: value for key, value in (STATED | changes).items() if value is not None}
    with pytest.raises(InputError) as refused:
        read(tmp_path, batch)
    told = f"{refused.value.where} {refused.value.message} {refused.value.hint}"
    assert [word for word in ["demand.batch", *words] if word not in told] == [], told


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("slo", {"ttft_p95": "1s"}, "its deadline"), ("scaling", {"scheduled": False}, "in its hours alone")],
)
def test_batch_work_has_no_other_targets(tmp_path, key, value, words):
    """A latency target or a fleet of one size would mean nothing."""
    with pytest.raises(InputError, match=words):
        read(tmp_path, STATED, **{key: value})


def test_it_may_stand_beside_one_other_source(tmp_path):
    """Whose targets, purchases and scaling then hold for both; two others are too many all the same."""
    path = tmp_path / "workload.yaml"
    demand = {"batch": STATED, "declared": {"requests_per_second": 1, **SIZES}}
    stated = {"name": "a", "model": "Qwen/Qwen3-14B", "slo": {"ttft_p95": "1s"}, "demand": demand}
    path.write_text(json.dumps(stated))
    workload = read_workload(path)

    assert workload.demand.requests_per_second == 1
    assert workload.demand.batch is None
    assert workload.batch.batch == BatchWork(1000, 24, 6.0, None)
    assert workload.purchase == (Purchase.ON_DEMAND,)
    assert workload.scaling == Scaling()
    path.write_text(json.dumps(stated | {"demand": demand | {"trace": "requests.csv"}}))
    with pytest.raises(InputError, match="exactly one source"):
        read_workload(path)
