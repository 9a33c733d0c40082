"""Which weights there are of a model in each precision, and what they lose."""

import csv
import math
import re
from itertools import groupby
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.precisions import weights_key
from advisor.catalog.values import Quality
from advisor.data_files import data_dir
from advisor.models.config import checkpoint_of_name
from advisor.models.model import Checkpoint
from advisor.workload.values import PRECISIONS

DIRECTORY = data_dir("instance_catalog")
CATALOG = load_catalog(DIRECTORY)


def rows(name):
    """Rows of a table, read without the code under test."""
    with (DIRECTORY / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


MODELS = {row["name"]: row for row in rows("models.csv")}
CHECKPOINTS = [row for row in rows("checkpoints.csv") if row["model"]]
SCORES = rows("quality_loss.csv")
ANY_MODEL = st.sampled_from(sorted(MODELS))
ANY_PRECISION = st.sampled_from(PRECISIONS)


MARKS = r"(-hf)?-(fp8(-dynamic|-block|-kv)?|quantized\.w[48]a(8|16)|qat-w4a16-ct|w4a16|awq|gptq|(awq|gptq)-int4|int4-awq|nvfp4|fp4|mxfp4)"
"""What a quantised repository's name has behind that of its model."""


def bare(name):
    """A name without its owner and without what publishers put in front of it or behind it."""
    return re.sub(r"^meta-|-hf$|-bf16$", "", name.rpartition("/")[2].lower())


def test_a_checkpoint_holds_what_its_name_says():
    """Precision and model of each row agree with the name of the repository, its format with its scheme."""
    for row in CHECKPOINTS:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", row["repository"], re.ASCII), row
        assert checkpoint_of_name(row["repository"], Checkpoint("bf16")).precision == row["precision"], row
        assert row["repository"] != row["model"]
        assert row["format"]
        if row["repository"] != "nvidia/Gemma-4-26B-A4B-NVFP4":  # of the instruction-tuned model, says its recipe
            mark = bare(row["repository"]).removeprefix(bare(row["model"]))
            assert re.fullmatch(MARKS, mark), row


def test_no_checkpoint_is_of_the_published_precision():
    """Published weights are no row of the table, and int8 is W8A8 alone: GPTQ of 8 bit computes in 16."""
    for row in CHECKPOINTS:
        assert row["precision"] != MODELS[row["model"]]["checkpoint_precision"], row
        assert (row["precision"] == "int8") == (row["scheme"] == "W8A8 INT8"), row


def test_ranks_of_a_model_count_from_one():
    """Repositories of one model and precision differ in format and stand in the order of preference."""
    for _, group in groupby(CHECKPOINTS, key=lambda row: (row["model"], row["precision"])):
        listed = list(group)
        assert [int(row["rank"]) for row in listed] == list(range(1, len(listed) + 1))
        assert len({row["format"] for row in listed}) == len(listed), listed


def test_scores_are_of_quantised_weights():
    """No perplexity, no speed, no average beside its parts, no loss of a fifth or gain of an eighth."""
    for row in SCORES:
        assert not re.search(r"perplexity|tok/s|checkpoint|average|W8A16", row["benchmark"] + row["scheme"]), row
        assert 0.8 < float(row["recovery_ratio"]) < 1.125, row
        assert row["precision"] != MODELS[row["model"]]["checkpoint_precision"], row


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", ("bf16", "fp16", "fp8", "int8", "int4", "nvfp4")),
        ("Qwen/Qwen2.5-7B-Instruct", ("bf16", "fp16", "fp8", "int8", "int4")),
        ("microsoft/phi-2", ("bf16", "fp16", "fp8")),
        ("openai/gpt-oss-120b", ("mxfp4",)),
        ("deepseek-ai/DeepSeek-V3", ("fp8", "int4", "nvfp4")),
        ("google-bert/bert-base-uncased", ("bf16", "fp16")),
        ("stabilityai/stable-diffusion-xl-base-1.0", ("bf16", "fp16")),
        ("", ()),
        ("organisation/tuned-8b", ()),
    ],
)
def test_precisions_of_a_model(model, expected):
    """The published one, its like in 16 bit, catalogued ones, and fp8 where engines make it of 16 bit."""
    assert CATALOG.precisions.known(model) == expected


@given(ANY_MODEL)
def test_known_is_what_there_is_a_checkpoint_for(model):
    """The published precision is known, and a precision is known if and only if a checkpoint is."""
    known = CATALOG.precisions.known(model)
    assert MODELS[model]["checkpoint_precision"] in known
    assert known == tuple(precision for precision in PRECISIONS if CATALOG.precisions.checkpoints(model, precision))


@given(ANY_MODEL, ANY_PRECISION)
def test_own_weights_come_before_those_of_another_tuning(model, precision):
    """Whatever stands behind weights of another tuning is of another tuning too; all are in the precision."""
    found = CATALOG.precisions.checkpoints(model, precision)
    own = [checkpoint.is_of(model) for checkpoint in found]
    assert own == sorted(own, reverse=True)
    assert {checkpoint.precision for checkpoint in found} <= {precision}
    listed = {row["repository"] for row in CHECKPOINTS if (row["model"], row["precision"]) == (model, precision)}
    assert listed <= {checkpoint.repository for checkpoint in found}


def test_published_weights_are_the_model_itself():
    """16 bit are loaded as they are or cast, and fp8 is made of them where there is no checkpoint of it."""
    published, cast, made = (
        CATALOG.precisions.checkpoints("microsoft/phi-2", precision)[0] for precision in ("bf16", "fp16", "fp8")
    )
    assert {each.repository for each in (published, cast, made)} == {"microsoft/phi-2"}
    assert [each.made_while_loading for each in (published, cast, made)] == [False, True, True]
    assert "vLLM or SGLang while loading" in made.scheme
    assert published.provenance.source == MODELS["microsoft/phi-2"]["source"]


@pytest.mark.parametrize(("model", "repository"), [("yolo11n", ""), ("resnet50", ""), ("microsoft/phi-2",) * 2])
def test_published_weights_are_no_quantised_ones_whatever_the_model_is_called(model, repository):
    """Names that are no repository's have none to load from."""
    precision = "bf16" if "phi" in model else "fp16"
    loaded = CATALOG.precisions.loaded(model, precision, "Triton (TensorRT)")

    assert (loaded.repository, loaded.scheme) == (repository, "")


def test_a_checkpoint_of_another_tuning_says_so():
    """The catalog has one name for Llama 3.1 8B and its instruct tuning: only under its own name that is meant."""
    tuned = CATALOG.precisions.checkpoints("meta-llama/Llama-3.1-8B-Instruct", "int4")[0]
    base = CATALOG.precisions.checkpoints("meta-llama/Meta-Llama-3.1-8B", "int4")[0]
    assert tuned.repository == base.repository == "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16"
    assert tuned.is_of("meta-llama/Llama-3.1-8B-Instruct")
    assert not base.is_of("meta-llama/Meta-Llama-3.1-8B")
    assert not base.is_of("organisation/Llama-3.1-8B-Instruct")
    assert CATALOG.precisions.checkpoints("meta-llama/Meta-Llama-3.1-8B", "fp8")[0].is_of("meta-llama/Llama-3.1-8B")


def test_a_source_stands_beside_each_repository():
    """Title of the source, its date and how well it is founded."""
    found = CATALOG.precisions.checkpoints("Qwen/Qwen3-32B", "int4")[0]
    assert (found.repository, found.scheme, found.format) == ("Qwen/Qwen3-32B-AWQ", "AWQ INT4", "awq")
    assert found.provenance.source.startswith("vllm-project/recipes")
    assert (found.provenance.as_of, found.provenance.quality) == ("2026-08-21", Quality.LISTED)


@pytest.mark.parametrize("key", sorted({(row["model"], row["precision"]) for row in SCORES}), ids=" ".join)
def test_loss_is_the_mean_over_benchmarks(key):
    """Mean, least and most of all scores of the very model, those of weights trained again left out."""
    ratios = [
        float(row["recovery_ratio"])
        for row in SCORES
        if (row["model"], row["precision"]) == key and "quantisation-aware" not in row["scheme"]
    ]
    loss = CATALOG.precisions.quality_loss(*key)
    assert loss.recovery_ratio == pytest.approx(fmean(ratios))
    assert (loss.low_ratio, loss.high_ratio, loss.benchmarks) == (min(ratios), max(ratios), len(ratios))
    assert loss.of_model == ""


def billions(name):
    """Parameters of a model, read from its row or its name."""
    total = MODELS[name]["published_parameters_total"]
    if total:
        return int(total) / 1e9
    found = re.search(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z])", name.lower())
    return float(found[1] or 1) * float(found[2]) / {"b": 1, "m": 1000}[found[3]] if found else None


@given(ANY_MODEL, ANY_PRECISION)
def test_loss_of_another_model_is_of_the_nearest_in_its_family(model, precision):
    """None of the family's measured models is nearer in size by more than a tenth."""
    loss = CATALOG.precisions.quality_loss(model, precision)
    measured = {row["model"] for row in SCORES if row["precision"] == precision}
    family = MODELS[model]["family"]
    relatives = {name for name in measured if MODELS[name]["family"] == family and billions(name) is not None}
    if loss is None:
        assert not relatives or billions(model) is None
    elif loss.of_model:
        distances = {name: abs(math.log(billions(name) / billions(model))) for name in relatives}
        assert loss.of_model in relatives
        assert model not in measured
        assert distances[loss.of_model] <= min(distances.values()) + 0.1


def test_unknown_loss_is_none():
    """Nobody measured a quantised phi-2's relatives in int4, gpt-oss in anything, or a model that is not catalogued."""
    assert CATALOG.precisions.quality_loss("openai/gpt-oss-120b", "int4") is None
    assert CATALOG.precisions.quality_loss("meta-llama/Llama-3.3-70B-Instruct", "bf16") is None
    assert CATALOG.precisions.quality_loss("organisation/tuned-8b", "fp8") is None
    assert CATALOG.precisions.quality_loss("", "fp8") is None


def test_loss_of_a_relative_names_it():
    """NVFP4 of the 70B model was not measured: that of the 8B model stands for it, all its sources named."""
    loss = CATALOG.precisions.quality_loss("meta-llama/Llama-3.3-70B-Instruct", "nvfp4")
    assert loss.of_model == "meta-llama/Meta-Llama-3.1-8B-Instruct"
    assert loss.schemes == ("NVFP4 round-to-nearest W4A4",)
    assert loss.provenance.source.startswith("ISTA-DASLab")


def test_the_weakest_score_decides_how_well_a_mean_is_founded():
    """One inferred figure makes the mean a derived one."""
    assert (
        CATALOG.precisions.quality_loss("meta-llama/Llama-3.2-1B-Instruct", "fp8").provenance.quality is Quality.DERIVED
    )
    assert CATALOG.precisions.quality_loss("microsoft/phi-4", "fp8").provenance.quality is Quality.LISTED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Meta-Llama/Llama-3.1-8B-Instruct", True),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B", False),
        ("Qwen/Qwen3-8B", "organisation/Qwen3-8B", False),
    ],
)
def test_weights_are_told_apart_by_owner_and_tuning(one, other, same):
    """Case and ``Meta-`` in front do not matter; owner and tuning do."""
    assert (weights_key(one) == weights_key(other)) is same


def test_tables_are_read_when_first_asked_for(tmp_path):
    """A catalog without the tables of precisions serves everything else."""
    for name in ("accelerators.csv", "accelerator_aliases.csv", "sources.csv"):
        (tmp_path / name).write_bytes((DIRECTORY / name).read_bytes())
    assert Catalog(tmp_path).accelerator("L4").name == "L4"


@pytest.mark.parametrize(
    ("model", "is_made"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", True),
        ("meta-llama/Llama-3.2-1B-Instruct", True),
        ("Qwen/Qwen2.5-3B-Instruct", False),
        ("BAAI/bge-m3", False),
        ("lightonai/LightOnOCR-2-1B", False),
        ("team/unknown-1b", False),
        ("own-folder", False),
    ],
)
def test_gguf_is_made_of_small_language_models_alone(model, is_made):
    """Of the hub, in 16 bit, below three billion parameters and of a known architecture: exact, or in fewer bits."""
    assert CATALOG.precisions.makes_gguf(model) is is_made
    wide, narrow = (CATALOG.precisions.loaded(model, name, "llama.cpp server") for name in ("bf16", "int4"))
    if is_made:
        assert (wide.repository, wide.scheme, wide.made_while_loading) == (model, "", False)
        assert (narrow.repository, narrow.scheme, narrow.made_while_loading) == (model, "GGUF Q4_K_M", True)
        assert CATALOG.precisions.loaded(model, "fp8", "llama.cpp server") is None
    else:
        assert narrow is None
