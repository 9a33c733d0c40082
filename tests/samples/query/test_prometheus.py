"""The same numbers from real servers as NumPy gives on the rows that were written to them."""

from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.query import Accelerator, Window
from advisor.samples.query.prometheus import PrometheusBackend, PrometheusEndpoint
from samples.query.fleets import (
    END_US,
    MIB,
    Exported,
    agent_fleet,
    dcgm_accelerator,
    dcgm_fleet,
    dcgm_labels,
    points,
    times,
    wave,
)
from samples.query.reference import Rows, assert_same, reference
from samples.query.remote_writing import write
from services import prometheus
from services.prometheus import running_prometheus

HOUR_US = 3_600_000_000
WINDOW = Window(END_US - 2 * HOUR_US, END_US)
_NUMBERS = count()
METRICS = ("memory_used_bytes", "busy_ratio", "sm_active_ratio", "power_watts")


def expected(exported, metrics, window, row_seconds):
    """Answers in the order of accelerator and metric."""
    by = {(rows.accelerator, rows.metric): rows for rows in exported.rows}
    accelerators = sorted({rows.accelerator for rows in exported.rows})
    return [
        answer for who in accelerators for metric in metrics
        if (who, metric) in by and (answer := reference(by[who, metric], window, row_seconds)) is not None
    ]  # fmt: skip


def backend(url, tag, **options):
    """A backend that sees one test's fleet."""
    return PrometheusBackend(PrometheusEndpoint.of(url, environment={}), f'fleet="{tag}"', **options)


@pytest.mark.parametrize("interval_s", [15.0, 30.0])
def test_a_fleet_under_dcgm_exporter(server_url, interval_s):
    """Quantiles, maximum, mean, rows and coverage of every accelerator and metric are those of the rows."""
    tag = f"dcgm{interval_s:.0f}"
    fleet = dcgm_fleet(tag, WINDOW, hosts=3, gpus=2, interval_s=interval_s)
    write(server_url, fleet.series)
    asked = backend(server_url, tag)
    assert_same(list(asked.summaries(METRICS, WINDOW)), expected(fleet, METRICS, WINDOW, interval_s))
    assert not any("at 0" in note for note in asked.notes())
    assert asked.accelerators(WINDOW) == sorted({rows.accelerator for rows in fleet.rows})
    assert set(METRICS) <= set(asked.metrics(WINDOW))
    assert f"dcgm-exporter is scraped every {interval_s:g} s; a row is one scrape" in asked.notes()


def test_rows_at_the_edges_of_a_window(server_url):
    """A row that ends at the window's start is not in it; one that ends at its end is."""
    fleet = agent_fleet("edges", WINDOW, hosts=2)
    write(server_url, fleet.series)
    for window in (
        WINDOW,
        Window(END_US - HOUR_US - 15_000_000, END_US - 15_000_000),
        Window(END_US - 30_000_000, END_US),
    ):
        assert_same(
            list(backend(server_url, "edges").summaries(["busy_ratio"], window)),
            expected(fleet, ["busy_ratio"], window, 15),
        )


def test_rows_of_the_agent_that_are_scraped_more_rarely(server_url):
    """Of rows that a server scrapes every minute, each scrape stands for a minute."""
    end_us = times(WINDOW, 60)
    labels = {"host": "rare", "accelerator": "2", "mig": "1", "uuid": "MIG-rare", "product": "A100", "fleet": "rare"}
    values = wave(4, len(end_us), 1e9, 9e9)
    write(server_url, [({"__name__": "advisor_accelerator_memory_used_bytes", **labels}, points(end_us, values))])
    rows = Rows(Accelerator("rare", 2, 1, "MIG-rare", "A100"), "memory_used_bytes", end_us, values)
    assert_same(
        list(backend(server_url, "rare").summaries(["memory_used_bytes"], WINDOW)), [reference(rows, WINDOW, 60)]
    )


def test_the_window_of_all_samples(server_url):
    """It begins a row before the first sample and ends with the last."""
    fleet = agent_fleet("whole", WINDOW, hosts=1)
    write(server_url, fleet.series)
    ends = fleet.rows[0].end_us
    assert backend(server_url, "whole").window() == Window(int(ends[0]) - 15_000_000, int(ends[-1]))
    assert backend(server_url, "nothing").window() is None


def test_labels_that_come_and_go(server_url):
    """An accelerator whose series changes with each pod is one accelerator, and its rows are counted once."""
    end_us = times(WINDOW, 15, offset_s=4)
    fleet = Exported()
    for gpu in range(2):
        values = np.round(wave(gpu, len(end_us), 0, 100))
        for part in range(4):
            mine = np.where(np.arange(len(end_us)) * 4 // len(end_us) == part, values, np.nan)
            labels = dcgm_labels("churn", 0, gpu, pod=f"llm-{part}", namespace="serving", container="engine")
            fleet.series.append(({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, points(end_us, mine)))
        fleet.rows.append(Rows(dcgm_accelerator("churn", 0, gpu), "busy_ratio", end_us, values * 0.01))
    write(server_url, fleet.series)
    asked = backend(server_url, "churn")
    assert_same(list(asked.summaries(["busy_ratio"], WINDOW)), expected(fleet, ["busy_ratio"], WINDOW, 15))
    assert any("was several series" in note for note in asked.notes())


def test_a_host_that_was_renamed(server_url):
    """An accelerator is its UUID: it stands under the newest name, with the rows of both."""
    end_us = times(WINDOW, 15)
    values = np.round(wave(5, len(end_us), 0, 100))
    is_old = np.arange(len(end_us)) < len(end_us) // 3
    series = []
    for name, mine in (("zeta.renamed", is_old), ("alpha.renamed", ~is_old)):
        labels = dcgm_labels("renamed", 0, 0) | {"Hostname": name}
        series.append(({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, points(end_us, np.where(mine, values, np.nan))))
    write(server_url, series)
    who = Accelerator("alpha.renamed", 0, None, "GPU-renamed-0-0", "NVIDIA H100 80GB HBM3")
    assert_same(
        list(backend(server_url, "renamed").summaries(["busy_ratio"], WINDOW)),
        [reference(Rows(who, "busy_ratio", end_us, values * 0.01), WINDOW, 15)],
    )


def test_numbers_and_names_that_change(server_url):
    """A GPU that gets another number and product name after a reboot is the one that its UUID says, with all its rows."""
    end_us = times(WINDOW, 15)
    values = np.round(wave(6, len(end_us), 0, 100))
    first = np.arange(len(end_us)) < len(end_us) // 2
    series = []
    for part, changed in (
        (first, {"gpu": "0", "modelName": "Tesla T4"}),
        (~first, {"gpu": "3", "modelName": "NVIDIA T4"}),
    ):
        labels = {**dcgm_labels("reboot", 0, 0), **changed}
        series.append(({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, points(end_us, np.where(part, values, np.nan))))
    write(server_url, series)
    (found,) = backend(server_url, "reboot").summaries(["busy_ratio"], WINDOW)
    rows = Rows(found.accelerator, "busy_ratio", end_us, values * 0.01)
    assert_same([found], [reference(rows, WINDOW, 15)])
    assert found.accelerator.uuid == "GPU-reboot-0-0"


def test_a_place_without_uuid_whose_port_changed(server_url):
    """Where no label holds a UUID an accelerator is its host and number, whatever port the exporter had."""
    end_us = times(WINDOW, 15)
    series, expected_rows = [], []
    for gpu in range(2):
        values = np.round(wave(gpu, len(end_us), 0, 100))
        first = np.arange(len(end_us)) < len(end_us) // 2
        for part, port in ((first, 9090), (~first, 9091)):
            labels = {"instance": f"bare:{port}", "gpu_index": str(gpu), "gpu_name": "H200", "fleet": "port"}
            series.append(
                ({"__name__": "all_smi_gpu_utilization", **labels}, points(end_us, np.where(part, values, np.nan)))
            )
        expected_rows.append(Rows(Accelerator("bare", gpu, None, None, "H200"), "busy_ratio", end_us, values * 0.01))
    write(server_url, series)
    found = list(backend(server_url, "port").summaries(["busy_ratio"], WINDOW))
    assert_same(found, [reference(rows, WINDOW, 15) for rows in expected_rows])


@pytest.mark.parametrize(
    ("tag", "values", "scale"),
    [
        ("percent", [0, 3, 55, 99], 0.01),
        ("ratio", [0.0, 0.03, 0.55, 0.99], 1.0),
        ("fullratio", [0.0, 0.25, 1.0, 1.0], 1.0),
        ("idle", [0, 0, 0, 0], 1.0),
        ("unclear", [0, 1, 1, 0], None),
    ],
)
def test_a_name_with_two_scales(server_url, tag, values, scale):
    """Its scale is told from the data and said; where the data do not say, the values are left out, not guessed."""
    end_us = times(WINDOW, 15)
    held = np.array([values[at // 7 % 4] for at in range(len(end_us))], dtype=float)
    labels = dcgm_labels(tag, 0, 0)
    used = {"__name__": "DCGM_FI_DEV_FB_USED", **labels}, points(end_us, held + 5)
    write(server_url, [({"__name__": "DCGM_FI_DEV_GPU_UTIL_RATIO", **labels}, points(end_us, held)), used])
    asked = backend(server_url, tag)
    found = list(asked.summaries(["busy_ratio"], WINDOW))
    if scale is None:
        assert found == []
        assert any(
            "whether its scale is 0..1 or 0..100 is not known" in note and f"node-0.{tag}" in note
            for note in asked.notes()
        )
    else:
        assert_same(
            found, [reference(Rows(dcgm_accelerator(tag, 0, 0), "busy_ratio", end_us, held * scale), WINDOW, 15)]
        )


def test_profiling_counters_that_are_stuck(server_url):
    """Counters at 0 on a busy accelerator are unknown and said to be; on an idle one they are 0."""
    end_us = times(WINDOW, 15)
    nothing = np.zeros(len(end_us))
    series = []
    for gpu, busy in ((0, 75.0), (1, 0.0)):
        labels = dcgm_labels("stuck", 0, gpu)
        for name, values in (
            ("DEV_GPU_UTIL", nothing + busy), ("PROF_SM_ACTIVE", nothing), ("PROF_PIPE_TENSOR_ACTIVE", nothing),
            ("PROF_GR_ENGINE_ACTIVE", nothing),
        ):  # fmt: skip
            series.append(({"__name__": f"DCGM_FI_{name}", **labels}, points(end_us, values)))
    write(server_url, series)
    asked = backend(server_url, "stuck")
    found = list(asked.summaries(["busy_ratio", "sm_active_ratio", "tensor_active_ratio"], WINDOW))
    assert [(one.accelerator.index, one.metric, one.max) for one in found] == [
        (0, "busy_ratio", 0.75), (1, "busy_ratio", 0.0), (1, "sm_active_ratio", 0.0), (1, "tensor_active_ratio", 0.0),
    ]  # fmt: skip
    assert any("PROF_SM_ACTIVE at 0 throughout while they were busy" in note for note in asked.notes())


def test_profiling_counters_that_are_stuck_for_a_part(server_url):
    """Figures of a counter that stood at 0 for a third of the time are given, with the warning that they are too low."""
    end_us = times(WINDOW, 15)
    is_stuck = np.arange(len(end_us)) < len(end_us) // 3
    labels = dcgm_labels("partly", 0, 0)
    write(server_url, [
        ({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, points(end_us, np.full(len(end_us), 80.0))),
        ({"__name__": "DCGM_FI_PROF_SM_ACTIVE", **labels}, points(end_us, np.where(is_stuck, 0.0, 0.6))),
    ])  # fmt: skip
    asked = backend(server_url, "partly")
    (found,) = asked.summaries(["sm_active_ratio"], WINDOW)
    assert found.p50 == 0.6
    assert any("SM_ACTIVE at 0 for a part of the time" in note for note in asked.notes())


def test_memory_in_all_is_the_sum_of_its_parts(server_url):
    """dcgm-exporter gives no total by default."""
    end_us = times(WINDOW, 15)
    used = np.round(wave(1, len(end_us), 10_000, 60_000))
    parts = {"USED": used, "FREE": 81_000 - used, "RESERVED": np.full(len(end_us), 559.0)}
    labels = dcgm_labels("parts", 0, 0)
    write(
        server_url,
        [({"__name__": f"DCGM_FI_DEV_FB_{part}", **labels}, points(end_us, each)) for part, each in parts.items()],
    )
    asked = backend(server_url, "parts")
    whole = Rows(dcgm_accelerator("parts", 0, 0), "memory_total_bytes", end_us, np.full(len(end_us), 81_559 * MIB))
    assert_same(list(asked.summaries(["memory_total_bytes"], WINDOW)), [reference(whole, WINDOW, 15)])
    assert "memory_total_bytes" in asked.metrics(WINDOW)


def test_mig_instances(server_url):
    """Instances of one accelerator are told apart by their number."""
    end_us = times(WINDOW, 15)
    fleet = Exported()
    for instance in (1, 2):
        values = wave(instance, len(end_us), 100, 9_000)
        labels = dcgm_labels("mig", 0, 0, GPU_I_ID=str(instance), GPU_I_PROFILE="1g.10gb")
        fleet.series.append(({"__name__": "DCGM_FI_DEV_FB_USED", **labels}, points(end_us, values)))
        who = Accelerator("node-0.mig", 0, instance, "GPU-mig-0-0", "NVIDIA H100 80GB HBM3")
        fleet.rows.append(Rows(who, "memory_used_bytes", end_us, values * MIB))
    write(server_url, fleet.series)
    assert_same(
        list(backend(server_url, "mig").summaries(["memory_used_bytes"], WINDOW)),
        expected(fleet, ["memory_used_bytes"], WINDOW, 15),
    )


def test_readings_that_only_repeat(server_url):
    """An exporter that reads every 30 s and is scraped every 15 s gives each reading twice, which is said."""
    end_us = times(WINDOW, 15)
    values = np.repeat(wave(3, len(end_us) // 2 + 1, 100, 600), 2)[: len(end_us)]
    write(server_url, [({"__name__": "DCGM_FI_DEV_POWER_USAGE", **dcgm_labels("twice", 0, 0)}, points(end_us, values))])
    asked = backend(server_url, "twice")
    assert len(list(asked.summaries(["power_watts"], WINDOW))) == 1
    assert any("holds each reading for 2 scrapes: it reads every 30 s" in note for note in asked.notes())


def test_hosts_are_asked_for_in_chunks_that_fit(server_url):
    """However few hosts are asked for at a time, the answer is the same."""
    fleet = dcgm_fleet("chunks", WINDOW, hosts=5, gpus=1)
    write(server_url, fleet.series)
    whole = list(backend(server_url, "chunks").summaries(METRICS, WINDOW))
    assert list(backend(server_url, "chunks", hosts_at_once=2).summaries(METRICS, WINDOW)) == whole
    assert_same(whole, expected(fleet, METRICS, WINDOW, 15))


@pytest.mark.parametrize(
    ("exporter", "labels", "series", "who", "values"),
    [
        (
            "nvidia_gpu_exporter", {"instance": "gpu-a:9835", "uuid": "df6e7a7c-7314-46f8-abc4-b88b36dcf3aa"},
            {"nvidia_smi_utilization_gpu_ratio": 0.42, "nvidia_smi_memory_used_bytes": 7e8, "nvidia_smi_power_draw_watts": 28.0},
            Accelerator("gpu-a", 3, None, "GPU-df6e7a7c-7314-46f8-abc4-b88b36dcf3aa", "Tesla T4"),
            {"busy_ratio": 0.42, "memory_used_bytes": 7e8, "power_watts": 28.0},
        ),
        (
            "the first nvidia_gpu_exporter", {"instance": "gpu-b:9445", "uuid": "GPU-b", "minor_number": "1", "name": "Tesla K80"},
            {"nvidia_gpu_duty_cycle": 42.0, "nvidia_gpu_memory_used_bytes": 7e8, "nvidia_gpu_power_usage_milliwatts": 28000.0},
            Accelerator("gpu-b", 1, None, "GPU-b", "Tesla K80"),
            {"busy_ratio": 0.42, "memory_used_bytes": 7e8, "power_watts": 28.0},
        ),
        (
            "nvitop-exporter", {"hostname": "10.1.2.3", "index": "2", "uuid": "GPU-c", "devicename": "A100"},
            {"gpu_utilization_Percentage": 42.0, "gpu_memory_used_MiB": 100.0, "gpu_power_usage_W": 28.0},
            Accelerator("10.1.2.3", 2, None, "GPU-c", "A100"),
            {"busy_ratio": 0.42, "memory_used_bytes": 100 * MIB, "power_watts": 28.0},
        ),
        (
            "all-smi", {"instance": "node-d", "gpu": "H200", "gpu_uuid": "GPU-d", "gpu_index": "5"},
            {"all_smi_gpu_utilization": 42.0, "all_smi_gpu_memory_used_bytes": 7e8, "all_smi_gpu_power_consumption_watts": 28.0},
            Accelerator("node-d", 5, None, "GPU-d", "H200"),
            {"busy_ratio": 0.42, "memory_used_bytes": 7e8, "power_watts": 28.0},
        ),
        (
            "the agent's engines",
            {"host": "node-e", "engine": "vllm", "endpoint": "http://127.0.0.1:8000/metrics", "rank": "1", "model": "llama"},
            {"advisor_engine_requests_waiting": 3.0},
            Accelerator("node-e", 1, None, "http://127.0.0.1:8000/metrics", "llama"),
            {"requests_waiting": 3.0},
        ),
        (
            "vLLM", {"instance": "10.0.0.9:8000", "engine": "0", "model_name": "llama"},
            {"vllm:num_requests_running": 7.0, "vllm:gpu_cache_usage_perc": 0.5},
            Accelerator("10.0.0.9", 0, None, "10.0.0.9:8000", "llama"),
            {"requests_running": 7.0, "kv_cache_used_ratio": 0.5},
        ),
    ],
)  # fmt: skip
def test_names_of_other_exporters(server_url, exporter, labels, series, who, values):
    """Names, units and labels of each exporter become ours."""
    tag = exporter.replace(" ", "-")
    end_us = times(WINDOW, 60)
    written = [
        ({"__name__": name, "fleet": tag, **labels}, points(end_us, np.full(len(end_us), value)))
        for name, value in series.items()
    ]
    if exporter == "nvidia_gpu_exporter":
        info = {"__name__": "nvidia_smi_gpu_info", "fleet": tag, **labels, "index": "3", "name": "Tesla T4"}
        written.append((info, points(end_us, np.ones(len(end_us)))))
    write(server_url, written)
    found = list(backend(server_url, tag).summaries(list(values), WINDOW))
    assert {one.accelerator for one in found} == {who}
    assert {one.metric: one.mean for one in found} == pytest.approx(values, rel=1e-9)


def test_two_exporters_on_one_accelerator(server_url):
    """The agent's own rows go before another exporter's, and what only that knows is taken from it."""
    end_us = times(WINDOW, 15)
    own = {"host": "both", "accelerator": "0", "uuid": "GPU-both", "product": "L4", "fleet": "both"}
    other = {
        "Hostname": "both-by-another-name",
        "gpu": "0",
        "UUID": "GPU-both",
        "modelName": "NVIDIA L4",
        "fleet": "both",
    }
    series = [
        ({"__name__": "advisor_accelerator_busy_ratio", **own}, points(end_us, np.full(len(end_us), 0.25))),
        ({"__name__": "DCGM_FI_DEV_GPU_UTIL", **other}, points(end_us, np.full(len(end_us), 99.0))),
        ({"__name__": "DCGM_FI_PROF_DRAM_ACTIVE", **other}, points(end_us, np.full(len(end_us), 0.5))),
    ]
    write(server_url, series)
    found = list(backend(server_url, "both").summaries(["busy_ratio", "dram_active_ratio"], WINDOW))
    assert [(one.accelerator.host, one.metric, one.mean) for one in found] == [
        ("both", "busy_ratio", 0.25), ("both", "dram_active_ratio", 0.5),
    ]  # fmt: skip


def test_a_real_limit_is_met_with_fewer_hosts(tmp_path):
    """A Prometheus that holds few samples at a time is asked for fewer hosts, and where one is too much its words are shown."""
    if prometheus.PROGRAM is None:
        pytest.skip(prometheus.ABSENT)
    fleet = dcgm_fleet("limit", WINDOW, hosts=6, gpus=2)
    longest = max(sum(WINDOW.start_us < at * 1000 <= END_US for at, _ in each) for _, each in fleet.series)
    for folder in ("few", "fewer"):
        (tmp_path / folder).mkdir()
    with running_prometheus(tmp_path / "fewer", out_of_order="100d", options=["--query.max-samples=300"]) as url:
        write(url, fleet.series)
        with pytest.raises(InputError, match="too many samples") as caught:
            list(backend(url, "limit").summaries(METRICS, WINDOW))
        assert "shorter window" in caught.value.hint
    with running_prometheus(
        tmp_path / "few", out_of_order="100d", options=[f"--query.max-samples={longest + 6}"]
    ) as url:
        write(url, fleet.series)
        asked = backend(url, "limit")
        assert_same(list(asked.summaries(METRICS, WINDOW)), expected(fleet, METRICS, WINDOW, 15))
        assert any("the server's limits allow" in note for note in asked.notes())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_give_the_same_on_both_servers(prometheus_url, victoria_metrics_url, data):
    """Whatever the values, the holes and the window, both servers say what NumPy says of the rows."""
    tag = f"any{next(_NUMBERS)}"
    end_us = times(WINDOW, 15, offset_s=data.draw(st.integers(0, 14_999)) / 1000)
    values = np.array(data.draw(st.lists(st.floats(0, 1e6), min_size=20, max_size=20)))
    held = values[np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 20, len(end_us))]
    is_known = np.random.default_rng(data.draw(st.integers(0, 99))).random(len(end_us)) < data.draw(st.floats(0.6, 1))
    minutes = data.draw(st.tuples(st.integers(0, 110), st.integers(10, 120)))
    window = Window(WINDOW.start_us + minutes[0] * 60_000_000, min(WINDOW.start_us + sum(minutes) * 60_000_000, END_US))
    rows = Rows(dcgm_accelerator(tag, 0, 0), "power_watts", end_us, np.where(is_known, held, np.nan))
    for url in (prometheus_url, victoria_metrics_url):
        write(url, [({"__name__": "DCGM_FI_DEV_POWER_USAGE", **dcgm_labels(tag, 0, 0)}, points(end_us, rows.mean))])
        assert_same(list(backend(url, tag).summaries(["power_watts"], window)), [reference(rows, window, 15)])
