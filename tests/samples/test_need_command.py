"""`advisor samples need` as a program, and what `advisor recommend` makes of the same samples."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.demand_sources import measure_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.workload.document import read_workload
from advisor.workload.measured_demand import Recorded
from samples.engine_building import engine_rows
from samples.records import row
from samples.stores import store

ROOT = Path(__file__).parents[2]
GIB = 1024**3
MINUTES = 10


def need(*arguments):
    """Run `advisor samples need`."""
    command = [sys.executable, "-m", "advisor", "samples", "need", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)


def served_store(directory, model="a-model"):
    """Ten minutes of an accelerator with time to spare, whose engine uses a fifth of its KV cache."""
    memory = {"memory_used_bytes": 36 * GIB, "memory_total_bytes": 40 * GIB}
    store(directory, [row(number, busy_ratio=0.4, **memory) for number in range(1, MINUTES * 4 + 1)])
    engine_rows(directory, [
        (15 * row, {"kv_cache_used_ratio": 0.1, "kv_cache_used_ratio_max": 0.2, "requests_running": 2.0,
                    "requests_waiting": 0.0, "requests_finished": 30.0 * row, "prompt_tokens": 21_000.0 * row,
                    "generated_tokens": 3_000.0 * row})
        for row in range(1, MINUTES * 4 + 1)
    ], model=model)  # fmt: skip


def test_engines_without_accelerators_have_no_table(tmp_path):
    """The reason stands where the table would, whatever becomes of stderr; JSON has an empty list."""
    engine_rows(tmp_path, [(15, {"requests_running": 2.0})])
    result = need(tmp_path)

    assert (result.returncode, result.stdout) == (
        0,
        "no accelerators have samples here, so there is nothing to judge\n",
    )
    assert json.loads(need(tmp_path, "--format", "json").stdout) == []


def test_the_need_is_a_number_where_the_model_is_stated(tmp_path):
    """Weights of an 8B model in bf16 take 15 GiB of the 36 held; with a fifth of the pool used about 20 would do."""
    served_store(tmp_path)
    result = need(tmp_path, "--model", "meta-llama/Llama-3.1-8B-Instruct", "--precision", "bf16", "--format", "json")
    assert result.returncode == 0, result.stderr
    (one,) = json.loads(result.stdout)
    assert (one["host"], one["accelerator"], one["verdict"]) == ("host-a", 0, "within_limits")
    assert one["held_gib"] == 36
    assert 15 < one["need_low_gib"] <= one["need_gib"] <= one["need_high_gib"] < 23
    assert (one["kv_p95"], one["kv_max"], one["queue_p95"]) == (0.1, 0.2, 0)
    assert one["busy_p95"] == pytest.approx(0.4)
    assert one["sm_active_p95"] is None
    assert "80% of the KV cache is never used" in one["advice"]
    assert one["compared"]["working_busy_p95"]["limit"] == 0.8


def test_the_need_is_an_interval_where_it_is_not(tmp_path):
    """Without the model the table gives the edges, a dash for the number, and what to state."""
    served_store(tmp_path)
    lines = need(tmp_path).stdout.splitlines()
    assert lines[2].split() == [
        "host-a", "0", "within", "limits", "-", "3.6", "36.0", "36.0", "10%", "0.0", "40%", "-", "-", "-", "100.0%",
    ]  # fmt: skip
    assert lines[-1].endswith("80% of the KV cache is never used: state the model, to say how much memory would do")


def test_more_accelerators_than_the_load_needs_are_oversized_by_a_number(tmp_path):
    """Eight at 17 % on average and 50 % at p95: five would do at 80 % use, of each of which the JSON says so too."""
    records = [
        row(number, index, busy_ratio=0.5 if number % 10 == 0 else 0.13)
        for index in range(8)
        for number in range(1, 41)
    ]
    store(tmp_path, records)

    assert need(tmp_path).stdout.splitlines()[-1] == (
        "- oversized: 8 × NVIDIA H100 (host-a) busy 50% at p95; 5 would do at 80% use"
    )
    entries = json.loads(need(tmp_path, "--format", "json").stdout)
    assert [entry["oversized"] for entry in entries] == [{"accelerators": 8, "enough": 5}] * 8


def test_an_unknown_model_is_named(tmp_path):
    """A model that is not in the catalog ends with exit 1 and no traceback."""
    served_store(tmp_path)
    result = need(tmp_path, "--model", "no-such-model")
    assert result.returncode == 1
    assert "no-such-model" in result.stderr
    assert "Traceback" not in result.stderr


def demand_of(directory, **changes):
    """The demand of the example's workload over other samples."""
    workload = read_workload(ROOT / "examples/gpu-samples/workload.yaml")
    workload = replace(workload, demand=replace(workload.demand, places=(str(directory),), **changes))
    return measure_demand(workload, find_model(workload.model_reference), load_catalog(), shipped_model())


def test_a_plan_takes_its_demand_from_the_engines_counters(tmp_path):
    """Two requests a second of 700 and 100 tokens were counted: that is planned for, whatever was stated."""
    served_store(tmp_path)
    demand = demand_of(tmp_path)
    assert demand.requests_per_second.mean == pytest.approx(2.0)
    assert (demand.tokens.mean_input_tokens(), demand.tokens.mean_output_tokens()) == pytest.approx((700, 100))
    assert demand.source == "counters of the serving engines"
    assert any("requests_per_day (400,000) is not used: the engines counted 172,800 a day" in n for n in demand.notes)
    assert "what limits the accelerators now: 1 within limits" in demand.notes


def test_without_engines_a_plan_says_how_wide_the_demand_may_be(tmp_path):
    """Busy accelerators alone give the upper bound that is planned for, and the interval beside it."""
    shutil.copytree(ROOT / "examples/gpu-samples/samples", tmp_path, dirs_exist_ok=True)
    demand = demand_of(tmp_path, requests_per_day=None)
    rate, interval = demand.requests_per_second, demand.interval
    assert (interval.mean_high, interval.peak_high) == pytest.approx((rate.mean, rate.peak))
    assert 0 < interval.mean_low < interval.mean_high
    assert any(note.startswith(f"accelerators alone allow {interval.words()}") for note in demand.notes)


def test_a_volume_without_a_deployment_needs_none():
    """The stated volume is planned for; the busiest minute has the range of comparable services."""
    workload = read_workload(ROOT / "examples/gpu-samples/workload.yaml")
    workload = replace(workload, current=None)
    demand = measure_demand(workload, find_model(workload.model_reference), load_catalog(), shipped_model())
    rate, interval = demand.requests_per_second, demand.interval
    assert rate.mean == pytest.approx(400_000 / 86_400)
    assert interval.mean_low == interval.mean_high == pytest.approx(rate.mean)
    assert rate.mean < interval.peak_low < rate.peak < interval.peak_high


def test_hosts_and_times_narrow_what_counts(tmp_path):
    """One host of two, and a part of the time; what leaves nothing names the hosts that are there."""
    served_store(tmp_path)
    demand = demand_of(tmp_path, hosts=("host-*",))
    assert demand.requests_per_second.mean == pytest.approx(2.0)
    half = demand_of(tmp_path, recorded=Recorded(until_seconds=demand.profile.start_seconds + 120))
    assert len(half.profile.requests_per_minute) < len(demand.profile.requests_per_minute)
    with pytest.raises(InputError, match="no sample of those hosts in that time") as caught:
        demand_of(tmp_path, hosts=("other",))
    assert re.search(r"host-a.*, \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", caught.value.hint)


def test_engines_alone_make_a_plan(tmp_path):
    """Where only engines were watched, no accelerator is missed and no length has to be stated."""
    served_store(tmp_path)
    accelerators = [path for path in tmp_path.rglob("*.parquet") if not path.name.startswith("engines-")]
    assert accelerators
    for path in accelerators:
        path.unlink()
    demand = demand_of(tmp_path, input_tokens=None, output_tokens=None)
    assert demand.requests_per_second.mean == pytest.approx(2.0)


def test_another_models_engines_make_no_plan(tmp_path, run_advisor):
    """A workload for one model over engines that serve another: exit 1, the rates of what is there, and a remedy."""
    served_store(tmp_path / "samples", model="Qwen/Qwen3-32B")
    workload = tmp_path / "chat.yaml"
    text = (ROOT / "examples/gpu-samples/workload.yaml").read_text()
    workload.write_text(text.replace("path: samples,", "path: samples, model: meta-llama/Llama-3.1-8B-Instruct,"))
    done = run_advisor("recommend", workload)
    assert done.returncode == 1
    assert "they serve Qwen/Qwen3-32B (2 requests/s)" in done.stderr
    assert (
        "hint: if one of them is this workload's model, write its name as `model` under demand.samples" in done.stderr
    )
