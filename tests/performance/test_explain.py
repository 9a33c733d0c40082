"""``advisor predict --explain``: terms that add up to the numbers, and words for what they rest on."""

import json

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.performance import Scenario
from advisor.performance.constants import TABLE
from advisor.performance.model import shipped_model
from advisor.questions.predict import answer_rows, explain_row

QUESTION = {
    "model": "meta-llama/Meta-Llama-3.1-8B", "accelerator": "H100-SXM", "precision": "fp8",
    "input_tokens": "1024", "output_tokens": "256",
}  # fmt: skip
ASKED = {
    "few users": {"concurrency": "16"},
    "more than fit": {"concurrency": "5000", "input_tokens": "8000"},
    "batch": {"concurrency": "64", "scenario": "fixed_batch"},
    "saturated": {"scenario": "saturated"},
    "one stream": {"scenario": "single_stream"},
    "no prompt": {"scenario": "single_stream", "input_tokens": ""},
    "replicas": {"concurrency": "64", "accelerator_count": "4", "tensor_parallel": "2"},
    "drafts": {"concurrency": "16", "draft_tokens": "3", "draft_acceptance": "0.7"},
    "cached prompts in chunks": {"concurrency": "16", "prefix_cache_hit_ratio": "0.5", "max_batched_tokens": "256"},
    "experts apart": {
        "model": "deepseek-ai/DeepSeek-R1", "accelerator": "H200", "accelerator_count": "8", "data_parallel": "8",
        "tensor_parallel": "1", "expert_parallel": "8", "concurrency": "64",
    },
    "llama.cpp": {"engine": "llama.cpp", "precision": "q4_k_m", "scenario": "single_stream"},
}  # fmt: skip


def explained(**changes):
    """The terms of a question's answer."""
    return explain_row(QUESTION | changes, load_catalog(), shipped_model())


@pytest.mark.parametrize("changes", ASKED.values(), ids=ASKED.keys())
def test_the_terms_add_up_to_the_printed_numbers(changes):
    """Sum of the terms × learned factor is TPOT, and TTFT where there is one, to a thousandth; no term is negative."""
    answers = answer_rows([QUESTION | changes], load_catalog())
    assert answers.reason == [""]
    found = explained(**changes)
    assert found.tpot.value_ms == pytest.approx(answers.value["tpot_ms"][0], rel=1e-3)
    ttft = found.ttft.value_ms if found.ttft else np.nan
    assert ttft == pytest.approx(answers.value["ttft_ms"][0], rel=1e-3, nan_ok=True)
    assert all(part > 0 for terms in (found.tpot, found.ttft) if terms for part in terms.terms_ms.values())
    assert found.evidence == answers.evidence[0]


def test_terms_name_what_the_time_is_spent_on():
    """A lone request reads weights; with many users their prompts add to each token, and waiting to the first one."""
    alone, many = explained(concurrency="1"), explained(**ASKED["more than fit"])
    assert max(alone.tpot.terms_ms, key=alone.tpot.terms_ms.get) == "weights"
    assert "prefill of others" not in alone.tpot.terms_ms
    assert many.tpot.terms_ms["prefill of others"] > 0
    assert max(many.ttft.terms_ms, key=many.ttft.terms_ms.get) == "waiting for a place"
    assert many.batch < many.users == 5000
    assert "messages" in explained(concurrency="1", accelerator_count="2").tpot.terms_ms


def test_replicas_share_the_users():
    """64 users on two replicas are 32 each."""
    assert explained(**ASKED["replicas"]).users == 32


def test_speculation_is_shown():
    """Three drafted tokens with acceptance 0.7 yield (1 - 0.7⁴) ÷ 0.3 = 2.533 tokens a step."""
    found = explained(**ASKED["drafts"])
    assert found.tokens_per_step == pytest.approx(2.533, rel=1e-3)
    assert "speculation: not measured" in found.measured


@pytest.mark.parametrize("scenario", list(Scenario))
def test_it_says_what_was_measured(scenario):
    """Of a set-up that was not measured, which of accelerator and family was."""
    unseen = explained(concurrency="16", scenario=scenario, accelerator="B300")
    assert "accelerator B300: not measured; family llama3: measured" in unseen.measured
    assert unseen.evidence == "roofline"
    assert "this set-up under such a load: not measured" in unseen.measured


def test_a_measured_set_up_names_the_measured_loads():
    """Llama-3.3-70B in fp8 on two H100s is among the published measurements."""
    found = explained(
        model="meta-llama/Llama-3.3-70B-Instruct", accelerator_count="2", engine="NVIDIA NIM (TensorRT-LLM)",
        input_tokens="5000", output_tokens="500", concurrency="5",
    )  # fmt: skip
    assert found.evidence == "measured"
    assert "on 2 × H100-SXM, trtllm fp8/8, was measured with concurrency 1 to" in found.measured


@pytest.mark.parametrize(
    "changes",
    [{"model": "resnet50-v1.5", "concurrency": "8"}, {"concurrency": "16", "input_tokens": "999999"}],
    ids=["one pass", "no answer"],
)
def test_without_a_token_time_there_are_no_terms(changes):
    """A model that answers in one pass, and a question without an answer, have nothing to take apart."""
    assert explained(**changes) is None


OPTIONS = [word for name, cell in QUESTION.items() for word in (f"--{name.replace('_', '-')}", cell)]


def test_the_command_prints_them(run_advisor):
    """Terms with shares that add up, factors, what was measured and every constant with its unit come after the numbers."""
    done = run_advisor("predict", *OPTIONS, "--concurrency", "16", "--explain")
    assert done.returncode == 0, done.stderr
    numbers, terms = done.stdout.split("\n\n")
    assert "tpot_ms" in numbers
    for word in (
        "weights",
        "prefill of others",
        "steps of others",
        "× learned",
        "measured",
        *(row.name for row in TABLE),
    ):
        assert word in terms
    lines = terms.split("ttft_ms")[0].splitlines()
    assert sum(float(line.split()[-1].rstrip("%")) for line in lines if line.endswith("%")) == pytest.approx(
        100, abs=0.5
    )


def test_the_key_of_the_json(run_advisor):
    """The same for programs; null where there are no terms, and absent unless asked for."""
    done = run_advisor("predict", *OPTIONS, "--concurrency", "16", "--explain", "--format", "json")
    found = json.loads(done.stdout)
    explained_ms = sum(found["explain"]["tpot"]["terms_ms"].values()) * found["explain"]["tpot"]["learned"]
    assert explained_ms == pytest.approx(found["tpot_ms"], rel=1e-3)
    assert set(found["explain"]["constants"]) == {row.name for row in TABLE}
    vision = ("predict", "--model", "resnet50-v1.5", "--accelerator", "T4", "--format", "json")
    assert json.loads(run_advisor(*vision, "--explain").stdout)["explain"] is None
    assert "explain" not in json.loads(run_advisor(*vision).stdout)


def test_a_table_is_not_explained(run_advisor, tmp_path):
    """Terms are those of one question: beside a file of them the option is wrong usage."""
    path = tmp_path / "rows.csv"
    path.write_text("model,accelerator\nresnet50-v1.5,T4\n")
    done = run_advisor("predict", "--batch", path, "--explain")
    assert done.returncode == 2
    assert "--explain" in done.stderr
