"""Demand between local times, across the days on which clocks are put forward and back."""

import numpy as np
import pytest

from advisor.demand.monitored import Monitored, engine_demand
from advisor.demand.recorded import Within, read_fleet
from advisor.demand.services import Wanted, demand_of_views
from advisor.demand.spread import hours_of_week, mean_by_hour_of_week
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.reading import Store
from advisor.workload.document import read_workload
from demand.simulated_fleet import LLAMA, Process, record, scraped
from samples.query.conftest import victoria_metrics_url
from samples.query.remote_writing import write

__all__ = ["victoria_metrics_url"]

HOUR = 3600
MIDNIGHTS = {"2026-03-29": 1_774_738_800, "2026-10-25": 1_792_879_200}
"""In Berlin, since 1970: 23:00 UTC the day before in winter, 22:00 in summer."""
NEXT = {"2026-03-29": "2026-03-30", "2026-10-25": "2026-10-26"}
HOURS = {"2026-03-29": 23, "2026-10-25": 25}
AROUND = 2
"""Hours that are recorded before that day, and more than that after it."""


@pytest.fixture(scope="module", params=MIDNIGHTS)
def day(request):
    """A day on which clocks change."""
    return request.param


@pytest.fixture(scope="module")
def engine(day):
    """In the first hour that is recorded one request a minute, in the second two, and so on."""
    first = MIDNIGHTS[day] - AROUND * HOUR
    ends = np.concatenate(
        [first + hour * HOUR + (np.arange(60 * (hour + 1)) + 0.5) / (hour + 1) * 60 for hour in range(30)]
    )
    lengths = np.full(ends.size, 100.0)
    return Process(LLAMA, ends, ends, lengths, lengths, np.zeros(ends.size, bool))


def asked(folder, source, begin, end):
    """Times that a workload in Berlin asks for."""
    path = folder / "workload.yaml"
    times = f"from: '{begin}', until: '{end}', timezone: Europe/Berlin"
    path.write_text(f"name: chat\nmodel: {LLAMA}\ndemand: {{{source}, {times}}}}}\n")
    return read_workload(path).demand.recorded


def of_rows(folder, recorded):
    """Demand from the rows of those times."""
    fleet = read_fleet(Store([str(folder / "rows")]), Within((), None, recorded.from_seconds, recorded.until_seconds))
    return demand_of_views(fleet.views, Wanted(LLAMA, "rows", "demand.samples"), "rows")


def assert_hours_are_in_utc(profile, day):
    """Every hour of the day's 23 or 25 has its own requests, and is that of the week in UTC."""
    rates = AROUND + 1.0 + np.arange(HOURS[day])
    first = round(profile.start_seconds)
    known = profile.requests_per_minute[np.isfinite(profile.requests_per_minute)]
    assert abs(known.size - 60 * HOURS[day]) <= 2, "minutes at the edges may lack a reading"
    assert abs(first - MIDNIGHTS[day]) <= 60
    by_hour = mean_by_hour_of_week(profile.requests_per_minute, profile.start_seconds)
    classes = hours_of_week(MIDNIGHTS[day] // HOUR, HOURS[day])
    within = {hour: rates[classes == hour].mean() for hour in classes}
    np.testing.assert_allclose(by_hour[list(within)], list(within.values()), rtol=0.03)
    assert np.count_nonzero(np.isfinite(by_hour)) == len(within)


def test_rows_between_local_midnights(tmp_path, engine, day):
    """The day is an hour shorter or longer, and no hour takes the place of another."""
    first = MIDNIGHTS[day] - AROUND * HOUR
    record(tmp_path / "rows", "gpu-0", lambda _: engine, "http://127.0.0.1:8000/metrics", 30 * HOUR, start=first)
    demand = of_rows(tmp_path, asked(tmp_path, "samples: {path: rows", day, NEXT[day]))
    assert_hours_are_in_utc(demand.profile, day)


def test_a_server_between_local_midnights(tmp_path, victoria_metrics_url, engine, day):
    """The same of what a server scraped."""
    first = MIDNIGHTS[day] - AROUND * HOUR
    labels = {"job": "vllm", "instance": "a:8000", "fleet": day}
    write(victoria_metrics_url, scraped(lambda _: engine, 30 * HOUR, **labels, interval=30, start=first))
    recorded = asked(tmp_path, "prometheus: {url: 'http://a'", day, NEXT[day])
    access = PrometheusEndpoint.of(victoria_metrics_url, environment={})
    server = Monitored.between(access, 7, recorded.from_seconds, recorded.until_seconds, f'fleet="{day}"')
    demand = engine_demand(server, Wanted(LLAMA, "server", "demand.prometheus"))
    assert_hours_are_in_utc(demand.profile, day)


def test_the_hour_that_comes_twice(tmp_path):
    """Half past two is the first one without an offset; up to the second one it is an hour."""
    recorded = asked(tmp_path, "samples: {path: rows", "2026-10-25T02:30", "2026-10-25T02:30+01:00")
    assert recorded.from_seconds == MIDNIGHTS["2026-10-25"] + 2.5 * HOUR
    assert recorded.until_seconds == recorded.from_seconds + HOUR
