"""The constants of engine memory: rebuilt from start-up logs, and judged on logs that they were not fitted on."""

import csv
import io
from statistics import fmean

import pytest

from advisor.data_files import data_dir
from advisor.tables import Row, read_rows
from benchmarks.accuracy.memory import errors, logs
from benchmarks.accuracy.memory_fit import fit_memory_engines

TABLES = data_dir("instance_catalog")
ENGINES = list(read_rows(TABLES / "memory_engines.csv"))
MEASUREMENTS = list(read_rows(TABLES / "memory_measurements.csv"))


def text(rows: list[dict[str, str]]) -> str:
    """Rows as a CSV file."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def of_vllm(rows: list[dict[str, str]], version: str) -> dict[str, str]:
    """The row of a version of vLLM."""
    return next(row for row in rows if (row["engine"], row["version_from"]) == ("vLLM", version))


def test_the_shipped_table_is_rebuilt_from_the_logs():
    """Fitting the shipped logs again gives the shipped file, byte for byte."""
    assert text(fit_memory_engines(ENGINES, MEASUREMENTS)) == (TABLES / "memory_engines.csv").read_text(
        encoding="utf-8"
    )


def test_the_order_of_the_logs_does_not_matter():
    """The same logs in another order give the same constants."""
    assert fit_memory_engines(ENGINES, MEASUREMENTS[::-1]) == fit_memory_engines(ENGINES, MEASUREMENTS)


def test_a_version_without_logs_has_the_constants_of_its_neighbour():
    """What no log speaks of is taken from the next version, engines without any log are kept as they are."""
    fitted = fit_memory_engines(ENGINES, [row for row in MEASUREMENTS if not row["engine_version"].startswith("0.11")])

    assert of_vllm(fitted, "0.11")["runs"] == "0"
    assert of_vllm(fitted, "0.11")["sampler_bytes_per_logit"] == of_vllm(fitted, "0.17")["sampler_bytes_per_logit"]
    assert [row["sampler_bytes_per_logit"] for row in fitted if row["engine"] != "vLLM"] == [
        row["sampler_bytes_per_logit"] for row in ENGINES if row["engine"] != "vLLM"
    ]


def test_one_wrong_log_hardly_moves_the_constants():
    """A log with five GiB of workspace too many changes no constant of its version by more than a tenth."""

    def spoilt(row: Row) -> Row:
        return {**row, "workspace_gib_per_accelerator": "6.89"} if row["id"] == "run-024" else row

    before = of_vllm(ENGINES, "0.17")
    after = of_vllm(fit_memory_engines(ENGINES, map(spoilt, MEASUREMENTS)), "0.17")

    for name in ("sampler_bytes_per_logit", "runtime_gib", "runtime_parallel_large_gib"):
        assert float(after[name]) == pytest.approx(float(before[name]), rel=0.1)


@pytest.mark.parametrize(
    ("quantity", "limit"),
    [
        ("weights", 0.01),
        ("KV bytes per token", 0.01),
        ("KV pool", 0.05),
        ("KV cache tokens", 0.05),
        ("maximum concurrency", 0.05),
    ],
)
def test_logs_of_models_left_out(quantity: str, limit: float):
    """On models that the constants were not fitted on, predictions are on average as near as promised."""
    found = [abs(error.relative) for error in logs(errors("leave one model out")) if error.quantity == quantity]

    assert len(found) > 40
    assert fmean(found) <= limit


def test_versions_left_out():
    """On versions of vLLM that the constants were not fitted on, cache tokens are on average within a tenth."""
    found = logs(errors("leave one version out"))

    assert fmean(abs(error.relative) for error in found if error.quantity == "KV cache tokens") <= 0.1


@pytest.mark.parametrize("quantity", ["tokens of the printed pool", "requests in the printed pool"])
def test_arithmetic_of_the_cache(quantity: str):
    """A cache of the printed size holds the printed tokens and requests: windowed, latent and quantised caches too."""
    found = [error for error in logs(errors("leave one model out")) if error.quantity == quantity]

    assert {
        "google/gemma-3-12b-it",
        "google/gemma-2-9b-it",
        "openai/gpt-oss-20b",
        "deepseek-ai/DeepSeek-V2-Lite-Chat",
    } <= {error.run.model.name for error in found}
    assert max(abs(error.relative) for error in found) < 0.002


@pytest.mark.parametrize("name", ["Qwen/Qwen3.6-35B-A3B", "RedHatAI/Qwen3-VL-235B-A22B-Instruct-FP8-dynamic"])
def test_arithmetic_of_caches_that_people_quote(name: str):
    """A quoted cache of a hybrid model and of one that sees holds the quoted tokens."""
    found = [error for error in errors("leave one model out") if error.run.model.name == name]
    sizes = [abs(error.relative) for error in found if error.quantity == "tokens of the printed pool"]

    assert sizes
    assert max(sizes) < 0.002


def test_the_range_holds_four_in_five():
    """On models that the constants were not fitted on, the range of cache tokens holds 75 to 85 % of the logs."""
    held = [error.covered for error in logs(errors("leave one model out")) if error.quantity == "KV cache tokens"]

    assert 0.75 <= fmean(held) <= 0.85
