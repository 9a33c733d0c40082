"""What is used and what is left out, whatever file it came from."""

import pytest

from advisor.calibration.readers import FileFormat, read_measurements
from advisor.errors import InputError

HEADER = "model,accelerator,input_tokens,output_tokens,concurrency,ttft_ms,tpot_ms,output_tokens_per_second"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ROW = f"{MODEL},H100-SXM,1024,256,16"


def table(*rows):
    """A table of our own with these rows."""
    return "\n".join([HEADER, *rows, ""])


@pytest.mark.parametrize(("cell", "shown"), [("nan", "nan"), ("inf", "inf"), ("-3", "-3"), ("0", "0")])
def test_a_number_that_cannot_be_measured_is_left_out_alone(read_text, cell, shown):
    """The rest of its row is used."""
    reading = read_text(table(f"{ROW},{cell},8.5,"))

    assert (reading.measurements[0].ttft_ms, reading.measurements[0].tpot_ms) == (None, 8.5)
    assert reading.left_out[0].reason == f"{shown} is not a measurement"
    assert reading.left_out[0].where.endswith(":2: ttft_ms")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"{ROW},,,", "nothing usable was measured"),
        (f"{ROW},nan,,", "nothing usable was measured"),
        (f"{MODEL},H100-SXM,131072,256,16,90,8,", "prompt and answer are 131,328 tokens, the model takes 131,072"),
        (f"{MODEL},H100-SXM,1024,,16,90,8,", "an answer of 0 tokens"),
        (f"{MODEL},H100-SXM,,256,16,90,8,", "the length of the prompt is not stated"),
        (f"{MODEL},H100-SXM,1024,256,0.4,90,8,", "a concurrency of 0.4 is below 1"),
        (f"{MODEL},H100-SXM,1024,256,nan,90,8,", "concurrency: 'nan' is not a finite number"),
        (f"{MODEL},H100-SMX,1024,256,16,90,8,", "unknown accelerator: 'H100-SMX'"),
    ],
)
def test_a_row_that_no_prediction_can_answer_is_left_out(read_text, row, words):
    """The reason has the numbers."""
    reading = read_text(table(row))

    assert reading.measurements == ()
    assert words in reading.left_out[-1].reason


def test_a_copy_is_left_out_and_a_repeat_is_kept(read_text):
    """The same numbers again tell nothing; other numbers of the same point tell how far two runs differ."""
    reading = read_text(table(f"{ROW},95,8.5,", f"{ROW},95,8.5,", f"{ROW},97,8.6,"))

    assert [one.tpot_ms for one in reading.measurements] == [8.5, 8.6]
    (copy,) = reading.left_out
    assert copy.where.endswith(":3")
    assert copy.reason.endswith("measured.csv:2")


@pytest.mark.parametrize("missing", ["model", "accelerator"])
def test_what_nobody_names_is_asked_for(missing, sample):
    """The hint names the option."""
    told = {"model": MODEL, "concurrency": "8", missing: ""}
    with pytest.raises(InputError, match=f"does not name the {missing}") as raised:
        sample("aiperf_0.2.csv", **told)

    assert raised.value.hint == f"give --{missing}"


@pytest.mark.parametrize(
    "told", [{"accelerator": "L4"}, {"model": "Qwen/Qwen3-8B"}, {"tensor_parallel": "4"}, {"engine_version": "0.9.0"}]
)
def test_file_and_options_must_not_contradict_each_other(sample, told):
    """A set-up that the file states cannot be told otherwise."""
    told = {"accelerator": ""} | told
    with pytest.raises(InputError, match=f"'{next(iter(told.values())) or list(told.values())[1]}'"):
        sample("own.csv", **told)


def test_other_words_for_the_same_do_not_contradict(sample):
    """An alias of the accelerator and another repository of the model are no contradiction; the file's word stands."""
    reading = sample("guidellm_0.4.json", accelerator="h100 sxm", model="meta-llama/Meta-Llama-3.1-8B")

    assert reading.measurements[0].setup.model == MODEL


def test_options_fill_what_the_file_leaves_open(sample):
    """Accelerators that nobody counts are those that the parallelism needs."""
    told = {"tensor_parallel": "4", "precision": "fp8", "engine": "vLLM", "engine_version": "0.11.0"}
    setup = sample("guidellm_0.4.json", **told).measurements[0].setup

    assert (setup.accelerator_count, setup.tensor_parallel, setup.precision) == (4, 4, "fp8")
    assert (setup.engine, setup.engine_version) == ("vLLM", "0.11.0")


def test_a_directory_of_results_is_read_file_by_file(tmp_path, read_text):
    """What is no measurement is listed, not passed over."""
    read_text(table(f"{ROW},95,8.5,"), "a.csv")
    (tmp_path / "inputs.json").write_text('{"data": []}')
    reading = read_measurements(tmp_path)

    assert len(reading.measurements) == 1
    assert reading.left_out[0].where.endswith("inputs.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column has a measurement"),
        ("{]", "neither JSON nor JSON lines"),
        ('{"a": 1}', "this JSON is not a result of"),
    ],
)
def test_a_file_that_is_no_measurement_is_refused(read_text, text, words):
    """Empty, broken, or of another kind."""
    with pytest.raises(InputError, match=words):
        read_text(text)


def test_a_forced_format_must_be_the_files(tmp_path):
    """Asking for GuideLLM of another document names what it is not."""
    path = tmp_path / "result.json"
    path.write_text('{"avg_latency": 1.0, "latencies": [1.0]}')
    with pytest.raises(InputError, match="not a result of guidellm"):
        read_measurements(path, {}, FileFormat.GUIDELLM)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """Missing, or no text."""
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for name, words in (("missing.csv", "cannot read"), ("binary.csv", "not UTF-8 text")):
        with pytest.raises(InputError, match=words):
            read_measurements(tmp_path / name)
