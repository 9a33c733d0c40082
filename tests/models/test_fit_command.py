"""``advisor fit`` on the command line and over a table."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from advisor.cli.fit import command
from advisor.errors import InputError
from advisor.questions.fit import RESULT_COLUMNS, answer, fit_case

CASES = """id,model,accelerator,accelerator_count,tensor_parallel,precision,kv_precision,engine,engine_version,context_tokens,concurrency,memory_utilization
good,meta-llama/Llama-3.1-8B-Instruct,H100-80GB,1,1,bf16,auto,vLLM,0.19.0,8192,,0.95
stages,meta-llama/Llama-3.1-8B-Instruct,H100-80GB,2,1,bf16,auto,vLLM,0.19.0,8192,,0.95
quoted,RedHatAI/Llama-3.3-70B-Instruct-fp8-dynamic,H100-80GB,2,2,fp8(compressed-tensors),auto,vLLM,0.19.0,8192,,0.95
defaults,Qwen/Qwen3-8B,L40S,,,,,,,,,
model,nobody/nothing-7B,L40S,,,,,,,,,
accelerator,Qwen/Qwen3-8B,H900,,,,,,,,,
number,Qwen/Qwen3-8B,L40S,two,,,,,,,,
heads,Qwen/Qwen3-8B,L40S,3,3,,,,,,,
share,Qwen/Qwen3-8B,L40S,1,1,,,,,,,1.5
short,Qwen/Qwen3-8B,L40S
long,Qwen/Qwen3-8B,L40S,,,,,,,,,,surplus
"""


def run(*arguments: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The rows of a batch by their id."""
    path = tmp_path_factory.mktemp("batch") / "cases.csv"
    path.write_text(CASES, encoding="utf-8")
    return {row["id"]: row for row in csv.DictReader(io.StringIO(run("--batch", str(path))))}


def test_a_batch_keeps_its_columns_and_adds_the_results(answers: dict[str, dict[str, str]]):
    """Every row comes back, with its columns and the result columns."""
    assert len(answers) == 11
    assert list(answers["good"])[:3] == ["id", "model", "accelerator"]
    assert tuple(answers["good"])[-len(RESULT_COLUMNS) :] == RESULT_COLUMNS


def test_numbers_of_a_good_row(answers: dict[str, dict[str, str]]):
    """A good row has numbers and no reason."""
    row = answers["good"]

    assert (row["fits"], row["max_concurrency"], row["reason"]) == ("true", "58", "")
    assert row["parameters_total"] == "8030261248"
    assert answers["quoted"]["max_concurrency"] == "29"


def test_accelerators_left_over_are_stages(answers: dict[str, dict[str, str]]):
    """Two accelerators without tensor parallelism hold half of the layers each."""
    assert int(answers["stages"]["kv_cache_tokens"]) == pytest.approx(1_075_312, rel=0.01)


def test_defaults(answers: dict[str, dict[str, str]]):
    """Empty and absent cells take their defaults."""
    assert answers["defaults"]["fits"] == "true"
    assert {**answers["defaults"], "id": ""} == {**answers["short"], "id": ""}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("model", "not known"),
        ("accelerator", "unknown accelerator"),
        ("number", "accelerator_count: must be a number"),
        ("heads", "32 attention heads"),
        ("share", "memory_utilization"),
        ("long", "more cells"),
    ],
)
def test_a_bad_row_says_why_and_stops_no_other(answers: dict[str, dict[str, str]], row: str, words: str):
    """What is wrong with a row stands in its reason, and its numbers are empty."""
    assert words in answers[row]["reason"]
    assert not any(answers[row][name] for name in RESULT_COLUMNS if name != "reason")


def test_single_question_as_json():
    """One question gives the result columns beside the inputs as understood."""
    arguments = ["--model", "Qwen/Qwen3-32B", "--accelerator", "L40S", "--accelerator-count", "2", "--precision", "fp8"]
    result = json.loads(run(*arguments, "--context", "32768", "--format", "json"))

    assert set(RESULT_COLUMNS) <= set(result)
    assert result["fits"] is True
    assert (result["accelerator"], result["tensor_parallel"], result["context_tokens"]) == ("L40S", 2, 32768)


def test_single_question_as_table():
    """People read yes or no and thousands set apart."""
    shown = run("--model", "Qwen/Qwen3-32B", "--accelerator", "L40S", "--precision", "bf16")

    assert "fits                    no" in shown
    assert "32,762,123,264" in shown
    assert "GiB needed" in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("id,model\na,Qwen/Qwen3-8B\n", "'accelerator' is missing"),
        ("just some words\n", "'model', 'accelerator' is missing"),
    ],
)
def test_files_that_are_no_table_of_cases(tmp_path: Path, content: str, words: str):
    """A file that cannot be a table of cases is refused with its place."""
    path = tmp_path / "cases.csv"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=words) as raised:
        run("--batch", str(path))
    assert str(path) in raised.value.where


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"model,accelerator\nQwen/Qwen3-8B,\xff\n"])
def test_binary_files(tmp_path: Path, content: bytes):
    """Bytes that are no text are refused."""
    path = tmp_path / "cases.csv"
    path.write_bytes(content)

    with pytest.raises(InputError):
        run("--batch", str(path))


def test_what_was_written_before_survives_a_bad_input(tmp_path: Path):
    """An output file is replaced only by a whole new one."""
    output = tmp_path / "out.csv"
    output.write_text("before", encoding="utf-8")

    with pytest.raises(InputError):
        run("--batch", str(tmp_path / "missing.csv"), "-o", str(output))
    assert output.read_text(encoding="utf-8") == "before"


def test_batch_and_options_do_not_mix(tmp_path: Path):
    """Options beside ``--batch`` are wrong usage: they would be ignored."""
    result = CliRunner().invoke(command, ["--batch", str(tmp_path / "cases.csv"), "--model", "Qwen/Qwen3-8B"])

    assert result.exit_code == 2
    assert "--batch" in result.stderr


def test_adapters_are_counted_where_they_are_asked_for(tmp_path: Path):
    """Their slots come out of the cache, and without any there is no such line."""
    asked = ("--model", "meta-llama/Llama-3.1-8B-Instruct", "--accelerator", "L40S", "--context", "4096")
    alone, adapted = (
        json.loads(run(*asked, *more, "--format", "json"))
        for more in ((), ("--adapters", "24", "--adapter-rank", "16"))
    )

    assert "adapters_gib" not in alone
    assert (adapted["adapters"], adapted["adapter_rank"]) == (24, 16)
    assert alone["kv_cache_gib_available"] - adapted["kv_cache_gib_available"] == pytest.approx(adapted["adapters_gib"])
    (tmp_path / "cases.csv").write_text(
        "model,accelerator,adapters,adapter_rank\nQwen/Qwen3-8B,L40S,8,16\nQwen/Qwen3-8B,L40S,,\n"
    )
    rows = list(csv.DictReader(io.StringIO(run("--batch", str(tmp_path / "cases.csv")))))
    assert float(rows[0]["adapters_gib"]) > 0
    assert rows[1]["adapters_gib"] == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"accelerator": "L4", "engine": "llama.cpp"}, "--lora"),
        ({"accelerator": "L4", "engine": "TensorRT-LLM"}, "trtllm-serve"),
        ({"accelerator": "TPU-v6e"}, "PyTorch alone"),
        ({"accelerator": "L4", "engine": "vllm", "adapter_rank": "600"}, "up to rank 512"),
    ],
)
def test_adapters_are_refused_on_engines_that_plans_refuse_them_on(given: dict[str, str], words: str):
    """No plan starts them there, whatever the memory holds."""
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        fit_case({"model": "Qwen/Qwen3-0.6B", "adapters": "2", "adapter_rank": "16", **given})
    assert refused.value.where == "adapters"


@pytest.mark.parametrize("number", ["1e308", "99999999999999999999999"])
def test_more_requests_than_any_machine_holds_are_refused(number: str):
    """With the most that is answered."""
    with pytest.raises(InputError, match="must be at most 1,000,000,000") as refused:
        fit_case({"model": "Qwen/Qwen3-0.6B", "accelerator": "L4", "concurrency": number})
    assert refused.value.where == "concurrency"


@pytest.mark.parametrize("given", [{"adapters": "8"}, {"adapter_rank": "8"}])
def test_half_of_what_adapters_need_is_refused(given: dict[str, str]):
    """Their number without a rank, and a rank without a number."""
    with pytest.raises(InputError, match="is empty") as refused:
        fit_case({"model": "Qwen/Qwen3-8B", "accelerator": "L40S"} | given)
    assert refused.value.where in ("adapters", "adapter_rank")


@pytest.mark.parametrize(("machine", "fits"), [("c7g.2xlarge", "yes"), ("c7g.xlarge", "no")])
def test_processors_hold_language_models_by_their_own_memory(machine, fits):
    """Eight billion parameters in 4 bit need more than 8 GiB with a long context, and less than 16, with llama.cpp."""
    words = ("--model", "Qwen/Qwen3-8B", "--precision", "int4", "--context", "16384", "--accelerator", machine)
    told = dict(line.split(maxsplit=1) for line in run(*words).splitlines() if len(line.split()) > 1)
    assert (told["fits"], told["engine"]) == (fits, "llama.cpp server")


@pytest.mark.parametrize(("hardware", "slots"), [("L4", 8), ("c8g.4xlarge", 16)])
def test_llama_cpp_holds_no_more_requests_than_it_has_slots(hardware: str, slots: int):
    """Memory would hold hundreds of short requests; a plan starts the server with so many slots."""
    asked = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "accelerator": hardware, "precision": "int4",
             "engine": "llama.cpp", "context_tokens": "512"}  # fmt: skip
    told = answer(fit_case(asked))
    assert [told[name] for name in ("max_concurrency", "max_concurrency_low", "max_concurrency_high")] == [slots] * 3
    assert told["kv_cache_tokens"] > 512 * slots
    assert told["weights_gib"] == pytest.approx(0.37, abs=0.01)


def test_the_name_of_an_option_is_no_column(tmp_path):
    """--context is the column context_tokens: called like the option it is not read, which is told."""
    path = tmp_path / "cases.csv"
    path.write_text("model,accelerator,precision,context\nQwen/Qwen3-32B,L40S,fp8,32768\n")

    result = CliRunner().invoke(command, ["--batch", str(path)])

    assert "column 'context' is not read; is it 'context_tokens'?" in result.stderr
