"""Language models on processors: rates of the table against the runs that it was not made of, and what follows."""

import statistics
from dataclasses import replace

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.catalog.processors import read_processor_peaks
from advisor.data_files import data_dir
from advisor.models import find_model, serving_shape, weight_bytes
from advisor.models.weights import loaded_by
from advisor.performance import Deployment
from advisor.performance.constants import Weights, least_seconds, speed_of
from advisor.performance.deployments import pack
from advisor.performance.model import shipped_model
from advisor.performance.physics import decode_step_seconds, prefill_seconds
from advisor.performance.setups import Abstention, Setup, resolve
from advisor.questions.predict import answer_rows
from advisor.tables import read_records

CATALOG = load_catalog()
MODEL = shipped_model()
PEAKS = {peak.generation: peak for peak in read_processor_peaks(data_dir("instance_catalog"))}
ROWS = list(read_records(data_dir("instance_catalog") / "processor_measurements.csv"))
BEHIND = 192.0
"""Tokens behind an answer, and before it, on average: runs of 128 of each."""
PROMPT = 128.0


def shape_of(name):
    """Shape of a catalogued model, or of the sizes that stand in its place."""
    if "/" in name:
        return serving_shape(find_model(name))
    layers, hidden, width, heads, kv_heads, vocab = map(int, name.split("x"))
    head = hidden // heads
    body = layers * (2 * hidden * hidden + 2 * hidden * head * kv_heads + 3 * hidden * width)
    total = body + 2 * vocab * hidden
    like = serving_shape(find_model("meta-llama/Meta-Llama-3-8B"))
    return replace(
        like, params_total=total, params_active=total, n_layers=layers, hidden=hidden, vocab=vocab, n_heads=heads,
        n_kv_heads=kv_heads, kv_elements_per_token=2 * layers * head * kv_heads, attention_width=layers * hidden,
    )  # fmt: skip


def predicted(row):
    """Tokens a second of a run."""
    peak, cores = PEAKS[row.text("generation")], row.number("cores")
    cores_of = replace(
        CATALOG.accelerator("L4"), name="cores of a machine", vendor="cpu", architecture=peak.generation,
        memory_bandwidth_gb_per_second=cores * peak.memory_gb_per_second_per_core,
    )  # fmt: skip
    deployment = Deployment(
        shape_of(row.text("model")), cores_of, row.number("weights_gb") * 1e9, "bf16", 2.0, 40e9, "llama.cpp server"
    )
    packed = pack([deployment], MODEL.calibration.constants)
    r, c, count = packed.replicas, packed.constants, row.number("sequences")
    if row.text("quantity") == "prompt":
        return PROMPT / float(prefill_seconds(r, c, np.array([PROMPT]))[0])
    return count / float(decode_step_seconds(r, c, np.array([count]), BEHIND)[0])


def errors(quantity, kept):
    """Predicted over measured, less one, of the runs that the rates were not made of."""
    rows = [row for row in ROWS if row.text("fitted") == "no" and row.text("quantity") == quantity and kept(row)]
    return [predicted(row) / row.number("tokens_per_second") - 1 for row in rows]


def is_whole(row):
    """Whether as many cores worked as share the memory."""
    return row.number("cores") >= 32 or row.text("generation") == "Cascade Lake"


@pytest.mark.parametrize(
    ("quantity", "kept", "count", "median", "worst"),
    [
        ("prompt", lambda row: row.number("cores") > 1, 18, 0.16, 0.80),
        ("decode", is_whole, 17, 0.18, 0.80),
    ],
    ids=["prompts", "answers of whole machines"],
)
def test_runs_that_were_held_out_are_predicted(quantity, kept, count, median, worst):
    """Half within 18 %, the worst (kernels of 2023, and of 6 bit on Neoverse N2) within a factor of 1.8."""
    found = errors(quantity, kept)
    assert len(found) == count
    assert statistics.median(map(abs, found)) < median
    assert max(map(abs, found)) < worst


def test_few_cores_of_a_large_machine_are_predicted_too_slow_and_never_too_fast():
    """Their neighbours left them more than their share of the memory, which nobody is sold."""
    found = errors("decode", lambda row: not is_whole(row) and row.number("cores") > 1)
    assert len(found) == 13
    assert max(found) < 0
    assert min(found) > -0.75


def test_batches_of_our_own_runs_grow_as_predicted():
    """Sixteen sequences over one on one core, whose memory has no neighbours: the model of 1.2 billion was held out."""
    for quantisation in ("Q4_K_M", "Q8_0", "F16"):
        by_count = {
            int(row.number("sequences")): row
            for row in ROWS
            if row.text("model").startswith("16x") and row.text("quantity") == "decode"
            if row.text("quantisation") == quantisation
        }
        measured = by_count[16].number("tokens_per_second") / by_count[8].number("tokens_per_second")
        told = predicted(by_count[16]) / predicted(by_count[8])
        assert 0.5 < told / measured < 1.5


def test_speed_follows_cores_generation_and_width_of_the_weights():
    """More cores and fewer bits are faster; every generation that is sold has its rates."""
    machines = {name: CATALOG.cpu_instances["aws", name] for name in ("c7g.2xlarge", "c7g.4xlarge")}
    small, large = (
        resolve(Setup("Qwen/Qwen3-0.6B", name, 1, precision="int4"), CATALOG).deployment.accelerator
        for name in machines
    )
    assert speed_of(large, 4.8).flops == pytest.approx(2 * speed_of(small, 4.8).flops)
    assert speed_of(large, 4.8).bytes_per_second == pytest.approx(2 * speed_of(small, 4.8).bytes_per_second)
    for generation in PEAKS:
        for bits in (4.8, 8.5, 16.0):
            speed = speed_of(replace(small, architecture=generation), bits)
            assert 0 < speed.few_flops <= speed.flops


def test_processors_answer_questions_about_language_models_with_llama_cpp_alone():
    """With an interval of what no accelerator taught; another engine is told."""
    row = {"model": "Qwen/Qwen3-0.6B", "accelerator": "c8g.4xlarge", "accelerator_count": "1", "precision": "int4"}
    row |= {"input_tokens": "200", "output_tokens": "100", "concurrency": "4", "scenario": "fixed_concurrency"}
    answers = answer_rows([row, row | {"engine": "llama.cpp"}, row | {"engine": "vLLM"}], CATALOG, MODEL)
    tpot = answers.value["tpot_ms"]
    assert tpot[0] == tpot[1]
    assert answers.low["tpot_ms"][0] < tpot[0] < answers.high["tpot_ms"][0]
    assert answers.evidence[0] == "roofline"
    assert answers.reason[2] == "language models are predicted on processors with llama.cpp server, not with vLLM"
    assert isinstance(resolve(Setup("Qwen/Qwen3-32B", "c8g.2xlarge", 1, precision="bf16"), CATALOG), Abstention)


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_no_machine_takes_less_than_the_bound(precision):
    """Seconds of a request on the cores of each generation, with as many requests a step as there are slots."""
    model = find_model("Qwen/Qwen2.5-1.5B-Instruct")
    used = weight_bytes(loaded_by(model, "llama.cpp server", precision), precision)
    weights = Weights(used, model.parameters_active)
    least = least_seconds(weights, 300.0, 100.0, cores=64, slots=16)
    for peak in PEAKS.values():
        machine = replace(
            CATALOG.accelerator("L4"), vendor="cpu", architecture=peak.generation,
            memory_bandwidth_gb_per_second=64 * peak.memory_gb_per_second_per_core,
        )  # fmt: skip
        speed, flop = speed_of(machine, weights.bits), 2 * weights.parameters
        step = max(used / (16 * speed.bytes_per_second), flop / speed.few_flops)
        assert 300 * flop / speed.flops + 100 * step >= 0.999 * least
    assert least_seconds(weights, 300.0, 100.0, cores=32, slots=16) == pytest.approx(2 * least, rel=0.01)
