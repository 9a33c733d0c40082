"""Sampled accelerators over time: the hours of a store, in the plan and on its page."""

import json
from dataclasses import replace

import numpy as np

from advisor.demand.recorded import MOST_HOURS, hourly_use
from advisor.report.pages import plan_page
from advisor.report.pages.bars import use_of
from advisor.samples.query import Window
from advisor.samples.store.reading import Store
from report.pages import read_page, table_rows
from report.plans import mixed_plan, sampled_plan
from samples.engine_building import engine_rows
from samples.records import row, us
from samples.stores import store

PER_HOUR = 240
GIB = 2**30


def use_of_store(directory, window=None, hosts=()):
    """Hours of a store."""
    reader = Store([str(directory)])
    return hourly_use(reader, window or reader.days(), hosts)


def test_an_hour_is_the_mean_of_all_rows_and_the_greatest_reading_of_any(tmp_path):
    """Of accelerators and engines alike; an hour in which nothing was observed is unknown, and so is what nothing says."""
    values = {0: [(0.2, 0.4)] * PER_HOUR, 2: [(0.6, 0.7), (0.8, 0.9)]}
    records = [
        row(hour * PER_HOUR + at, index, busy_ratio=value, memory_used_bytes=index * GIB, memory_total_bytes=4 * GIB)
        for hour, rows in values.items()
        for at, value in enumerate(rows, start=1)
        for index in (1, 2)
    ]
    store(tmp_path, records)
    waiting = {"requests_waiting": 2.0, "requests_waiting_max": 5.0, "kv_cache_used_ratio": None}
    engine_rows(tmp_path, [(15 * at, waiting) for at in range(1, 5)])

    use = use_of_store(tmp_path)

    assert (use.start_seconds, use.hosts, use.hosts_in_all) == (us(0) / 1e6, 1, 1)
    assert set(use.signals) == {"memory_used_ratio", "busy_ratio", "requests_waiting"}
    busy, memory, queue = (use.signals[name] for name in ("busy_ratio", "memory_used_ratio", "requests_waiting"))
    np.testing.assert_allclose(busy.mean, [0.2, np.nan, 0.7])
    np.testing.assert_allclose(busy.greatest, [0.4, np.nan, 0.9])
    np.testing.assert_allclose(memory.mean, [0.375, np.nan, 0.375])
    np.testing.assert_allclose(memory.greatest, [0.5, np.nan, 0.5])
    np.testing.assert_allclose(queue.mean, [2.0, np.nan, np.nan])
    np.testing.assert_allclose(queue.greatest, [5.0, np.nan, np.nan])


def test_the_newest_hours_of_the_named_hosts_count(tmp_path):
    """Two weeks at the most; other hosts are not read, and no rows give no use."""
    for name, busy in (("gpu-a", 0.5), ("cpu-b", 1.0)):
        store(tmp_path, [row(1, host=name, day=day, busy_ratio=busy) for day in range(20)], name)

    use = use_of_store(tmp_path, hosts=("gpu-*",))

    assert use.hosts == use.hosts_in_all == 1
    assert np.nanmax(use.signals["busy_ratio"].greatest) == 0.5
    assert 13 * 24 < use.signals["busy_ratio"].mean.size <= MOST_HOURS
    assert use_of_store(tmp_path, Window(us(2), us(3))) is None


def test_the_page_of_a_plan_shows_every_hour():
    """Each in the table and in its chart, with the gap as a gap; the plan's file holds them."""
    plan = sampled_plan()
    plan = replace(plan, question=json.loads(json.dumps(plan.question)))
    page = read_page(plan_page(plan))
    busy = use_of(plan).signals["busy_ratio"]
    rows = table_rows(page, "use by the hour")

    assert len(rows) == busy.mean.size == 240
    shown = [(row[1], row[2]) for row in rows]
    assert shown == [
        ("-", "-") if np.isnan(mean) else (f"{mean:.1%}", f"{most:.1%}")
        for mean, most in zip(busy.mean, busy.greatest, strict=True)
    ]
    assert rows[30][0] == "2026-10-25 06:00"
    (chart,) = [svg for svg in page.all("svg") if svg.attributes["aria-label"].startswith("busy over 10 days")]
    told = [title.text for rect in chart.all("rect") for title in rect.all("title")]
    assert len(told) == 240
    assert told[31] == "Sun 2026-10-25 07:00 UTC: - on average, - at most"
    assert "Samples of 2 hosts of 3." in page.text


def test_a_plan_of_other_demand_has_no_such_charts():
    """Nor has one of an older version, which holds no question."""
    assert use_of(mixed_plan()) is None
    assert "over time" not in plan_page(mixed_plan())
