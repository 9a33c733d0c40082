"""The page of the newest rows."""

from dataclasses import replace

import pytest

from advisor.samples.agent.latest import Latest
from advisor.samples.metrics import METRICS, Buckets, Kind, Row, Target
from samples.agent.recorded import END_US, ENGINE, GPU, MIG, ROW_US, counter, engine_row, gap, gauge, gpu_row

BUSY = "share of time in which a kernel ran; busy is not saturated"


def page_after(*records, now_us=END_US + ROW_US):
    """The lines of the page after some records."""
    latest = Latest()
    for record in records:
        latest.take(record)
    return latest.page(now_us).decode().removesuffix("\n").split("\n")


def samples(lines):
    """Its samples without metadata."""
    return [line for line in lines if not line.startswith("#")]


def test_a_row_of_an_accelerator():
    """Gauges have mean and extremes, counters their total, each with who it is; the page ends as OpenMetrics asks."""
    who = 'accelerator="0",host="node-1",product="NVIDIA H100 80GB HBM3",source="nvml",uuid="GPU-0"'
    assert page_after(gpu_row()) == [
        "# TYPE advisor_accelerator_busy_ratio gauge",
        "# UNIT advisor_accelerator_busy_ratio ratio",
        f"# HELP advisor_accelerator_busy_ratio {BUSY}",
        f"advisor_accelerator_busy_ratio{{{who}}} 0.5",
        "# TYPE advisor_accelerator_busy_ratio_max gauge",
        f"# HELP advisor_accelerator_busy_ratio_max {BUSY}: max of the readings",
        f"advisor_accelerator_busy_ratio_max{{{who}}} 1.0",
        "# TYPE advisor_accelerator_busy_ratio_min gauge",
        f"# HELP advisor_accelerator_busy_ratio_min {BUSY}: min of the readings",
        f"advisor_accelerator_busy_ratio_min{{{who}}} 0.25",
        "# TYPE advisor_accelerator_energy_joules counter",
        "# UNIT advisor_accelerator_energy_joules joules",
        "# HELP advisor_accelerator_energy_joules energy since the driver was loaded",
        f"advisor_accelerator_energy_joules_total{{{who}}} 123456.5",
        "# TYPE advisor_accelerator_power_watts gauge",
        "# UNIT advisor_accelerator_power_watts watts",
        "# HELP advisor_accelerator_power_watts electrical power",
        f"advisor_accelerator_power_watts{{{who}}} 350.0",
        "# TYPE advisor_accelerator_power_watts_max gauge",
        "# HELP advisor_accelerator_power_watts_max electrical power: max of the readings",
        f"advisor_accelerator_power_watts_max{{{who}}} 410.0",
        "# TYPE advisor_accelerator_power_watts_min gauge",
        "# HELP advisor_accelerator_power_watts_min electrical power: min of the readings",
        f"advisor_accelerator_power_watts_min{{{who}}} 200.0",
        "# TYPE advisor_agent_newest_row_timestamp_seconds gauge",
        "# UNIT advisor_agent_newest_row_timestamp_seconds seconds",
        "# HELP advisor_agent_newest_row_timestamp_seconds end of the newest row of a source, since 1970",
        'advisor_agent_newest_row_timestamp_seconds{host="node-1",source="nvml"} 1800000000.0',
        "# TYPE advisor_agent_up gauge",
        "# HELP advisor_agent_up whether a source has a fresh row of any target",
        'advisor_agent_up{host="node-1",source="nvml"} 1.0',
        "# EOF",
    ]


def test_a_row_of_an_engine():
    """An engine has its own labels, and its histogram the bounds that it has there."""
    who = 'endpoint="http://127.0.0.1:8000/metrics",engine="vllm",host="node-1"'
    lines = samples(page_after(engine_row()))
    assert [line for line in lines if line.startswith("advisor_engine")] == [
        f'advisor_engine_generated_tokens_total{{{who},model="llama",rank="0"}} 900.0',
        f'advisor_engine_requests_running{{{who},model="llama",rank="0"}} 2.5',
        f'advisor_engine_requests_running_last{{{who},model="llama",rank="0"}} 4.0',
        f'advisor_engine_requests_running_max{{{who},model="llama",rank="0"}} 4.0',
        f'advisor_engine_requests_running_min{{{who},model="llama",rank="0"}} 1.0',
        f'advisor_engine_ttft_seconds_bucket{{{who},le="0.1",model="llama",rank="0"}} 3.0',
        f'advisor_engine_ttft_seconds_bucket{{{who},le="1.0",model="llama",rank="0"}} 5.0',
        f'advisor_engine_ttft_seconds_bucket{{{who},le="+Inf",model="llama",rank="0"}} 6.0',
        f'advisor_engine_ttft_seconds_count{{{who},model="llama",rank="0"}} 6.0',
        f'advisor_engine_ttft_seconds_sum{{{who},model="llama",rank="0"}} 4.25',
    ]


def test_each_family_stands_once():
    """The samples of a family stand together under one set of metadata, however many targets there are."""
    lines = page_after(gpu_row(), gpu_row(target=MIG), engine_row())
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert [line for line in lines if 'mig="2"' in line]


def test_a_gap_takes_its_target_off_the_page():
    """A target that is not read any more disappears; the others stay."""
    lines = samples(page_after(gpu_row(), gpu_row(target=MIG), gap()))
    assert not [line for line in lines if 'uuid="GPU-0"' in line]
    assert [line for line in lines if 'uuid="MIG-7"' in line]
    assert 'advisor_agent_up{host="node-1",source="nvml"} 1.0' in lines


def test_a_target_comes_back_after_its_gap():
    """A newer row puts a target on the page again."""
    lines = samples(page_after(gpu_row(), gap(), gap(end_us=END_US + 2 * ROW_US), gpu_row(END_US + 3 * ROW_US)))
    assert [line for line in lines if 'uuid="GPU-0"' in line]


@pytest.mark.parametrize(
    ("silent", "left"),
    [
        (Target("node-1", "nvml", None), {"vllm"}),
        (Target("node-1", "engines", None, endpoint=ENGINE.endpoint), {"nvml"}),
        (Target("node-2", "nvml", None), {"nvml", "vllm"}),
    ],
    ids=["a source", "an endpoint", "another host"],
)
def test_a_gap_of_everything_that_a_source_reads(silent, left):
    """A source or an endpoint that does not answer at all takes all of its targets off the page."""
    lines = samples(page_after(gpu_row(), gpu_row(target=MIG), engine_row(), gap(silent)))
    up = {name for name in ("nvml", "vllm") if f'advisor_agent_up{{host="node-1",source="{name}"}} 1.0' in lines}
    assert up == left


def test_a_row_of_a_minute_ago_says_nothing_about_now():
    """When rows stop coming, values end and the source is down, without any gap being told."""
    assert samples(page_after(gpu_row(), now_us=END_US + 61_000_000)) == [
        'advisor_agent_newest_row_timestamp_seconds{host="node-1",source="nvml"} 1800000000.0',
        'advisor_agent_up{host="node-1",source="nvml"} 0.0',
    ]


def test_a_clock_that_was_set_back_does_not_freeze_the_page():
    """The newest row to arrive is shown, though the one before it is of a later time."""
    hour_us = 240 * ROW_US
    lines = samples(page_after(gpu_row(busy=0.75), gpu_row(END_US - hour_us, busy=0.5), now_us=END_US - hour_us))
    assert any(line.startswith("advisor_accelerator_busy_ratio{") and line.endswith(" 0.5") for line in lines)
    only_old = samples(page_after(gpu_row(busy=0.75), now_us=END_US - hour_us))
    assert 'advisor_agent_up{host="node-1",source="nvml"} 0.0' in only_old
    assert not any(line.startswith("advisor_accelerator_") for line in only_old)


def test_names_that_change_do_not_fill_the_memory():
    """Rows of ever new targets are bounded while nobody looks at the page."""
    page = page_after(*(gpu_row(target=replace(GPU, uuid=f"GPU-{number}")) for number in range(3000)))
    assert sum(line.startswith("advisor_accelerator_busy_ratio{") for line in samples(page)) == 2048


def test_nothing_from_outside_can_change_the_page():
    """Quotes, backslashes and line ends of a name stay within its label."""
    target = replace(GPU, name='a"b\\c\nd 1\nevil 1\r\u2028')
    lines = samples(page_after(gpu_row(target=target)))
    assert all(line.startswith("advisor_") for line in lines)
    assert 'product="a\\"b\\\\c\\nd 1\\nevil 1 \u2028"' in lines[0]


def test_no_rows_give_an_empty_page():
    """Before the first row the page is valid and has no samples."""
    assert page_after() == ["# EOF"]


def test_every_metric_can_be_shown():
    """No metric's name breaks the rules of OpenMetrics for units, counters and histograms."""
    stats = {
        n: counter(1) if m.kind is Kind.COUNTER else gauge(1, 2, 3)
        for n, m in METRICS.items()
        if m.kind is not Kind.HISTOGRAM
    }
    buckets = {n: Buckets((1.0, float("inf")), (1, 2), 3) for n, m in METRICS.items() if m.kind is Kind.HISTOGRAM}
    lines = page_after(Row(GPU, END_US, stats, buckets))
    for line in lines:
        if line.startswith("# UNIT "):
            _, _, name, unit = line.split(" ")
            assert name.endswith(f"_{unit}")
    assert all(" NaN" not in line for line in lines)
