"""Loading tables and finding things in them by name."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor import recommend
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.errors import InputError
from advisor.names import architecture_key, nearest, normalised, suggestion

SHIPPED = load_catalog()


@pytest.fixture
def copy(tmp_path):
    """A catalog directory of one's own."""
    return Path(shutil.copytree(SHIPPED.directory, tmp_path / "catalog"))


def damage(directory, name, old, new):
    """Replace the first *old* in a table by *new*; the number of the line it stood in."""
    path = directory / name
    before, found, after = path.read_text().partition(old)
    assert found, f"{old} is not in {name}"
    path.write_text(before + new + after)
    return before.count("\n") + 1


def read_all(directory):
    """Have every table read."""
    catalog = load_catalog(directory)
    catalog.accelerator("L4")
    return (
        catalog.instance_types,
        catalog.offers,
        catalog.regions,
        catalog.engine_support("L4", "bf16"),
        catalog.model_status("vLLM-TPU", "TPU-v6e", "", ""),
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "column", "message"),
    [
        ("accelerators.csv", "L4,nvidia,Ada,8.9,22.35", "L4,nvidia,Ada,8.9,lots", "memory_gib", "'lots' is not a number"),
        ("accelerators.csv", "L4,nvidia,Ada,8.9,22.35", "L4,nvidia,Ada,8.9,", "memory_gib", "the cell is empty"),
        ("accelerators.csv", "L4,nvidia,Ada,8.9,22.35", "L4,nvidia,Ada,8.9,nan", "memory_gib", "not a finite number"),
        ("instances.csv", "g6.xlarge,L4,1,22.35,4,", "g6.xlarge,L4,1,22.35,4.5,", "vcpus", "'4.5' is not a whole number"),
        ("prices/aws.csv", "0.8048", "free", "on_demand_usd_per_hour", "'free' is not a number"),
        ("prices/aws.csv", ",0.8048,", ",0,", "on_demand_usd_per_hour", "leave the cell empty"),
        ("prices/aws.csv", ",0.8048,", ",-1,", "on_demand_usd_per_hour", "leave the cell empty"),
        ("prices/aws.csv", "aws-prices-karpenter", "hearsay", "on_demand_source", "'hearsay' is not in sources.csv"),
        ("prices/aws.csv", "2026-07-20,listed", "2026-07-20,certain", "on_demand_quality", "'certain' is none of listed"),
        ("regions.csv", "39.04", "north", "latitude", "'north' is not a number"),
        ("engine_support.csv", ",native,", ",perhaps,", "support", "'perhaps' is none of native"),
        ("accelerator_aliases.csv", "NVIDIA L4,L4", "NVIDIA L4,L5", "accelerator", "'L5' is not in accelerators.csv"),
        ("prices/aws.csv", ",0.086,0.0964,", ",0.0964,0.086,", "spot_zone_low_usd_per_hour", "does not hold the median"),
        ("prices/aws.csv", ",0.086,0.0964,", ",0.086,,", "spot_zone_high_usd_per_hour", "the cell is empty"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_by_file_row_and_column(copy, name, old, new, column, message):
    """The error says which file, line and column to look at, and what is wrong there."""
    line = damage(copy, name, old, new)
    with pytest.raises(InputError) as caught:
        read_all(copy)
    assert caught.value.where == f"{copy / name}:{line}: {column}"
    assert message in caught.value.message


def test_a_missing_column_is_named(copy):
    """A table without a column says which one."""
    damage(copy, "regions.csv", "latitude", "north")
    with pytest.raises(InputError, match="there is no column 'latitude'"):
        read_all(copy)


def test_a_row_with_a_cell_too_many_is_named(copy):
    """Cells and header must agree in number."""
    line = damage(copy, "prices/ibm.csv", "eu-de", "eu-de,eu-de")
    with pytest.raises(InputError, match="13 cells where the header has 12") as caught:
        read_all(copy)
    assert caught.value.where.endswith(f"ibm.csv:{line}")


@pytest.mark.parametrize("content", [b"\xff\xfe", b'source_id,title\n"a'], ids=["no UTF-8", "open quote"])
def test_a_file_that_is_no_table_is_an_error(copy, content):
    """Binary and broken files do not end in a traceback."""
    (copy / "sources.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"sources\.csv"):
        read_all(copy)


def test_a_missing_table_is_an_error(copy):
    """A table that is not there is named."""
    (copy / "regions.csv").unlink()
    with pytest.raises(InputError, match=r"regions\.csv: cannot read"):
        read_all(copy)


def test_a_missing_directory_is_an_error(tmp_path):
    """A directory that is not there is named at once."""
    with pytest.raises(InputError, match="no such catalog directory"):
        load_catalog(tmp_path / "nowhere")


def test_the_shipped_catalog_is_loaded_once():
    """Two callers share one catalog, so tables are read once in a run."""
    assert load_catalog() is load_catalog()


def test_the_hash_is_of_the_content_alone(copy):
    """A copy has the hash of the original; a changed digit or a moved file has another."""
    assert load_catalog(copy).content_hash == SHIPPED.content_hash
    damage(copy, "prices/aws.csv", "0.8048", "0.8049")
    changed = load_catalog(copy).content_hash
    assert changed != SHIPPED.content_hash
    (copy / "prices" / "ibm.csv").rename(copy / "prices" / "jbm.csv")
    assert load_catalog(copy).content_hash not in {changed, SHIPPED.content_hash}


def test_the_date_is_that_of_the_newest_price():
    """The newest is over known prices, on demand and spot, not over rows without one."""
    dates = {price.provenance.as_of for offer in SHIPPED.offers for price in (offer.on_demand, offer.spot) if price}
    assert SHIPPED.as_of == max(dates) == "2026-11-09"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("H200-SXM", "H200"),
        ("B200-SXM", "B200"),
        ("RTX-PRO-6000-BSE", "RTX-PRO-6000"),
        ("A100 80GB", "A100-80GB-SXM"),
        ("a100_80gb", "A100-80GB-SXM"),
        ("A100-40GB", "A100-40GB-SXM"),
        ("H100-80GB", "H100-SXM"),
        ("RTX3090-24GB", "RTX-3090"),
        ("L40S-48GB", "L40S"),
        ("H20-96GB", "H20-96GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", "T4"),
        ("NVIDIA A10G", "A10G"),
        ("V100-SXM", "V100-32GB"),
        ("H100-SXM (power-capped)", "H100-SXM"),
        ("l4", "L4"),
    ],
)
def test_names_of_drivers_and_benchmarks_are_known(given, name):
    """An accelerator is found under the names of NVML, of benchmarks and of everyday speech."""
    assert SHIPPED.accelerator(given).name == name


@given(st.sampled_from(sorted(SHIPPED.accelerators)), st.data())
def test_spelling_does_not_matter(name, data):
    """Case, and spaces, underscores and hyphens in any number, never change which accelerator is meant."""
    pieces = [
        data.draw(st.sampled_from([part.upper(), part.lower()])) + data.draw(st.sampled_from(["", " ", "_", "--"]))
        for part in name.replace("-", "")
    ]
    assert SHIPPED.accelerator("".join(pieces)).name == name


def test_an_unknown_accelerator_brings_the_nearest_names():
    """The hint names what may have been meant."""
    with pytest.raises(InputError, match="unknown accelerator: 'H10'") as caught:
        SHIPPED.accelerator("H10")
    assert "H100-SXM" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("A100", {"A100-40GB-PCIe", "A100-40GB-SXM", "A100-80GB-PCIe", "A100-80GB-SXM"}),
        ("h100", {"H100-SXM", "H100-PCIe", "H100-NVL"}),
        ("V100", {"V100-16GB", "V100-32GB", "V100-PCIe-32GB"}),
        ("A100-80GB", {"A100-80GB-PCIe", "A100-80GB-SXM"}),
        ("a100 40gb", {"A100-40GB-PCIe", "A100-40GB-SXM"}),
        ("A100-80GB-SXM", {"A100-80GB-SXM"}),
        ("nvidia-a100-80gb", {"A100-80GB-SXM"}),
        ("H100-80GB", {"H100-SXM", "H100-PCIe"}),
        ("H200-141GB", {"H200", "H200-NVL"}),
        ("L4", {"L4"}),
        ("H200", {"H200"}),
        ("Tesla T4", {"T4"}),
    ],
)
def test_a_bare_family_name_means_all_its_variants(given, names):
    """A100 and A100-80GB are no parts by themselves, so all of that kin are meant; an exact name is that part alone."""
    assert {part.name for part in SHIPPED.accelerator_variants(given)} == names


def test_an_unknown_machine_brings_the_nearest_names():
    """Provider and type are checked one after the other."""
    assert SHIPPED.instance_type("aws", "g6.xlarge").vcpus == 4
    with pytest.raises(InputError, match=r"unknown instance type of aws: 'g6\.xlarg'") as caught:
        SHIPPED.instance_type("aws", "g6.xlarg")
    assert "g6.xlarge" in caught.value.hint
    with pytest.raises(InputError, match="unknown provider: 'asw'") as caught:
        SHIPPED.instance_type("asw", "g6.xlarge")
    assert "aws" in caught.value.hint


@given(
    st.lists(st.sampled_from(SHIPPED.providers), max_size=3),
    st.lists(st.sampled_from(sorted({region for _, region in SHIPPED.regions})), max_size=4),
)
def test_a_filter_keeps_exactly_what_it_names(providers, regions):
    """Every offer that is sold is kept if and only if provider and region are named, where any are."""
    kept = set(map(id, SHIPPED.offers_in(providers, regions)))
    every = set(map(id, SHIPPED.offers_in(providers, regions, withdrawn=True)))
    for offer in SHIPPED.offers:
        wanted = (not providers or offer.provider in providers) and (not regions or offer.region in regions)
        assert (id(offer) in every) == wanted
        assert (id(offer) in kept) == (wanted and not offer.withdrawn)


def test_prices_by_way_of_paying():
    """On demand and spot are told apart, and a price that is not known is None."""
    offer = next(offer for offer in SHIPPED.offers_in(["aws"], ["us-east-1"]) if offer.instance_type == "g6.xlarge")
    assert SHIPPED.price(offer, Purchase.ON_DEMAND).usd_per_hour == 0.8048
    assert SHIPPED.price(offer, Purchase.SPOT).usd_per_hour < 0.8048
    azure = SHIPPED.offers_in(["azure"])[0]
    assert SHIPPED.price(azure, Purchase.SPOT) is None


def test_regions_by_provider():
    """A region belongs to a provider."""
    assert "us-east-1" in SHIPPED.regions_of("aws")
    assert "us-east-1" not in SHIPPED.regions_of("gcp")
    assert "westeurope" in SHIPPED.regions_of("azure")


def test_the_vendors_own_engine_comes_first():
    """Engines are in order of preference, and each names its release."""
    assert [row.engine for row in SHIPPED.engine_support("L4", "bf16")] == ["vLLM", "TensorRT-LLM", "SGLang"]
    assert [row.engine for row in SHIPPED.engine_support("Trainium2", "bf16")] == ["vLLM-NxDI", "vLLM-Neuron"]
    assert SHIPPED.engine_support("NVIDIA L4", "bf16") == SHIPPED.engine_support("L4", "bf16")
    assert SHIPPED.engine_support("L4", "fp2") == ()


@pytest.mark.parametrize(
    ("engine", "accelerator", "model", "family", "status"),
    [
        ("vLLM", "L4", "anything/at-all", "new", None),
        ("vLLM-TPU", "TPU-v6e", "meta-llama/Llama-3.1-8B-Instruct", "llama3", "validated"),
        ("vLLM-TPU", "TPU-v6e", "meta-llama/Meta-Llama-3.1-8B", "llama3", "validated"),
        ("vLLM-TPU", "TPU-v6e", "openai/gpt-oss-120b", "gpt-oss", "not_enough_memory"),
        ("vLLM-TPU", "TPU-v5e", "meta-llama/Llama-3.1-8B-Instruct", "llama3", "untested"),
        ("vLLM-Gaudi", "Gaudi3", "meta-llama/Llama-3.1-8B-Instruct", "llama3", "validated"),
        ("vLLM-NxDI", "Inferentia2", "meta-llama/Llama-3.2-1B", "llama3", "supported"),
        ("vLLM-NxDI", "Inferentia2", "meta-llama/Llama-3.1-405B-Instruct", "llama3", "untested"),
        ("vLLM-NxDI", "Trainium2", "meta-llama/Llama-3.1-405B-Instruct", "llama3", "supported"),
        ("vLLM-NxDI", "Trainium2", "openai/gpt-oss-20b", "gpt-oss", "untested"),
        ("vLLM-Neuron", "Trainium3", "openai/gpt-oss-20b", "gpt-oss", "supported"),
        ("vLLM-NxDI", "Inferentia2", "made/up", "made-up", "untested"),
    ],
)
def test_what_an_engine_says_of_a_model(engine, accelerator, model, family, status):
    """A model's own row counts before its family's; an engine with a list knows nothing of the rest."""
    assert SHIPPED.model_status(engine, accelerator, model, family) == status


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
        ("google/gemma-3-27b-it", "gemma-3-27b"),
        ("Qwen/Qwen3-32B", "qwen3-32b"),
    ],
)
def test_the_architecture_in_a_name(model, key):
    """Owner, tuning and storage format are no part of it."""
    assert architecture_key(model) == key


def test_near_names():
    """Names that begin alike come first; where nothing is near a short list is shown whole, and of a long one some."""
    assert nearest("us-eats-1", ["us-east-1", "us-east1", "eu-north-1"])[:2] == ["us-east-1", "us-east1"]
    assert nearest("h100", ["H100-SXM", "H100-NVL", "H20"]) == ["H100-SXM", "H100-NVL"]
    assert nearest("", ["L4"]) == []
    assert suggestion("zzz", ["aws", "gcp"]) == "known: aws, gcp"
    assert suggestion("zzz", [str(number) for number in range(30)]) == "30 are known, such as 0, 1, 2, 3, 4, 5"
    assert normalised(" A100_80-GB ") == "a10080gb"


def test_a_provider_is_two_files(copy):
    """A machine and its price: it sells in a region that it does not print, where it is planned for as others are."""
    before, after = (copy / "instances.csv").read_text().split("aws,", 1)
    machine = "anewcloud,l4-1x,L4,1,22.35,8,32,,,none,x86_64,nebius-price-page,2026-12-01,listed,\n"
    (copy / "instances.csv").write_text(f"{before}{machine}aws,{after}")
    header = (copy / "prices" / "lambda.csv").read_text().splitlines()[0]
    price = "l4-1x,global,0.31,nebius-price-page,2026-12-01,listed,,,,,,"
    (copy / "prices" / "anewcloud.csv").write_text(f"{header}\n{price}\n")
    catalog = load_catalog(copy)
    workload = {
        "name": "a", "model": "Qwen/Qwen2.5-7B-Instruct", "providers": ["anewcloud"], "slo": {"ttft_p95": "1s"},
        "demand": {"declared": {"requests_per_second": 1, "input_tokens": 500, "output_tokens": 100}},
        "as_of": dt.date(2026, 12, 1),
    }  # fmt: skip

    assert catalog.regions_of("anewcloud") == ("global",)
    assert catalog.regions["anewcloud", "global"].title == "No region printed"
    (copy.parent / "workload.yaml").write_text(yaml.safe_dump(workload))
    plan = recommend(copy.parent / "workload.yaml", catalog=copy)
    assert {group.instance_type for group in plan.fleet.groups} == {"l4-1x"}
