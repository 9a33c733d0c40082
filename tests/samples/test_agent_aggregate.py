"""Readings on their way into rows: every tick is accounted for, and nothing that is unknown becomes a number."""

import math
from itertools import pairwise
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.agent.supervised import SourceRows, row_end
from advisor.samples.metrics import METRICS, Gap, Kind, Missed, Reading, Row, Target, rounded
from advisor.samples.places import ROW_US

SECOND = 1_000_000
MIDNIGHT = 1_791_936_000 * SECOND
NOBODY = Target("host", "nvml", None)
ONE = Target("host", "nvml", 0, uuid="GPU-0", name="H100")
TWO = Target("host", "nvml", 1, uuid="GPU-1", name="H100")


def rows(start_us=MIDNIGHT, interval_us=SECOND):
    """The open rows of a source that was begun at a time."""
    return SourceRows(NOBODY, interval_us, start_us)


def heard(target=ONE, **values):
    """A reading."""
    return Reading(target, values or {"busy_ratio": 0.5})


def take_seconds(source, first, last, **values):
    """Read at each second from the first to the last."""
    return [
        record
        for at in range(first, last + 1)
        for record in source.take(MIDNIGHT + at * SECOND, [heard(**values)], "why")
    ]


def test_fifteen_readings_become_one_row_at_its_end():
    """A row holds the ticks after its start up to and with its end, and comes with the last of them."""
    source = rows()
    assert take_seconds(source, 1, 14) == []
    (row,) = take_seconds(source, 15, 15)
    assert (row.end_us, row.missed_ticks, row.stats["busy_ratio"].n) == (MIDNIGHT + 15 * SECOND, 0, 15)


def test_a_row_has_least_mean_greatest_and_last():
    """Gauges are kept as four numbers on the grid of the metric, counters only as the last."""
    source = rows()
    for at, (busy, joules) in enumerate([(0.1, 10.0), (0.9001, 20.0), (0.2, 30.0)], 13):
        records = source.take(MIDNIGHT + at * SECOND, [heard(busy_ratio=busy, energy_joules=joules)], "why")
    row = next(record for record in records if isinstance(record, Row))
    stats = row.stats["busy_ratio"]
    assert (stats.least, stats.mean, stats.greatest, stats.last, stats.n) == (0.1, 0.4, 0.9, 0.2, 3)
    energy = row.stats["energy_joules"]
    assert (energy.last, energy.n) == (30.0, 3)
    assert all(map(isnan, (energy.least, energy.mean, energy.greatest)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_is_no_measurement_is_not_known(value):
    """A source that computes NaN or infinity, or is told nonsense, knows nothing: no row has it."""
    source = rows()
    source.take(MIDNIGHT + SECOND, [heard(busy_ratio=value, sm_clock_mhz=1410)], "why")
    (row,) = source.close()
    assert set(row.stats) == {"sm_clock_mhz"}


def test_a_driver_that_talks_without_end_is_cut_short():
    """The reason of a gap stays one that a person reads."""
    source = rows()
    source.take(MIDNIGHT + SECOND, [Missed(ONE, "why " * 10_000)], "why")
    (gap,) = source.close()
    assert gap.reason.startswith("why why")
    assert len(gap.reason) == 400


def test_a_counter_that_starts_anew_is_kept_as_read():
    """After a reset or a wrap the last value is the small one: who takes differences sees what happened."""
    source = rows()
    for at, joules in enumerate([2.0**62, 5.0], 1):
        source.take(MIDNIGHT + at * SECOND, [heard(energy_joules=joules)], "why")
    (row,) = source.close()
    assert (row.stats["energy_joules"].last, row.stats["energy_joules"].n) == (5.0, 2)


def test_the_first_and_the_last_row_are_partial():
    """An agent that starts within a row and ends within another counts only the ticks in between."""
    source = rows(start_us=MIDNIGHT + 10 * SECOND + 300)
    records = take_seconds(source, 11, 17) + source.close()
    assert [(row.end_us - MIDNIGHT, row.stats["busy_ratio"].n, row.missed_ticks) for row in records] == [
        (15 * SECOND, 5, 0), (30 * SECOND, 2, 0),
    ]  # fmt: skip


def test_a_gap_within_a_row_is_both_said_and_counted():
    """Three missed ticks are one gap with its reason, and the row around them counts them."""
    source = rows()
    records = take_seconds(source, 1, 5) + take_seconds(source, 9, 15)
    gap, row = records
    assert gap == Gap(ONE, MIDNIGHT + 5 * SECOND, MIDNIGHT + 8 * SECOND, 3, "why")
    assert (row.missed_ticks, row.stats["busy_ratio"].n) == (3, 12)


def test_a_long_sleep_is_one_gap_and_two_partial_rows():
    """Ten minutes asleep end the open row, are one gap, and count in the row after them only as far as they reach into it."""
    source = rows()
    records = take_seconds(source, 1, 5) + take_seconds(source, 607, 615)
    before, gap, after = records
    assert (before.end_us - MIDNIGHT, before.stats["busy_ratio"].n, before.missed_ticks) == (15 * SECOND, 5, 10)
    assert (gap.missed_ticks, gap.start_us - MIDNIGHT, gap.end_us - MIDNIGHT) == (601, 5 * SECOND, 606 * SECOND)
    assert (after.end_us - MIDNIGHT, after.stats["busy_ratio"].n, after.missed_ticks) == (615 * SECOND, 9, 6)


def test_an_accelerator_that_is_lost_has_one_gap_a_row():
    """Misses for the same reason join; a row in which nothing was read is no row of zeros, but none."""
    source = rows()
    records = []
    for at in range(1, 31):
        lost = Missed(TWO, "GPU is lost") if at > 5 else heard(TWO)
        records += source.take(MIDNIGHT + at * SECOND, [heard(), lost], "why")
    of_two = [record for record in records if record.target == TWO]
    assert [(type(record), record.missed_ticks) for record in of_two] == [(Row, 10), (Gap, 10), (Gap, 15)]
    assert [record.stats["busy_ratio"].n for record in records if record.target == ONE] == [15, 15]


def test_a_source_that_never_answered_has_gaps_of_its_own():
    """Before anything has a name, the gap is the source's."""
    source = rows()
    (gap,) = source.miss(MIDNIGHT + 15 * SECOND, "nvml does not answer")
    assert gap == Gap(NOBODY, MIDNIGHT, MIDNIGHT + 15 * SECOND, 15, "nvml does not answer")
    assert source.close() == []


def test_a_clock_that_is_set_back_ends_the_row_and_goes_on():
    """After a step of an hour back the new time is sampled; what was begun is kept."""
    source = rows(start_us=MIDNIGHT + 3600 * SECOND)
    records = take_seconds(source, 3601, 3605) + take_seconds(source, 6, 15)
    before, after = records
    assert (before.end_us - MIDNIGHT, before.stats["busy_ratio"].n) == (3615 * SECOND, 5)
    assert (after.end_us - MIDNIGHT, after.stats["busy_ratio"].n, after.missed_ticks) == (15 * SECOND, 10, 0)


def test_a_clock_that_is_corrected_a_little_reads_no_tick_twice():
    """A tick that was accounted for already is left out, not counted again."""
    source = rows()
    take_seconds(source, 1, 5)
    records = take_seconds(source, 4, 15)
    assert [record.stats["busy_ratio"].n for record in records] == [15]


def test_an_instance_that_takes_the_place_of_another_has_a_row_of_its_own():
    """Two MIG instances that had the same number within a row are two rows; one without a UUID yet is the same."""
    old, new = Target("host", "nvml", 0, 1, "MIG-a"), Target("host", "nvml", 0, 1, "MIG-b")
    source = rows()
    for at in range(1, 16):
        records = source.take(MIDNIGHT + at * SECOND, [heard(old if at < 8 else new)], "why")
    assert {(row.target.uuid, row.stats["busy_ratio"].n) for row in records} == {("MIG-a", 7), ("MIG-b", 8)}
    unknown = Target("host", "nvml", 0)
    source = rows()
    source.take(MIDNIGHT + SECOND, [Missed(unknown, "GPU is lost")], "why")
    records = source.take(MIDNIGHT + 2 * SECOND, [heard()], "why") + source.close()
    assert {record.target for record in records} <= {ONE, unknown}
    assert [record.missed_ticks for record in records if isinstance(record, Row)] == [1]


def test_every_row_has_a_reading_at_the_longest_interval():
    """At one reading every fifteen seconds each is a row of its own, without a gap."""
    source = rows(interval_us=15 * SECOND)
    records = [record for at in (15, 30, 45) for record in source.take(MIDNIGHT + at * SECOND, [heard()], "why")]
    assert [(row.end_us - MIDNIGHT, row.missed_ticks) for row in records] == [
        (15 * SECOND, 0), (30 * SECOND, 0), (45 * SECOND, 0),
    ]  # fmt: skip


INTERVALS = st.sampled_from([100_000, 200_000, 500_000, SECOND, 2 * SECOND, 7 * SECOND, 15 * SECOND])
HAPPENINGS = st.lists(
    st.one_of(st.just("read"), st.just("lost"), st.integers(1, 400), st.tuples(st.just("silent"), st.integers(1, 400))),
    max_size=60,
)


@given(interval_us=INTERVALS, start=st.integers(0, 10_000_000), happenings=HAPPENINGS)
def test_every_tick_is_read_or_missed_once(interval_us, start, happenings):
    """Whatever happens, readings and missed ticks of a target add up to the ticks that went by, in order, without overlap."""
    source = rows(MIDNIGHT + start, interval_us)
    begun = tick = source.accounted_us
    records = []
    for what in ["read", *happenings]:
        if isinstance(what, tuple):
            tick += what[1] * interval_us
            records += source.miss(tick, "silent")
            continue
        tick += interval_us * (what if isinstance(what, int) else 1)
        each = Missed(ONE, "GPU is lost") if what == "lost" else heard()
        records += source.take(tick, [each], "why")
    records += source.close()
    read = sum(record.stats["busy_ratio"].n for record in records if isinstance(record, Row))
    missed = sum(record.missed_ticks for record in records if isinstance(record, Gap))
    assert read + missed == (tick - begun) // interval_us
    assert read == 1 + sum(what == "read" or isinstance(what, int) for what in happenings)
    ends = [record.end_us for record in records if isinstance(record, Row)]
    assert ends == sorted(set(ends))
    assert all(end % ROW_US == 0 for end in ends)
    gaps = sorted((gap.start_us, gap.end_us) for gap in records if isinstance(gap, Gap))
    assert all(start < end for start, end in gaps)
    assert all(end <= later for (_, end), (later, _) in pairwise(gaps))
    for row in (record for record in records if isinstance(record, Row)):
        most = max(ROW_US // interval_us + bool(ROW_US % interval_us), 1)
        assert row.stats["busy_ratio"].n + row.missed_ticks <= most


@given(
    metric=st.sampled_from([metric for metric in METRICS.values() if metric.kind is Kind.GAUGE]),
    values=st.lists(st.floats(0, 1e12), min_size=1, max_size=14),
)
def test_rounding_keeps_the_order_of_the_statistics(metric, values):
    """Least ≤ mean ≤ greatest, each on the metric's grid."""
    source = rows()
    for at, value in enumerate(values, 1):
        source.take(MIDNIGHT + at * SECOND, [heard(**{metric.name: value})], "why")
    (row,) = source.close()
    stats = row.stats[metric.name]
    assert stats.least <= stats.mean <= stats.greatest
    for value in (stats.least, stats.mean, stats.greatest, stats.last):
        assert value == pytest.approx(rounded(value, metric.resolution), rel=1e-12)


@given(st.integers(0, 10**16))
def test_a_tick_belongs_to_the_row_that_ends_at_or_after_it(tick_us):
    """The end of a row is a whole multiple of fifteen seconds, less than one row away."""
    assert row_end(tick_us) % ROW_US == 0
    assert 0 <= row_end(tick_us) - tick_us < ROW_US
