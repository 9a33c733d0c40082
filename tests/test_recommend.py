"""``advisor recommend`` as a user meets it: real input, bad input, nothing feasible."""

import json
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
FOREST = Path(__file__).parent / "models/files/made/forest.skops"

CHAT = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16, fp8]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand:
  declared: {requests_per_second: 12, input_tokens: 800, output_tokens: 200}
providers: [aws]
regions: [us-east-1]
"""


def write(tmp_path, text=CHAT, **replacements) -> Path:
    """A workload file with some of its lines replaced."""
    lines = text.splitlines()
    for key, value in replacements.items():
        lines = [line for line in lines if not line.startswith(f"{key}:")] + [f"{key}: {value}"]
    path = tmp_path / "workload.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("example", ["chat", "code", "embedding", "gpu-samples", "trees"])
def test_the_examples_give_what_they_show(example, run_advisor, golden):
    """Each example's expected output is what the program prints."""
    done = run_advisor("recommend", EXAMPLES / example / "workload.yaml")

    assert done.returncode == 0, done.stderr
    golden(EXAMPLES / example / "expected.txt", done.stdout)


@pytest.mark.sampled(2)
def test_json_goes_to_a_file_and_markdown_to_stdout(tmp_path, run_advisor):
    """Both formats carry the recommendation; only the named file is written."""
    work = write(tmp_path)

    saved = run_advisor("recommend", work, "--format", "json", "-o", tmp_path / "plan.json")
    shown = run_advisor("recommend", work, "--format", "markdown")

    plan = json.loads((tmp_path / "plan.json").read_text())
    assert saved.stdout == ""
    assert plan["fleet"]["groups"][0]["instance_type"] in shown.stdout
    assert f"${plan['fleet']['cost']['total_usd_per_month']:,.2f} a month" in shown.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "workload.yaml"]


@pytest.mark.sampled(2)
def test_holds_and_trusted_prices_are_part_of_the_plan(tmp_path, run_advisor):
    """Keys of the file and the flag stand in the plan, and the fleet is of what is held."""
    work = write(tmp_path, accelerators="[L4]", exclude="{instance_types: [g6.xlarge]}")

    listed = json.loads(run_advisor("recommend", work, "--format", "json", "--listed-only").stdout)
    plan = json.loads(run_advisor("recommend", work, "--format", "json").stdout)

    assert plan["workload"]["accelerators"] == ["L4"]
    assert plan["workload"]["exclude"]["instance_types"] == ["g6.xlarge"]
    assert (plan["workload"]["listed_only"], listed["workload"]["listed_only"]) == (False, True)
    assert len(listed["options"]) <= len(plan["options"])
    assert {group["accelerator"] for group in plan["fleet"]["groups"]} == {"L4"}
    assert "g6.xlarge" not in {one["instance_type"] for one in (*plan["options"], *plan["rejected"])}


@pytest.mark.sampled(2)
def test_a_local_config_is_a_model(tmp_path, run_advisor):
    """A config.json beside the workload plans like the catalogued model it describes."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    named = json.loads(run_advisor("recommend", write(tmp_path), "--format", "json").stdout)
    local = json.loads(run_advisor("recommend", write(tmp_path, model="./config.json"), "--format", "json").stdout)

    for key in ("instance_type", "region", "precision", "instances", "cost"):
        assert local["recommended"][key] == named["recommended"][key]


@pytest.mark.sampled(4)
def test_every_variant_is_kept_on_request(tmp_path, run_advisor):
    """``--all`` keeps each precision and parallelism, ranked."""
    work = write(tmp_path)
    best = json.loads(run_advisor("recommend", work, "--format", "json").stdout)
    every = json.loads(run_advisor("recommend", work, "--all", "--format", "json").stdout)

    assert len(every["options"]) > len(best["options"])
    assert every["recommended"] == best["recommended"]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "meta-llama/Llama-3.1-8B-Instrukt"}, "Llama-3.1-8B-Instruct"),
        ({"model": "./nowhere/config.json"}, "nowhere"),
        ({"model": "google-bert/bert-base-uncased"}, "generates no tokens: its answer comes whole"),
        ({"model": "t5-3b"}, "`advisor predict` knows its samples a second"),
        ({"model": str(FOREST)}, "treelite.sklearn.import_model(model)"),
        ({"regions": "[us-east-11]"}, "did you mean us-east-1"),
        ({"providers": "[awz]"}, "did you mean aws"),
        ({"context_tokens": "10000000"}, "more than the 131,072"),
        ({"context_tokens": "100"}, "100 tokens hold no request: a mean one has 1,000"),
        ({"current": "{provider: aws, region: us-east-1, instance_type: p4d.24xlargo, count: 1}"}, "p4d.24xlarge"),
        (
            {"current": "{provider: aws, region: af-south-1, instance_type: p4d.24xlarge, count: 1}"},
            "no on demand price",
        ),
        ({"slo": "{ttft: 1s}"}, "did you mean ttft_p95"),
        ({"demand": "{trace: nowhere.csv}"}, "nowhere.csv"),
        ({"demand": "{samples: {path: nowhere, input_tokens: 1, output_tokens: 1}}"}, "nowhere"),
    ],
)
def test_what_the_user_can_mend_exits_1(tmp_path, run_advisor, change, expected):
    """A wrong name or path is one plain error, exit code 1, and no traceback."""
    text = (
        CHAT
        if "demand" not in change
        else CHAT.replace("demand:\n  declared: {requests_per_second: 12, input_tokens: 800, output_tokens: 200}\n", "")
    )
    done = run_advisor("recommend", write(tmp_path, text, **change))

    assert done.returncode == 1, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("change", "relax"),
    [
        ({"slo": "{ttft_p95: 1ms}"}, "relax slo.ttft_p95"),
        ({"slo": "{tpot_p95: 1ms}"}, "relax slo.tpot_p95"),
        ({"limits": "{max_usd_per_month: 1}"}, "raise limits.max_usd_per_month"),
        (
            {
                "limits": "{max_replicas: 1}",
                "demand": "{declared: {requests_per_second: 900, input_tokens: 800, output_tokens: 200}}",
            },
            "raise limits.max_replicas",
        ),
    ],
)
def test_nothing_feasible_exits_4_with_what_to_relax(tmp_path, run_advisor, change, relax):
    """When nothing serves, the limit to relax and up to three near misses are named."""
    text = (
        CHAT
        if "demand" not in change
        else CHAT.replace("demand:\n  declared: {requests_per_second: 12, input_tokens: 800, output_tokens: 200}\n", "")
    )
    work = write(tmp_path, text, **change)
    done = run_advisor("recommend", work)
    plan = json.loads(run_advisor("recommend", work, "--format", "json").stdout)

    assert done.returncode == 4
    assert relax in done.stderr
    assert plan["fleet"] is None
    assert plan["recommended"] is None
    assert 1 <= len(plan["nearest_misses"]) <= 3


@pytest.mark.sampled(3)
def test_a_previous_plan_is_what_runs(tmp_path, run_advisor):
    """With ``--previous`` the same question keeps the same instances, and a changed one says what changes."""
    work, previous = write(tmp_path), tmp_path / "plan.json"
    run_advisor("recommend", work, "--format", "json", "-o", previous)
    busier = CHAT.replace("requests_per_second: 12", "requests_per_second: 60")

    same = run_advisor("recommend", work, "--previous", previous)
    other = run_advisor("recommend", write(tmp_path, busier), "--previous", previous, "--format", "json")

    assert "against the previous plan: the same instances" in same.stdout
    plan = json.loads(other.stdout)
    assert re.match(r"against the previous plan: .* (added|removed|from \d+ to \d+)", plan["notes"][0])
    assert plan["workload"]["running"]


def test_a_previous_plan_that_is_none_is_refused(tmp_path, run_advisor):
    """A file that is no plan is an error that says how to make one."""
    (tmp_path / "old.json").write_text("{}")
    done = run_advisor("recommend", write(tmp_path), "--previous", tmp_path / "old.json")

    assert done.returncode == 1
    assert "old.json" in done.stderr


def test_limits_that_exclude_each_other_exit_4_and_are_named(tmp_path, run_advisor):
    """Where no fleet keeps to all limits, the conflict and the smallest change that helps are the hint."""
    done = run_advisor("recommend", write(tmp_path, limits="{zones: 3, max_kw: 0.2}"))

    assert done.returncode == 4
    assert "No fleet keeps to limits." in done.stderr
    assert "raise limits.max_kw from 0.2 to" in done.stderr


def test_an_unwritable_output_loses_nothing(tmp_path, run_advisor):
    """An output that cannot be written is said; the file that was there stays."""
    done = run_advisor("recommend", write(tmp_path), "-o", tmp_path / "no" / "plan.json")

    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_wrong_usage_exits_2(run_advisor):
    """An unknown option or command is wrong usage."""
    assert run_advisor("recommend", "--fromat", "json").returncode == 2
    assert run_advisor("recomend").returncode == 2


def test_help_and_version_need_no_catalog(run_advisor):
    """The first things a user types answer at once."""
    assert run_advisor("--version").stdout.startswith("advisor, version ")
    assert "recommend" in run_advisor("--help").stdout


def test_terraform_is_written_beside_the_plan(tmp_path, run_advisor):
    """``--terraform DIR`` writes the stack of the recommended option."""
    done = run_advisor("recommend", write(tmp_path), "--terraform", tmp_path / "infra")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "infra" / "versions.tf").exists()


def test_published_weights_come_first_in_layouts_that_others_outdo(tmp_path, run_advisor):
    """The same machines hold in bf16 at TP 4, which TP 2 outdoes by the closed form: fp8 would save seven dollars."""
    workload = tmp_path / "workload.yaml"
    workload.write_text(
        "name: code\nmodel: Qwen/Qwen3-32B\nprecisions: [bf16, fp8]\nslo: {ttft_p95: 2s, tpot_p95: 60ms}\n"
        f"demand: {{summary: {EXAMPLES / 'code/demand.json'}, horizon: 90d}}\n"
        "providers: [aws]\nregions: [us-west-2]\npurchase: [on_demand, spot]\n"
        "limits: {min_replicas: 2, zones: 2, survive: instance}\ninstance_types: [p6-b300.48xlarge]\n"
    )
    plan = tmp_path / "plan.json"
    done = run_advisor("recommend", str(workload), "--format", "json", "-o", str(plan))
    asked = run_advisor("explain", str(plan), "--what-if", "precisions=bf16", "--format", "json")

    assert done.returncode == asked.returncode == 0, done.stderr + asked.stderr
    fleet, alone = json.loads(plan.read_text())["fleet"], json.loads(asked.stdout)["what_if"]["after"]
    assert [group["precision"] for group in fleet["groups"]] == ["bf16"]
    assert fleet["cost"]["total_usd_per_month"] == alone["total_usd_per_month"]
