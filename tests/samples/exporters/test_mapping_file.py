"""A user's own names: a file of three columns and more, for servers and for the agent's engine pages."""

import json

import numpy as np
import pytest

from advisor.demand.monitored import Monitored, engine_demand
from advisor.demand.services import Wanted
from advisor.errors import InputError
from advisor.samples.exporters import FILE_VARIABLE, shipped, table_with
from advisor.samples.query import Accelerator, Window
from advisor.samples.query.prometheus import PrometheusBackend, PrometheusEndpoint
from advisor.samples.sources.engines import EngineSource
from samples.query.conftest import prometheus_url, server_url, victoria_metrics_url
from samples.query.fleets import END_US, MIB, points, times
from samples.query.remote_writing import write
from services.scripted import always, answer, scripted

__all__ = ["prometheus_url", "server_url", "victoria_metrics_url"]
WINDOW = Window(END_US - 3_600_000_000, END_US)


def mapping(folder, *lines, header="metric,name,unit"):
    """A file with these rows."""
    path = folder / "names.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return path


def test_names_of_ones_own_on_a_server(server_url, tmp_path):
    """Names, units and labels of a file become ours, before those that are shipped."""
    path = mapping(
        tmp_path,
        "busy_ratio,my_gpu_load,percent,ours,,box,slot,serial",
        "memory_used_bytes,my_gpu_mem,MiB,ours,kind=used|held,box,slot,serial",
        header="metric,name,unit,exporter,only,host,index,uuid",
    )
    end_us = times(WINDOW, 15)
    labels = {"box": "node-z", "slot": "3", "serial": "S-9", "fleet": "own-names"}
    series = {"my_gpu_load": ({}, 42.0), "my_gpu_mem": ({"kind": "used"}, 100.0)}
    write(server_url, [
        ({"__name__": name, **labels, **more}, points(end_us, [value] * len(end_us)))
        for name, (more, value) in series.items()
    ])  # fmt: skip
    asked = PrometheusBackend(PrometheusEndpoint.of(server_url, environment={}), 'fleet="own-names"', metrics=path)
    found = list(asked.summaries(["busy_ratio", "memory_used_bytes"], WINDOW))
    assert {one.accelerator for one in found} == {Accelerator("node-z", 3, None, "S-9", None)}
    assert [one.mean for one in found] == pytest.approx([0.42, 100 * MIB])
    assert "busy_ratio is my_gpu_load of ours" in asked.notes()


def test_demand_by_names_of_ones_own(victoria_metrics_url, tmp_path):
    """A workload's file of names and its window count together: requests and tokens of an engine that nobody knows."""
    path = mapping(
        tmp_path,
        "requests_finished,shop_requests_total,requests,shop,model",
        "prompt_tokens,shop_read_total,tokens,shop,model",
        "generated_tokens,shop_written_total,tokens,shop,model",
        header="metric,name,unit,exporter,product",
    )
    end_us = times(WINDOW, 15)
    labels = {"instance": "10.0.0.1:80", "model": "llama", "fleet": "own-engine"}
    write(victoria_metrics_url, [
        ({"__name__": f"shop_{name}_total", **labels}, points(end_us, np.arange(len(end_us)) * each))
        for name, each in (("requests", 15.0), ("read", 9000.0), ("written", 1500.0))
    ])  # fmt: skip
    access = PrometheusEndpoint.of(victoria_metrics_url, environment={})
    until = END_US / 1e6
    server = Monitored.between(access, 14, until - 1800, until, 'fleet="own-engine"', path)
    demand = engine_demand(server, Wanted("llama", "the server", "demand.prometheus"))
    assert demand.source.startswith("shop metrics at")
    assert len(demand.profile.requests_per_minute) == pytest.approx(30, abs=1)
    assert demand.requests_per_second.mean == pytest.approx(1.0, rel=1e-6)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((600, 100), rel=1e-6)


def test_the_command_line_takes_the_file(victoria_metrics_url, tmp_path, run_advisor):
    """`samples summary --metrics FILE` reads a server by its names."""
    path = mapping(tmp_path, "busy_ratio,load_of_my_gpu,percent")
    end_us = times(Window(WINDOW.start_us, END_US), 15)
    write(victoria_metrics_url, [
        ({"__name__": "load_of_my_gpu", "instance": "cli-host"}, points(end_us, [50.0] * len(end_us)))
    ])  # fmt: skip
    done = run_advisor("samples", "summary", victoria_metrics_url, "--metrics", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if row["host"] == "cli-host"]
    assert [(row["metric"], row["mean"]) for row in rows] == [("busy_ratio", 0.5)]


def test_an_engine_of_ones_own_on_a_page(tmp_path, monkeypatch):
    """The agent reads a page by the file that the environment names; milliseconds become seconds."""
    path = mapping(
        tmp_path,
        "requests_running,shop_inflight,requests,,model",
        "ttft_seconds,shop_first_token_ms,ms,,model",
        header="metric,name,unit,exporter,product",
    )
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    page = (
        'shop_inflight{model="llama"} 4\nshop_first_token_ms_bucket{model="llama",le="500"} 2\n'
        'shop_first_token_ms_bucket{model="llama",le="+Inf"} 2\nshop_first_token_ms_sum{model="llama"} 600\n'
        'shop_first_token_ms_count{model="llama"} 2\n'
    )
    with scripted(always(answer(page))) as server:
        source = EngineSource("host", [server.url])
        (reading,) = source.read()
        source.close()
    assert (reading.target.source, reading.target.name, reading.values) == (
        "custom_engine",
        "llama",
        {"requests_running": 4},
    )
    assert reading.buckets["ttft_seconds"].bounds[0] == 0.5
    assert reading.buckets["ttft_seconds"].total == 0.6


def test_names_that_look_alike_on_a_page():
    """A page with nothing that is known names what looks as if it were meant."""
    with scripted(always(answer("my_vllm:num_requests_running 3\nprocess_cpu_seconds_total 3\n"))) as server:
        source = EngineSource("host", [server.url])
        (missed,) = source.read()
        source.close()
    assert missed.reason.startswith("its page has no metrics of a serving engine that is known here; names there")
    assert "look alike: my_vllm:num_requests_running; map them" in missed.reason


def test_a_further_name_for_a_known_exporter(tmp_path):
    """A row for an exporter of the table takes its labels, and stands before its other names."""
    table = shipped().with_file(
        mapping(tmp_path, "busy_ratio,DCGM_FI_MINE,ratio,dcgm", header="metric,name,unit,exporter")
    )
    first = table.names["busy_ratio"][0]
    assert (first.name, first.exporter) == ("DCGM_FI_MINE", table.exporters["dcgm"])


@pytest.mark.parametrize(
    ("lines", "header", "where", "message", "hint"),
    [
        (["busy_ratio,x,furlongs"], None, ":2: unit", "'furlongs' is not known", "one of ratio, percent"),
        (["busy_ratio,x,percent", "power_watts,y,MiB"], None, ":3: unit", "'MiB' is not known", "one of W, mW, kW"),
        (["load,x,percent"], None, ":2: metric", "'load' is not known", "memory_total_bytes, memory_used_bytes"),
        (["busy_ratio,,percent"], None, ":2: name", "the cell is empty", "the name that the server has"),
        (["busy_ratio,x,percent,9"], None, ":2", "4 cells where the header has 3", "quote a cell"),
        (["busy_ratio,x"], None, ":2", "2 cells where the header has 3", "quote a cell"),
        (["busy_ratio,x,percent,9"], "metric,name,unit,colour", ":2: colour", "no such column", "one of metric, name"),
        (["x,percent"], "name,unit", ":2: metric", "there is no such column", "needed are metric, name, unit"),
        (["busy_ratio,x,percent,a"], "metric,name,unit,only", ":2: only", "'a' is not a condition", "label=one|other"),
        (["busy_ratio,x,percent,vllm"], "metric,name,unit,exporter", ":2: exporter", "vllm shows engines", "another"),
        (["busy_ratio,x,percent,odd"], "metric,name,unit,trait", ":2: trait", "'odd' is not known", "two_scales"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_sense(tmp_path, lines, header, where, message, hint):
    """The error names file, line and column, and what is allowed there."""
    path = mapping(tmp_path, *lines, **({"header": header} if header else {}))
    with pytest.raises(InputError, match=message) as caught:
        table_with(path)
    assert caught.value.where.startswith(f"{path}{where}")
    assert hint in (caught.value.hint or "")


def test_a_bad_file_of_the_agent_is_said(tmp_path, monkeypatch):
    """The source does not start with a file that it cannot understand."""
    monkeypatch.setenv(FILE_VARIABLE, str(mapping(tmp_path, "requests_running,x,furlongs")))
    with pytest.raises(InputError, match="furlongs"):
        EngineSource("host", ["http://127.0.0.1:9"])
