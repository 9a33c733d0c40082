"""``advisor predict`` as a user runs it: one question, a table of them, and all that can be wrong with either."""

import csv
import io
import json
from dataclasses import replace

import pytest

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import load_catalog
from advisor.catalog.processors import with_processors
from advisor.cli.predict import predict_table
from advisor.demand.lengths import declared_demand
from advisor.demand.values import Pictures
from advisor.errors import InputError
from advisor.models.adapters import with_adapters
from advisor.models.catalog import find_model
from advisor.models.model import Adapters
from advisor.performance.groups import deployment_for, deployment_of
from advisor.performance.one_pass.serving import batching_of, replica_of
from advisor.performance.setups import QUANTITIES, Setup, resolve
from advisor.questions.predict import INPUT_COLUMNS, RESULT_COLUMNS, answer_rows, result_of
from advisor.requirements import require
from advisor.workload.closed_loop import demand_as_declared
from advisor.workload.kinds import UNITS
from advisor.workload.values import OnePassSize, Slo
from builders import workload

QUESTION = (
    "--model", "meta-llama/Meta-Llama-3.1-8B", "--accelerator", "H100-SXM", "--accelerator-count", "1",
    "--precision", "fp8", "--input-tokens", "1024", "--output-tokens", "256", "--concurrency", "16",
)  # fmt: skip
CATALOG = load_catalog()
HEADER = "id,model,accelerator,precision,input_tokens,output_tokens,concurrency"
GOOD = "a,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8,1024,256,16"


def answer(*rows, header=HEADER):
    """Rows of the answer to a small table."""
    return list(csv.DictReader(io.StringIO(predict_table("\n".join([header, *rows]) + "\n", "rows.csv"))))


def test_one_question_as_json(run_advisor):
    """The documented example answers with every result column, numbers as numbers."""
    done = run_advisor("predict", *QUESTION, "--format", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(RESULT_COLUMNS) <= set(result)
    assert 3 < result["tpot_ms"] < 20
    assert result["samples_per_second"] is None
    assert (result["concurrency"], result["input_tokens"]) == (16, 1024)
    assert (result["evidence"], result["reason"]) == ("calibrated", "")


def test_a_missing_number_has_a_reason():
    """TTFT of a saturated engine is that of its queue, TTFT of no prompt is none; where all is said there is no reason."""
    header = f"{HEADER},scenario"
    cells = "a,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8"
    rows = answer(f"{cells},1024,256,,saturated", f"{cells},,256,,single_stream", f"{cells},1024,256,4,", header=header)

    saturated, unprompted, whole = rows
    assert (saturated["ttft_ms"], bool(saturated["tpot_ms"])) == ("", True)
    assert saturated["reason"].startswith("ttft_ms: with a saturated engine the first token waits in a queue")
    assert (unprompted["ttft_ms"], unprompted["total_tokens_per_second"]) == ("", "")
    assert unprompted["reason"] == "ttft_ms and total_tokens_per_second need input_tokens"
    assert whole["reason"] == ""


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (QUESTION, {"ttft_ms", "tpot_ms", "output_tokens_per_second", "total_tokens_per_second"}),
        (("--model", "BAAI/bge-m3", "--accelerator", "L4", "--input-tokens", "200"), {"samples_per_second"}),
    ],
)
def test_a_table_shows_the_quantities_of_its_kind_of_model(run_advisor, options, shown):
    """Samples per second are of models that answer in one pass, and all other quantities of those that generate."""
    names = {line.split()[0] for line in run_advisor("predict", *options).stdout.splitlines()}
    assert names & set(QUANTITIES) == shown


def test_one_question_as_a_table(run_advisor):
    """Each number is shown with its range."""
    done = run_advisor("predict", *QUESTION)
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("tpot_ms"))
    assert " to " in line


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (("--model", "meta-llama/Meta-Llama-3.1-9B"), 1, "is not known"),
        (("--accelerator", "H1000"), 1, "unknown accelerator"),
        (("--precision", "fp7"), 1, "precision 'fp7' is not known"),
        (("--concurrency", "many"), 1, "concurrency: 'many' is not a number"),
        (("--accelerator-count", "0"), 1, "must be a whole number of at least 1"),
        (("--input-tokens", "-5"), 1, "input_tokens must not be negative"),
        (("--concurrency", "1e12"), 1, "concurrency must be at most 1,000,000,000: 1e12"),
        (("--draft-tokens", "3"), 1, "speculation needs draft_tokens and draft_acceptance"),
        (("--draft-tokens", "3", "--draft-acceptance", "1.5"), 1, "must be between 0 and 1"),
        (("--prefix-cache-hit-ratio", "1"), 1, "must be below 1"),
        (("--scenario", "rush"), 2, "Invalid value"),
        (("--batch", "rows.csv"), 2, "--batch takes everything from the file"),
    ],
    ids=[
        "model",
        "accelerator",
        "precision",
        "number",
        "count",
        "negative",
        "far",
        "draft",
        "acceptance",
        "hits",
        "scenario",
        "both",
    ],
)
def test_wrong_input_is_said_and_never_a_traceback(run_advisor, changes, code, message):
    """The exit code tells the user's slips from wrong usage."""
    done = run_advisor("predict", *QUESTION, *changes)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_keeps_its_columns_and_gains_the_results(run_advisor, tmp_path):
    """Input columns first, as they stand, also those that are not ours; results after them."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER},measured_by\n{GOOD},us\n")
    done = run_advisor("predict", "--batch", path, "-o", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert list(rows[0]) == [*HEADER.split(","), "measured_by", *RESULT_COLUMNS]
    assert rows[0]["measured_by"] == "us"
    assert float(rows[0]["ttft_ms_low"]) < float(rows[0]["ttft_ms"]) < float(rows[0]["ttft_ms_high"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,nobody/knows,H100-SXM,fp8,1024,256,16", "model 'nobody/knows' is not known"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H9000,fp8,1024,256,16", "unknown accelerator: 'H9000'"),
        ("b,meta-llama/Meta-Llama-3.1-8B,,fp8,1024,256,16", "accelerator is empty"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8,lots,256,16", "input_tokens: 'lots' is not a number"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8,nan,256,16", "input_tokens: 'nan' is not a finite number"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8,-1,256,16", "input_tokens must not be negative"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H100-SXM", "input_tokens and output_tokens are needed"),
        ("b,meta-llama/Meta-Llama-3.1-8B,H100-SXM,fp8,1024,256,16,17,18", "more cells than the header"),
    ],
    ids=["model", "accelerator", "empty", "no number", "nan", "negative", "short row", "long row"],
)
def test_one_bad_row_never_stops_the_rest(row, reason):
    """The bad row has a reason and no number; those around it are answered."""
    first, bad, last = answer(GOOD, row, GOOD)
    assert reason in bad["reason"]
    assert bad["tpot_ms"] == ""
    assert bad["evidence"] == "none"
    assert first["tpot_ms"] == last["tpot_ms"] != ""


@pytest.mark.parametrize(
    ("model", "accelerator", "count", "reason"),
    [
        ("meta-llama/Meta-Llama-3.1-8B", "Inferentia2", 2, ""),
        (
            "meta-llama/Meta-Llama-3.1-8B", "Inferentia2", 3,
            "tensor parallelism over 6 cores is not supported on Inferentia2, which has 1, 2, 4, 8, 24",
        ),
        ("meta-llama/Meta-Llama-3.1-70B", "Trainium1", 16, ""),
        (
            "Qwen/Qwen2.5-32B-Instruct", "Trainium1", 6,
            "tensor parallelism over 12 cores is not supported on Trainium1, which has 1, 2, 8, 16, 32",
        ),
        ("Qwen/Qwen2.5-32B-Instruct", "L40S", 5, "40 attention heads cannot be split over 5 accelerators"),
    ],
)  # fmt: skip
def test_a_degree_that_no_plan_has_is_not_predicted(model, accelerator, count, reason):
    """As `fit` refuses it: 5 divides 40 attention heads, and not the 8 key-value heads."""
    header = f"{HEADER},accelerator_count"
    (row,) = answer(f"a,{model},{accelerator},bf16,512,128,4,{count}", header=header)
    assert row["reason"] == reason
    assert (row["tpot_ms"] == "") is (reason != "")


def test_the_scenario_has_a_default():
    """With users it is a closed loop; without, the largest throughput, which has no time to first token."""
    closed, saturated = answer(GOOD, GOOD.removesuffix("16"))
    assert closed["ttft_ms"] != ""
    assert saturated["ttft_ms"] == ""
    assert float(saturated["output_tokens_per_second"]) > float(closed["output_tokens_per_second"])


def test_numbers_may_be_written_as_decimals():
    """Tables made by other programs say 8.0 where they mean 8."""
    row = "a,meta-llama/Meta-Llama-3.1-70B,H100-SXM,8.0,8.0,fp8,1024.0,256.0,16.0"
    header = "id,model,accelerator,accelerator_count,tensor_parallel,precision,input_tokens,output_tokens,concurrency"
    assert answer(row, header=header)[0]["reason"] == ""


def test_old_results_are_replaced():
    """Feeding an answer back in gives the same answer, without doubled columns."""
    text = predict_table(f"{HEADER}\n{GOOD}\n", "rows.csv")
    assert predict_table(text, "rows.csv") == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "the file is empty"), ("id,accelerator\na,T4\n", "column 'model' is missing"), (HEADER + "\n", "no rows")],
    ids=["empty", "missing column", "header only"],
)
def test_a_table_that_is_none_is_refused(text, message):
    """The error names the file and what is wrong with it."""
    with pytest.raises(InputError, match=message) as error:
        predict_table(text, "rows.csv")
    assert error.value.where.startswith("rows.csv")


def test_every_documented_column_is_an_input():
    """The columns of the command's documentation, in its order."""
    assert INPUT_COLUMNS == (
        "id", "model", "accelerator", "accelerator_count", "tensor_parallel", "pipeline_parallel", "expert_parallel",
        "data_parallel", "precision", "kv_precision", "engine", "engine_version", "scenario", "input_tokens",
        "output_tokens", "concurrency", "prefix_cache_hit_ratio", "max_batched_tokens", "draft_tokens",
        "draft_acceptance", "draft_model", "adapters", "adapter_rank", "images", "image_width", "image_height",
    )  # fmt: skip


def test_serving_features_are_columns_of_the_table():
    """Cached prompts answer sooner, drafts write faster, small steps answer later; empty cells change nothing."""
    columns = "prefix_cache_hit_ratio,max_batched_tokens,draft_tokens,draft_acceptance,draft_model"
    extras = (",,,,", "0.8,,,,", ",512,,,", ",,3,0.7,", ",,3,0.7,ngram", ",,2,0.7,Qwen/Qwen3-0.6B")
    rows = answer(*(f"{GOOD},{extra}" for extra in extras), header=f"{HEADER},{columns}")
    assert [row["reason"] for row in rows] == [""] * len(rows)
    plain, cached, chunked, drafted, looked_up, _ = rows
    assert float(plain["tpot_ms"]) == pytest.approx(float(answer(GOOD)[0]["tpot_ms"]), rel=1e-5)
    assert float(cached["ttft_ms"]) < float(plain["ttft_ms"]) < float(chunked["ttft_ms"])
    assert float(looked_up["tpot_ms"]) < float(drafted["tpot_ms"]) < float(plain["tpot_ms"])


def test_adapters_and_images_are_predicted_as_planned():
    """The deployments of a plan with the same adapters, and with the same images in its requests."""
    adapters = Adapters(8, 16)
    model = with_adapters(find_model("Qwen/Qwen3-8B"), adapters)
    own = resolve(Setup(model.name, "L40S", 1, adapters=adapters), CATALOG).deployment
    planned = deployment_of(candidate_on("g6e.xlarge", requirements_of(workload(model=model.name), model)), model)
    assert (own.adapters, own.max_sequences) == (planned.adapters, planned.max_sequences)
    assert own.adapters.count == 8

    shown = Pictures(2.0, 1024, 768)
    model = find_model("Qwen/Qwen2.5-VL-7B-Instruct")
    resolved = resolve(Setup(model.name, "L40S", 1, pictures=shown), CATALOG)
    size = OnePassSize(images=2, width=1024, height=768)
    work = workload(model=model.name)
    work = replace(work, demand=replace(work.demand, input_tokens=500, output_tokens=100, size=size))
    requirements = requirements_of(work, model)
    planned = deployment_for(candidate_on("g6e.xlarge", requirements), requirements)
    pictures = (resolved.deployment.picture_flop, resolved.deployment.picture_pixels)
    assert pictures == (planned.picture_flop, planned.picture_pixels)
    assert resolved.picture_tokens + 500 == requirements.demand.tokens.mean_input_tokens()


def requirements_of(work, model):
    """Requirements of a declared demand."""
    return require(work, model, demand_as_declared(work.demand, work, model), CATALOG)


def candidate_on(machine, requirements):
    """The candidate of one machine."""
    judged = judge_hardware(CATALOG.instance_type("aws", machine), requirements, CATALOG)
    return next(outcome for outcome in judged if isinstance(outcome, Candidate))


def test_adapters_and_images_take_time():
    """Columns of the table; half of what they need, an engine without adapters, and models without a tower say why."""
    columns = "adapters,adapter_rank,images,image_width,image_height"
    text, seeing = (f"a,{name},L40S,bf16,500,100,8" for name in ("Qwen/Qwen3-8B", "Qwen/Qwen2.5-VL-7B-Instruct"))
    rows = answer(
        f"{text},,,,,", f"{text},8,16,,,", f"{seeing},,,,,", f"{seeing},,,2,1024,768",
        f"{text},8,,,,", f"{seeing},,,2,,", f"{text},,,1,512,512", header=f"{HEADER},{columns}",
    )  # fmt: skip
    plain, adapted, blind, shown, *refused = rows
    assert float(adapted["tpot_ms"]) > float(plain["tpot_ms"])
    assert float(shown["ttft_ms"]) > 2 * float(blind["ttft_ms"])
    assert float(shown["ttft_ms_high"]) / float(shown["ttft_ms"]) > float(blind["ttft_ms_high"]) / float(
        blind["ttft_ms"]
    )
    reasons = [row["reason"] for row in refused]
    assert "LoRA adapters need adapters and adapter_rank" in reasons[0]
    assert "images need images and image_width and image_height" in reasons[1]
    assert "how many tokens an image becomes is not known of Qwen/Qwen3-8B" in reasons[2]


@pytest.mark.parametrize("scenario", ["fixed_concurrency", "fixed_batch", "saturated", "single_stream"])
def test_a_scenario_is_named_as_in_tables(run_advisor, scenario):
    """The option takes the words that the column takes."""
    done = run_advisor(
        "predict", "--model", "Qwen/Qwen3-32B", "--accelerator", "H100-SXM", "--scenario", scenario,
        "--input-tokens", "512", "--output-tokens", "128", "--concurrency", "4", "--format", "json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output_tokens_per_second"] > 0


@pytest.mark.sampled(3)
@pytest.mark.parametrize("processor", ["Xeon-8488C", "EPYC-9R14", "Graviton4"])
def test_a_processor_is_a_fallback_for_small_models(run_advisor, processor):
    """A small model on a processor has an answer that rests on bounds alone, far slower than on an accelerator."""
    question = ["--model", "Qwen/Qwen2.5-1.5B-Instruct", "--input-tokens", "256", "--output-tokens", "128"]
    found = [
        json.loads(
            run_advisor("predict", *question, "--concurrency", "1", "--accelerator", one, "--format", "json").stdout
        )
        for one in (processor, "L4")
    ]

    assert found[0]["evidence"] == "roofline"
    assert found[0]["tpot_ms"] > found[1]["tpot_ms"] / 3
    assert found[0]["ttft_ms"] > found[1]["ttft_ms"]


def planned_replica(model, provider, machine, items, **asked_too):
    """Deployment and server of a machine as `recommend` has them, for requests of items of their usual size."""
    catalog = with_processors(load_catalog(), ("aws", "azure", "gcp"), 0.0, frozenset((machine,)))
    served = find_model(model)
    asked = workload(
        model=model, precisions=(served.checkpoint.precision,), slo=Slo(latency_ms=1_000_000.0), **asked_too
    )
    demand = replace(declared_demand(0.001, 0.001, *items), unit=UNITS[served.task])
    requirements = require(asked, served, demand, catalog)
    judged = judge_hardware(catalog.instance_types[provider, machine], requirements, catalog)
    candidate = next(each for each in judged if isinstance(each, Candidate))
    deployment = deployment_of(candidate, requirements.model)
    replica = replica_of(candidate, deployment, requirements)
    return deployment, batching_of([replica], requirements, demand.tokens)


def predicted_rate(model, accelerator, scenario, concurrency="", input_tokens=""):
    """Samples per second that `predict` gives."""
    row = {"model": model, "accelerator": accelerator, "scenario": scenario, "concurrency": concurrency}
    row |= {"input_tokens": input_tokens}
    return result_of(answer_rows([row], load_catalog()), 0)["samples_per_second"]


@pytest.mark.parametrize("name", ["c7i.4xlarge", "8 cores of Intel Xeon 8488C (Sapphire Rapids)", "c8g.2xlarge"])
@pytest.mark.parametrize("model", ["resnet50", "BAAI/bge-m3"])
def test_processors_are_predicted_as_they_are_planned(name, model):
    """A machine type, or its cores as plans name them, is the replica of `recommend`: same server, units and cost."""
    machine = "c8g.2xlarge" if name == "c8g.2xlarge" else "c7i.4xlarge"
    planned, _ = planned_replica(model, "aws", machine, (512, 1))
    predicted = resolve(Setup(model, name, 1), load_catalog()).deployment
    for part in ("engine", "compute_precision", "weight_bytes", "accelerator"):
        assert getattr(predicted, part) == getattr(planned, part), part


@pytest.mark.parametrize(
    ("provider", "machine", "generation"),
    [
        ("azure", "Standard_D16as_v5", "Milan"),
        ("azure", "Standard_D16_v5", "Ice Lake"),
        ("gcp", "n2-standard-16", "Cascade Lake"),
    ],
)
def test_processors_that_compute_in_fp32_have_the_rate_of_plans(provider, machine, generation):
    """Without units for 16 bit, an endless queue is served in full batches, 32 of ONNX Runtime, at their planned time."""
    deployment, batching = planned_replica("microsoft/resnet-50", provider, machine, (224 * 224, 1))
    assert (deployment.accelerator.architecture, deployment.compute_precision) == (generation, "fp32")
    rate = predicted_rate("microsoft/resnet-50", machine, "saturated")
    assert rate == pytest.approx(1 / (batching.item_s[0, 0] + batching.fixed_s[0] / 32), rel=1e-3)


@pytest.mark.parametrize("users", ["", "1", "8"])
def test_a_server_without_a_batcher_is_predicted_one_item_at_a_time(users):
    """OpenVINO Model Server takes one image, whatever waits: the rate without a load stated is that of a plan."""
    _, batching = planned_replica("google/vit-base-patch16-224", "aws", "c7i.4xlarge", (224 * 224, 1))
    rate = predicted_rate("google/vit-base-patch16-224", "c7i.4xlarge", "fixed_batch" if users else "", users)
    assert rate == pytest.approx(batching.most_per_second[0], rel=1e-3)


@pytest.mark.parametrize(("users", "at_a_time"), [("", 2), ("1", 1), ("2", 2), ("8", 2)])
def test_a_compiled_server_is_predicted_with_its_whole_batch(users, at_a_time):
    """Optimum Neuron computes both cores' items whatever it holds: a lone text takes as long as two."""
    _, batching = planned_replica("BAAI/bge-m3", "aws", "inf2.xlarge", (512, 1), context_tokens=512)
    both_s = 2 / batching.most_per_second[0]
    scenario = "fixed_batch" if users else "saturated"
    rate = predicted_rate("BAAI/bge-m3", "Inferentia2", scenario, users, "512")
    assert rate == pytest.approx(at_a_time / both_s, rel=0.02)


@pytest.mark.parametrize(("machine", "accelerator"), [("g6.xlarge", "L4"), ("c7i.4xlarge", "c7i.4xlarge")])
@pytest.mark.parametrize(
    ("scenario", "recordings"),
    [("single_stream", 1), ("fixed_batch", 1), ("fixed_batch", 8), ("fixed_concurrency", 8), ("saturated", 64)],
)
def test_recordings_take_the_time_of_plans(machine, accelerator, scenario, recordings):
    """A batch is of recordings, each 110 tokens of a window of 30 s, which share one fixed cost: 64 at most."""
    model = "openai/whisper-large-v3"
    _, batching = planned_replica(model, "aws", machine, (30_000, 1))
    each_s = batching.fixed_s[0] / recordings + batching.item_s[0, 0]
    users = str(recordings) if scenario.startswith("fixed") else ""
    assert 110 / predicted_rate(model, accelerator, scenario, users) == pytest.approx(each_s, rel=1e-3)
    if recordings == 1:
        assert each_s == pytest.approx(batching.alone_s[0, 0])


def test_language_models_are_predicted_on_processors_with_llama_cpp_alone(run_advisor):
    """Of another engine the reason says so; a name that nothing has is refused as before."""
    asked = ("predict", "--model", "Qwen/Qwen3-8B", "--precision", "int4", "--accelerator", "c7i.4xlarge")
    asked += ("--input-tokens", "300", "--output-tokens", "100", "--concurrency", "2", "--format", "json")
    told = json.loads(run_advisor(*asked).stdout)
    assert (told["engine"], told["evidence"], told["reason"]) == ("llama.cpp server", "roofline", "")
    assert told["tpot_ms_low"] < told["tpot_ms"] < told["tpot_ms_high"]
    done = run_advisor(*asked, "--engine", "vLLM")
    assert "on processors with llama.cpp server, not with vLLM" in json.loads(done.stdout)["reason"]
    done = run_advisor("predict", "--model", "resnet50", "--accelerator", "c7i.4xlage")
    assert done.returncode == 1
    assert "unknown accelerator: 'c7i.4xlage'" in done.stderr


def test_a_column_that_is_nearly_known_is_told(capsys):
    """A spelling that is not read would leave a row at its defaults without a word; a column of one's own is no such."""
    table = (
        "model,accelerator,tensor_paralel,Input_Tokens,output_tokens,concurrency,note\n"
        "meta-llama/Llama-3.1-8B-Instruct,L40S,2,1024,256,4,mine\n"
    )

    predict_table(table, "questions.csv")

    assert capsys.readouterr().err.splitlines() == [
        "note: questions.csv: column 'tensor_paralel' is not read; is it 'tensor_parallel'?",
        "note: questions.csv: column 'Input_Tokens' is not read; is it 'input_tokens'?",
    ]
