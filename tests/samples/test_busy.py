"""How many accelerators were busy in each minute: hand-computed cases, and equality with NumPy on the rows."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.demand.recorded import busy_profile
from advisor.errors import InputError
from advisor.samples.need.limits import DRAM, SM_EFFECTIVE, TENSOR
from samples.records import DAY, gap, row, spool
from samples.stores import fleet_of, store

MIDNIGHT = DAY.timestamp()


def profile_of(directory):
    """The profile of a directory."""
    fleet = fleet_of(directory)
    return busy_profile(fleet.store, fleet.window, fleet.accelerators)


def test_the_profile_adds_up_accelerators(tmp_path):
    """Two accelerators at 0.25 and 0.5 for a minute and then at 1 and 0 are 0.75 and 1 busy accelerators."""
    for index, (first, second) in enumerate(((0.25, 1.0), (0.5, 0.0))):
        store(tmp_path, [row(number, index, busy_ratio=first if number <= 4 else second) for number in range(1, 9)])
    profile = profile_of(tmp_path)
    assert profile.busy.tolist() == pytest.approx([0.75, 1.0])
    assert profile.coverage_ratio.tolist() == pytest.approx([1.0, 1.0])
    assert profile.present.tolist() == [2, 2]
    assert profile.start_seconds == MIDNIGHT


@pytest.mark.parametrize("missing", ["gap", "unknown value", "nothing written"])
@pytest.mark.parametrize(("accelerators", "is_unknown"), [(3, False), (2, True)])
def test_a_minute_mostly_observed_counts_and_any_other_is_unknown(tmp_path, missing, accelerators, is_unknown):
    """Up to a tenth of a minute of all accelerators may be missing: it is then taken to be as busy as the rest."""
    for index in range(accelerators):
        store(tmp_path, [row(number, index) for number in range(1, 13) if index or number != 6])
    lost = {"gap": [gap(5, 6)], "unknown value": [row(6, power_watts=300)], "nothing written": []}[missing]
    store(tmp_path, lost)
    profile = profile_of(tmp_path)
    assert profile.coverage_ratio[1] == pytest.approx(1 - 1 / (4 * accelerators))
    np.testing.assert_array_equal(np.isnan(profile.busy), [False, is_unknown, False])
    np.testing.assert_allclose(profile.busy[~np.isnan(profile.busy)], 0.5 * accelerators)


def test_minutes_at_the_edges_are_unknown_when_cut(tmp_path):
    """Sampling from 00:00:30 to 00:02:15 knows the minute between whole, and neither of those it cut."""
    store(tmp_path, [row(number) for number in range(3, 10)])
    profile = profile_of(tmp_path)
    np.testing.assert_array_equal(np.isnan(profile.busy), [True, False, True])


def test_a_host_that_came_later_is_not_unknown_before(tmp_path):
    """A second host that is sampled from the third minute on leaves the first two minutes known."""
    store(tmp_path, [row(number) for number in range(1, 17)])
    store(tmp_path, [row(number, host="host-b") for number in range(9, 17)])
    profile = profile_of(tmp_path)
    assert profile.busy.tolist() == pytest.approx([0.5, 0.5, 1.0, 1.0])
    assert profile.present.tolist() == [1, 1, 2, 2]


def test_accelerators_that_never_say_how_busy_they_are_are_left_out(tmp_path):
    """When there is no other, there is no profile but an error."""
    store(tmp_path, [row(number, 1, power_watts=300) for number in range(1, 5)])
    with pytest.raises(InputError, match="no accelerator in these samples says how busy it is") as caught:
        profile_of(tmp_path)
    assert "request trace" in caught.value.hint
    store(tmp_path, [row(number) for number in range(1, 5)])
    assert profile_of(tmp_path).busy.tolist() == pytest.approx([0.5])


def test_the_profile_of_a_sleep_is_unknown_in_between(tmp_path):
    """Three minutes in which the agent did not run are unknown, not idle; over midnight too."""
    store(tmp_path, [*(row(number) for number in (1, 2, 3, 4, 17, 18, 19, 20)), gap(4, 16)])
    np.testing.assert_array_equal(np.isnan(profile_of(tmp_path).busy), [False, True, True, True, False])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.integers(0, 2), st.integers(5750, 5780)),
        st.tuples(*[st.none() | st.integers(0, 200)] * 4),
        min_size=1,
        max_size=60,
    ),
    is_spooled=st.booleans(),
)
def test_the_profile_equals_numpy_on_the_rows(tmp_path_factory, rows, is_spooled):
    """Busy and narrowed shares of each minute, over midnight, are what the formulas give row by row."""
    directory = tmp_path_factory.mktemp("store")
    names = ("busy_ratio", "sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")
    records, minutes = [], {}
    for (index, number), shares in rows.items():
        known = {name: share / 200 for name, share in zip(names, shares, strict=True) if share is not None}
        records.append(row(number, index, **(known or {"processes": 1})))
        if "busy_ratio" in known:
            busy, sm, dram, tensor = (known.get(name, np.nan) for name in names)
            bound = np.fmax(dram / DRAM.value, tensor / TENSOR.value) if not np.isnan(dram + tensor) else np.nan
            minutes.setdefault((number - 1) // 4, []).append(
                (busy, np.fmin(np.fmin(busy, sm / SM_EFFECTIVE.value), bound))
            )
    (spool if is_spooled else store)(directory, records)
    if not minutes:
        return
    profile = profile_of(directory)
    first = round((profile.start_seconds - MIDNIGHT) / 60)
    for minute, shares in minutes.items():
        at = minute - first
        assert profile.coverage_ratio[at] == pytest.approx(len(shares) / 4 / profile.present[at])
        if profile.coverage_ratio[at] >= 0.9:
            busy, saturated = np.mean(shares, axis=0) * profile.present[at]
            assert (profile.busy[at], profile.saturated[at]) == pytest.approx((busy, saturated))
