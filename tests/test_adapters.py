"""LoRA adapters from the workload file to the plan: rejections with two numbers, memory, speed, changed questions."""

import json
import re
import shlex
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.models import find_model
from advisor.models.adapters import adapter_engine, rank_bytes, with_adapters
from advisor.models.model import Adapters
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_question, recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import what_if
from advisor.plan.request import read_question
from advisor.units import BYTES_PER_MIB

BASE = """name: tunes
model: {model}
precisions: [bf16, fp8]
slo: {{ttft_p95: 1s, tpot_p95: 50ms}}
demand: {{declared: {{requests_per_second: 6, input_tokens: 800, output_tokens: 200}}}}
providers: [{provider}]
accelerators: [{accelerators}]
as_of: 2026-11-24
"""
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def plan(tmp_path, adapters="", model=LLAMA, provider="aws", accelerators="L40S", more="regions: [us-east-1]\n"):
    """The plan of a workload with adapters."""
    text = BASE.format(model=model, provider=provider, accelerators=accelerators) + more
    (tmp_path / "workload.yaml").write_text(text + (f"adapters: {adapters}\n" if adapters else ""))
    return recommend(tmp_path / "workload.yaml")


def refused(plan, code):
    """Rejections of a code."""
    return [rejection for rejection in plan.rejected if rejection.code == code]


def test_adapters_take_memory_time_and_disk(tmp_path):
    """Of the plan without any, and fewer active ones cost no less."""
    alone, few, many = (
        plan(tmp_path, text) for text in ("", "{count: 24, rank: 16}", "{count: 24, rank: 16, active: 4}")
    )

    assert alone.recommended.adapters_gib == 0
    assert few.recommended.adapters_gib == pytest.approx(24 * 0.0860, rel=0.01)
    assert many.recommended.adapters_gib == pytest.approx(4 * 0.0860, rel=0.01)
    assert few.recommended.checkpoint_gib - alone.recommended.checkpoint_gib == pytest.approx(24 * 0.0781, rel=0.01)
    costs = [found.fleet.cost.total_usd_per_month for found in (alone, few, many)]
    assert costs == sorted(costs)
    assert any("24 LoRA adapters of rank 16 are served on one base, all of them on" in note for note in few.notes)
    single = plan(tmp_path, "{count: 1, rank: 16}")
    assert "1 LoRA adapter of rank 16 is served on one base, on the accelerators at all times" in single.notes
    assert any("4 of them on the accelerators at a time: 83% of the requests wait" in note for note in many.notes)
    assert few.recommended.evidence == "roofline"
    assert alone.token_apis
    assert few.token_apis == ()
    assert "adapters" not in alone.workload
    assert few.workload["adapters"]["bytes"] == 24 * 2 * 41_943_040


def test_cached_prompts_are_said_to_be_of_each_adapter(tmp_path):
    """Prefix caches are not shared between adapters."""
    text = BASE.format(model=LLAMA, provider="aws", accelerators="L40S").replace(
        "output_tokens: 200}}", "output_tokens: 200}, prefix_cache_hit_ratio: 0.5}"
    )
    (tmp_path / "workload.yaml").write_text(text + "regions: [us-east-1]\nadapters: {count: 3, rank: 16}\n")

    assert any("prefix caches are not shared" in note for note in recommend(tmp_path / "workload.yaml").notes)


def test_slots_without_room_are_rejected_with_both_numbers(tmp_path):
    """400 adapters of rank 64 on 48 GB: GiB of their slots against GiB that are left for them."""
    rejection, *_ = refused(plan(tmp_path, "{count: 400, rank: 64}"), "adapters_memory")

    assert rejection.unit == "GiB"
    assert rejection.needed > rejection.available > 0
    assert f"slots for 400 adapters take {rejection.needed:.1f} GiB" in rejection.message
    assert "fewer adapters.active take less" in rejection.message


def test_a_rank_beyond_the_engine_is_rejected_with_both(tmp_path):
    """VLLM is started for ranks up to 512; SGLang takes any, and is taken."""
    found = plan(tmp_path, "{count: 2, rank: 600}", more="regions: [us-east-1]\nengines: [vLLM]\n")
    rejection, *_ = refused(found, "adapters_unsupported")

    assert (rejection.needed, rejection.available, rejection.unit) == (600, 512, "rank")
    assert plan(tmp_path, "{count: 2, rank: 600}").recommended.engine == "SGLang"


@pytest.mark.parametrize(
    ("provider", "accelerators", "words"),
    [("gcp", "TPU-v6e", "PyTorch alone"), ("aws", "Inferentia2", "JSON file")],
)
def test_accelerators_without_adapters_say_why(tmp_path, provider, accelerators, words):
    """Whatever their engine does with the base."""
    found = plan(tmp_path, "{count: 2, rank: 16}", provider=provider, accelerators=accelerators, more="")

    assert found.fleet is None
    assert any(words in rejection.message for rejection in refused(found, "adapters_unsupported"))


def test_an_engine_without_names_for_adapters_is_not_planned(tmp_path):
    """TensorRT-LLM alone leaves nothing."""
    found = plan(tmp_path, "{count: 2, rank: 16}", more="regions: [us-east-1]\nengines: [TensorRT-LLM]\n")

    assert found.fleet is None
    assert any("trtllm-serve" in rejection.message for rejection in refused(found, "adapters_unsupported"))


def test_llama_cpp_is_not_planned_with_adapters(tmp_path):
    """It would serve the base alone; vLLM is planned where it may be."""
    found = plan(tmp_path, "{count: 2, rank: 16}", more="regions: [us-east-1]\nengines: [llama.cpp server]\n")
    beside = plan(tmp_path, "{count: 2, rank: 16}", more="regions: [us-east-1]\nengines: [llama.cpp server, vLLM]\n")

    assert found.fleet is None
    for refusing in (found, beside):
        assert any("--lora" in rejection.message for rejection in refused(refusing, "adapters_unsupported"))
    assert beside.recommended.engine == "vLLM"


@pytest.mark.parametrize(
    ("model", "words"),
    [("BAAI/bge-m3", "answers in one pass"), ("deepseek-ai/DeepSeek-V3", "latent attention")],
)
def test_models_without_adapters_are_refused_at_the_line(tmp_path, model, words):
    """With a remedy."""
    text = f"name: a\nmodel: {model}\nproviders: [aws]\nadapters: {{count: 2, rank: 16}}\n"
    asked = "input_tokens: 512" if "bge" in model else "input_tokens: 512, output_tokens: 10"
    (tmp_path / "workload.yaml").write_text(text + f"demand: {{declared: {{requests_per_second: 2, {asked}}}}}\n")
    with pytest.raises(InputError, match=words) as found:
        recommend(tmp_path / "workload.yaml")
    assert ":4: adapters" in found.value.where
    assert "merge" in found.value.hint


def adapter_folder(tmp_path, base=LLAMA):
    """A folder as PEFT writes it."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    config = {"base_model_name_or_path": base, "peft_type": "LORA", "r": 32}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_an_adapter_of_another_base_is_refused(tmp_path):
    """With both names."""
    adapter_folder(tmp_path, "Qwen/Qwen3-8B")
    with pytest.raises(InputError, match="trained on Qwen/Qwen3-8B, and the model is meta-llama") as found:
        plan(tmp_path, "[{path: tuned}]")
    assert "model: Qwen/Qwen3-8B" in found.value.hint


@pytest.mark.parametrize("name", [LLAMA, LLAMA.lower()])
def test_an_adapter_that_is_the_model_is_refused(tmp_path, name):
    """Both would answer by one name, and its files are no adapter's."""
    with pytest.raises(InputError, match="is the model itself") as found:
        plan(tmp_path, f"[{{id: {name}, rank: 16}}]")
    assert "give the adapter's own name" in found.value.hint


@pytest.mark.parametrize("named", ["./tuned", "./tuned/adapter_config.json"])
def test_a_model_that_is_an_adapter_is_planned_as_its_base(tmp_path, named):
    """With this one adapter."""
    adapter_folder(tmp_path)
    found = plan(tmp_path, model=named)

    assert found.workload["model"] == LLAMA
    assert found.workload["adapters"]["named"] == [{"id": "tuned", "rank": 32, "on_hub": False}]


def test_an_adapter_as_model_beside_others_is_refused(tmp_path):
    """None of them is dropped unseen."""
    adapter_folder(tmp_path)
    with pytest.raises(InputError, match="model is an adapter itself") as found:
        plan(tmp_path, "{count: 2, rank: 16}", model="./tuned")
    assert f"model: {LLAMA}" in found.value.hint


def test_the_plan_reads_back_and_is_asked_otherwise(tmp_path):
    """The question holds the adapters; fewer and more of them are other questions."""
    made = plan_from_json(plan_to_json(plan(tmp_path, "{count: 24, rank: 16, active: 4}")))
    question = read_question(made.question)

    def slots_gib(text):
        changed, catalog, _ = what_if(question, load_catalog(), text)
        return plan_question(changed, catalog, model=shipped_model()).recommended.adapters_gib

    assert slots_gib("adapters.active=8") == pytest.approx(2 * made.recommended.adapters_gib, rel=1e-3)
    assert slots_gib("adapters.active=none") == pytest.approx(6 * made.recommended.adapters_gib, rel=1e-3)
    assert slots_gib("adapters.rank=32") == pytest.approx(2 * made.recommended.adapters_gib, rel=1e-3)
    assert slots_gib("adapters.count=none") == 0
    with pytest.raises(InputError, match="cannot be active"):
        slots_gib("adapters.count=2")


def test_the_page_is_what_the_program_does(tmp_path, run_advisor):
    """The workload of docs/adapters.md is planned, asked otherwise and written as code by the commands that it shows."""
    page = (Path(__file__).parents[1] / "docs" / "adapters.md").read_text()
    text = re.search(r"<!-- plan -->\n```yaml\n(.*?)```", page, re.DOTALL)[1]
    commands = re.search(r"```sh\n(advisor recommend.*?)```", page, re.DOTALL)[1].splitlines()
    (tmp_path / "workload.yaml").write_text(text)
    printed = {}
    for command in commands:
        words = shlex.split(command)[1:]
        done = run_advisor(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed[words[0]] = done.stdout

    assert "If adapters.active were 2 (now 3)" in printed["explain"]
    assert "adapters_gib" in printed["fit"]
    assert '"sql-lora=acme/sql-lora"' in (tmp_path / "infra" / "fleet.tf").read_text()
    adapters = Adapters(8, 16, active=8)
    assert Adapters(24, 16, active=8).most_sequences == 9
    assert "8 slots for 24 equally requested adapters allow 9 concurrent requests" in page
    slot = rank_bytes(with_adapters(find_model(LLAMA), adapters), adapter_engine("vLLM"), 1) / 8 / BYTES_PER_MIB
    assert f"({slot:.0f} MiB in this example)" in page
