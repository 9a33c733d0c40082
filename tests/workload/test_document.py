"""The workload file: what it may say, and what is said when it is wrong."""

import time
from pathlib import Path

import pytest

from advisor.catalog.values import Purchase
from advisor.cost import last_day
from advisor.errors import InputError
from advisor.workload.document import read_workload
from advisor.workload.measured_demand import SampleDemand, TraceDemand
from advisor.workload.values import DeclaredDemand, Exclude, Limits, Survive

MINIMAL = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
demand:
  declared: {requests_per_second: 12, input_tokens: 800, output_tokens: 200}
"""


def read(tmp_path: Path, text: str):
    """The workload that *text* describes."""
    path = tmp_path / "workload.yaml"
    path.write_text(text)
    return read_workload(path)


def complaint(tmp_path: Path, text: str) -> str:
    """What is said about *text*."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    return str(caught.value)


def test_three_keys_are_enough(tmp_path):
    """Name, model and demand suffice; everything else has a stated default."""
    workload = read(tmp_path, MINIMAL)

    assert workload.demand == DeclaredDemand(12, 12, 800, 200)
    assert workload.precisions == ("bf16",)
    assert workload.providers == ("aws", "gcp", "azure")
    assert workload.purchase == (Purchase.ON_DEMAND,)
    assert workload.limits.memory_utilization == 0.9
    assert workload.current is None


def test_the_prefix_cache_hit_ratio_stands_beside_the_source(tmp_path):
    """A stated share is kept; nothing stated is no hits."""
    stated = MINIMAL + "  prefix_cache_hit_ratio: 0.4\n"
    assert read(tmp_path, stated).prefix_cache_hit_ratio == 0.4
    assert read(tmp_path, stated).demand == read(tmp_path, MINIMAL).demand
    assert read(tmp_path, MINIMAL).prefix_cache_hit_ratio == 0.0


@pytest.mark.parametrize("share", ["1", "-0.1", "40%"])
def test_a_hit_ratio_is_a_share_below_one(tmp_path, share):
    """A prompt is never cached to its last token."""
    said = complaint(tmp_path, MINIMAL + f"  prefix_cache_hit_ratio: {share}\n")
    assert "workload.yaml:5: demand.prefix_cache_hit_ratio" in said


def test_every_key_is_read(tmp_path):
    """A full workload keeps each value, durations in milliseconds and paths relative to the file."""
    workload = read(
        tmp_path,
        """\
name: chat
model: ./model/config.json
precisions: [fp8, bf16, fp8]
slo: {ttft_p95: 1.5s, tpot_p95: 50ms, e2e_p95: 2m}
demand:
  trace: requests.csv
providers: aws
regions: [us-east-1]
purchase: [spot, on_demand]
context_tokens: 4096
current: {provider: aws, region: us-east-1, instance_type: p4d.24xlarge, count: 2}
limits: {min_replicas: 2, max_replicas: 9, zones: 2, max_usd_per_month: 1000.5, memory_utilization: 0.8}
tags: {team: chat, project: support}
""",
    )

    assert workload.precisions == ("fp8", "bf16")
    assert (workload.slo.ttft_p95_ms, workload.slo.tpot_p95_ms, workload.slo.e2e_p95_ms) == (1500, 50, 120_000)
    assert workload.demand == TraceDemand(tmp_path / "requests.csv")
    assert workload.model_reference == str(tmp_path / "model/config.json")
    assert workload.current is not None
    assert workload.current.purchase is Purchase.ON_DEMAND
    assert workload.limits.max_usd_per_month == 1000.5
    assert workload.tags == (("project", "support"), ("team", "chat"))


def test_samples_are_a_source(tmp_path):
    """Demand can come from accelerator samples with stated lengths."""
    text = MINIMAL.replace(
        "declared: {requests_per_second: 12,", "samples: {path: day, requests_per_day: 1e5,"
    )  # fmt: skip

    assert read(tmp_path, text).demand == SampleDemand((str(tmp_path / "day"),), 100_000, 800, 200)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        pytest.param(MINIMAL + "slo: {ttft: 1s}\n", ":5: slo.ttft: unknown key 'ttft'\n  hint: did you mean ttft_p95", id="unknown key"),
        pytest.param(MINIMAL + "slo: {ttft_p95: 1}\n", ":5: slo.ttft_p95: '1' is not a duration\n  hint: write a number", id="no unit"),
        pytest.param(MINIMAL + "slo: {ttft_p95: 0ms}\n", "is not a duration", id="zero duration"),
        pytest.param(MINIMAL + "precisions: [fp9]\n", "precisions[0]: unknown value 'fp9'\n  hint: did you mean fp8", id="precision"),
        pytest.param(MINIMAL + "precisions: []\n", "the list is empty", id="empty list"),
        pytest.param(MINIMAL + "limits: {zones: two}\n", "limits.zones: 'two' is not a whole number\n  hint: give a whole number in digits alone", id="type"),
        pytest.param(MINIMAL + "limits: {max_kw: .nan}\n", "'.nan' is not a number\n  hint: give a number in digits alone", id="nan"),
        pytest.param(MINIMAL + "limits: {zones: 0}\n", "limits.zones: 0 is out of range", id="range"),
        pytest.param(MINIMAL + "limits: {memory_utilization: 1.2}\n", "1.2 is out of range", id="above one"),
        pytest.param(MINIMAL + "limits: {max_usd_per_month: nan}\n", "nan is out of range", id="nan"),
        pytest.param(MINIMAL + "limits: {max_usd_per_month: 0.001}\n", "0.001 is out of range", id="below a cent"),
        pytest.param(MINIMAL + "limits: {min_replicas: 3, max_replicas: 2}\n", "max_replicas 2 contradicts min_replicas 3", id="contradiction"),
        pytest.param(MINIMAL + "limits: {zones: 3, max_replicas: 2}\n", "max_replicas 2 contradicts zones 3", id="zones"),
        pytest.param(MINIMAL + "limits: [1]\n", "expected a mapping, found a list", id="list for mapping"),
        pytest.param(
            MINIMAL + "limits:\n  quotas:\n" + "".join(
                f"    - {{provider: aws, region: us-east-1, code: L-DB2E81BA, limit: {limit}}}\n" for limit in (1, 5)
            ),
            ":8: limits.quotas[1].limit: another limit of aws us-east-1 L-DB2E81BA is 1", id="two limits",
        ),
        pytest.param(MINIMAL + "targets: [ek]\n", "targets[0]: unknown value 'ek'\n  hint: did you mean eks", id="target"),
        pytest.param(MINIMAL + "targets: [moon]\n", "hint: known: ec2, eks, eks-karpenter, sagemaker, mig,", id="targets"),
        pytest.param(
            MINIMAL + "providers: [aws]\ntargets: [gke]\n",
            ":6: targets: none of them runs on aws, where the plan may run\n  hint: name one of ec2, eks,",
            id="target of another cloud",
        ),
        pytest.param(
            MINIMAL + "purchase: [spot]\nexclude: {purchase: [spot]}\n", "no way of paying is left of spot", id="no purchase",
        ),
        pytest.param(MINIMAL + "name: other\n", ":5: name: the key is there twice", id="twice"),
        pytest.param(MINIMAL + "regions: {a: b}\n", "expected a list, found a mapping", id="mapping for list"),
        pytest.param(MINIMAL + "regions:\n", "the value is empty", id="null"),
        pytest.param(MINIMAL + "current: {provider: aws}\n", "missing: region, instance_type, count", id="missing"),
        pytest.param(
            MINIMAL + "current: {provider: aws, region: us-east-1, instance_type: g6.xlarge, count: 1, "
            "measured: {requests_per_second: 6}}\n",
            "a rate without a latency measures nothing", id="measured",
        ),
        pytest.param(MINIMAL.replace("name: chat\n", ""), "the key 'name' is missing", id="no name"),
        pytest.param(MINIMAL.replace("12", "-1"), "declared.requests_per_second: -1 is out of range", id="negative"),
        pytest.param(MINIMAL + "  trace: x.csv\n", "demand needs exactly one source", id="two sources"),
        pytest.param(MINIMAL.partition("demand:")[0] + "demand: {}\n", "add one of: trace, summary", id="no source"),
        pytest.param(MINIMAL + "tags: {team: A B}\n", "tags.team: 'A B' is not a value that every cloud takes", id="tag"),
        pytest.param("name: [", ":1: not valid YAML", id="syntax"),
        pytest.param("name: chat\n# \0\n", ":2: not valid YAML: character U+0000", id="NUL"),
        pytest.param("name: chat\n" * 9000 + "\0\n", ":9001: not valid YAML: character U+0000", id="NUL in a large file"),
        pytest.param("", "the workload is empty", id="empty"),
        pytest.param("- a\n", "expected a mapping, found a list", id="not a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path, broken, expected):
    """Each mistake names its line and field, and how to fix it."""
    assert expected in complaint(tmp_path, broken)


def test_a_missing_file_is_no_traceback(tmp_path):
    """A file that is not there is an InputError that names it."""
    with pytest.raises(InputError, match="nowhere"):
        read_workload(tmp_path / "nowhere.yaml")


def test_yaml_tags_build_no_objects(tmp_path):
    """A tag that asks for a Python object is only text: nothing is executed."""
    assert "contradict" not in complaint(tmp_path, "!!python/object/apply:os.system ['true']\n")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("commitment_years: [3]", "hint: it belongs under limits"),
        ("zones: 2", "hint: it belongs under limits"),
        ("ttft_p95: 1s", "hint: it belongs under slo"),
        ("horizon: 30d", "hint: it belongs under demand"),
        ("scale_to_zero: true", "hint: it belongs under scaling"),
        ("limits: {providers: [aws]}", "hint: it belongs at the top level"),
        ("slo: {zones: 2}", "hint: it belongs under limits"),
        ("exclude: {precisions: [fp8]}", "hint: it belongs at the top level"),
    ],
)
def test_a_key_at_the_wrong_level_is_told_where_it_belongs(tmp_path, stated, expected):
    """A known key elsewhere names its own level and not its neighbours."""
    assert expected in complaint(tmp_path, MINIMAL + stated + "\n")


def test_what_a_plan_is_held_to_is_read(tmp_path):
    """Lists to plan with and to exclude, limits of the planner, prices that count."""
    read_as = read(
        tmp_path,
        MINIMAL
        + """\
accelerators: [L4, H100]
instance_types: g6.xlarge
engines: [vLLM]
exclude: {providers: [gcp], regions: [us-east-1], accelerators: [T4], instance_types: [p5.48xlarge], engines: [SGLang]}
listed_only: true
limits: {on_demand_base_ratio: 0.3, simplicity: 0, commitment_years: [3, 1], commit_without_history: true, survive: nothing}
""",
    )

    assert (read_as.accelerators, read_as.instance_types, read_as.engines) == (
        ("L4", "H100"),
        ("g6.xlarge",),
        ("vLLM",),
    )
    assert read_as.exclude == Exclude(("gcp",), ("us-east-1",), ("T4",), ("p5.48xlarge",), ("SGLang",))
    assert read_as.listed_only
    limits = read_as.limits
    assert (limits.on_demand_base_ratio, limits.simplicity, limits.commitment_years) == (0.3, 0, (1, 3))
    assert limits.commit_without_history
    assert limits.survive is Survive.NOTHING


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, Survive.NOTHING),
        ({"min_replicas": 2}, Survive.INSTANCE),
        ({"zones": 2}, Survive.INSTANCE),
        ({"zones": 2, "survive": Survive.NOTHING}, Survive.NOTHING),
        ({"survive": Survive.ZONE, "zones": 3}, Survive.ZONE),
    ],
)
def test_several_replicas_or_zones_survive_an_instance(limits, expected):
    """What may fail follows from what is asked for twice, unless it is stated."""
    assert Limits(**limits).survival is expected


USERS = MINIMAL.replace("requests_per_second: 12", "concurrent_users: 40")


def test_users_stand_in_place_of_a_rate(tmp_path):
    """With the time that they think, in seconds."""
    assert read(tmp_path, USERS).demand == DeclaredDemand(None, None, 800, 200, 40, None)
    thinking = USERS.replace("40", "40, think_time: 500ms, peak_requests_per_second: 9")
    assert read(tmp_path, thinking).demand == DeclaredDemand(None, 9, 800, 200, 40, 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL.replace("12", "12, concurrent_users: 4"), "either requests_per_second or concurrent_users"),
        (MINIMAL.replace("requests_per_second: 12, ", ""), "either requests_per_second or concurrent_users"),
        (MINIMAL.replace("12", "12, think_time: 4s"), "think_time: it needs concurrent_users"),
        (USERS.replace("40", "0"), "concurrent_users: 0 is out of range"),
        (MINIMAL.replace("200", "0"), "output_tokens: 0 is out of range"),
        (MINIMAL.replace("12", "12, peak_requests_per_second: 3"), "3 is out of range"),
        (MINIMAL.replace("200", "1e300"), "output_tokens: 1e300 is out of range"),
        (MINIMAL + f"limits: {{min_replicas: {10**21}}}\n", "a whole number of at least 1 and at most 10,000"),
        (MINIMAL + "limits: {survive: zone}\n", "survive: zone contradicts zones: 1"),
        (MINIMAL + "limits: {survive: instance, max_replicas: 1}\n", "max_replicas 1 contradicts survive: instance"),
        (MINIMAL + "limits: {commitment_years: [2]}\n", "commitment_years[0]: unknown value '2'"),
        (MINIMAL + "limits: {on_demand_base_ratio: 1.5}\n", "1.5 is out of range"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path, text, expected):
    """Each with its field and both sides."""
    assert expected in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "  horizon: 3651d\n", "demand.horizon: 3651d is out of range hint: give at most ten years (10y)"),
        (MINIMAL + "  horizon: 99999999999d\n", "demand.horizon: 99999999999d is out of range"),
        (MINIMAL + f"  horizon: {'9' * 400}y\n", f"demand.horizon: {'9' * 40}… is out of range"),
        (MINIMAL + f"slo: {{ttft_p95: {'9' * 400}s}}\n", "is out of range hint: give at most ten years (87600h)"),
        (
            MINIMAL + "as_of: 2999-01-01\n",
            "as_of: 2999-01-01 is out of range hint: give a day from 1990-01-01 to 2099-12-31",
        ),
        (
            MINIMAL + "as_of: 0001-01-01\n",
            "as_of: 0001-01-01 is out of range hint: give a day from 1990-01-01 to 2099-12-31",
        ),
        (MINIMAL.replace("12", "1e400"), "1e400 is out of range hint: give a number above 0 and at most 1e+15"),
        (MINIMAL.replace("12", "0"), "0 is out of range hint: give a number above 0"),
        (MINIMAL + "  growth_per_year: 1e300\n", "1e300 is out of range hint: give a number above -1 and at most 1000"),
    ],
)
def test_values_beyond_every_use_are_refused_with_their_range(tmp_path, text, expected):
    """The field, the range and the remedy; a value of hundreds of digits is not repeated."""
    told = " ".join(complaint(tmp_path, text).split())
    assert expected in told
    assert len(told) < 300


@pytest.mark.parametrize("name", ["日本語 🤖", "a 👩‍💻", "${file('x')}"])
def test_names_in_any_script_are_kept(tmp_path, name):
    """Whatever is written in one line."""
    assert read(tmp_path, MINIMAL.replace("name: chat", f'name: "{name}"')).name == name


@pytest.mark.parametrize("horizon", ["10y", "3650d", "1d"])
def test_the_longest_horizon_begins_on_the_latest_day(tmp_path, horizon):
    """The latest planning day and the longest horizon."""
    workload = read(tmp_path, MINIMAL + f"  horizon: {horizon}\nas_of: 2099-12-31\n")
    assert last_day(workload.as_of, workload.horizon_days).year in (2099, 2109)


def test_a_large_file_is_refused_in_a_second(tmp_path):
    """A file at the limit of what is read, with one key again and again."""
    started = time.process_time()
    assert "the key is there twice" in complaint(tmp_path, "name: x\n" * 120_000)
    assert time.process_time() - started < 4


@pytest.mark.parametrize(
    ("new", "line", "expected"),
    [
        ('name: "\\ud800"', 1, "a text holds U+D800"),
        ('name: "a\\0b"', 1, "a text holds U+0000"),
        ('name: "a\\x00b"', 1, "a text holds U+0000"),
        ('name: "\\U0000dfff"', 1, "a text holds U+DFFF"),
        ('name: chat\n"\\0": 1', 2, "a text holds U+0000"),
        ("name: chat\n? [a, b]\n: 1", 2, "a key has to be text, found a list"),
        ("name: chat\n{a: b}: 1", 2, "a key has to be text, found a mapping"),
    ],
)
def test_keys_and_escapes_that_are_no_text_are_refused(tmp_path, new, line, expected):
    """Each with its line and a remedy."""
    told = complaint(tmp_path, MINIMAL.replace("name: chat", new))
    assert f"workload.yaml:{line}: " in told
    assert expected in told
    assert "hint: " in told


def test_a_file_that_holds_itself_is_looked_at_once(tmp_path):
    """An anchor within itself is no endless walk."""
    with pytest.raises(InputError, match="unknown key 'loop'"):
        read(tmp_path, MINIMAL + "loop: &loop [*loop]\n")


@pytest.mark.parametrize(
    ("providers", "instance_type", "expected"),
    [
        ("providers: [aws]\n", "g5.12xlarge", "aws"),
        ("", "g5.12xlarge", "aws"),
        ("providers: [aws, gcp]\n", "g2-standard-4", "gcp"),
        ("providers: [aws, gcp]\n", "nosuch", None),
    ],
)
def test_the_provider_of_what_runs_today_follows_from_what_is_named(tmp_path, providers, instance_type, expected):
    """The only one to plan for, or the only one that has the type; else it has to be stated."""
    text = f"{MINIMAL}{providers}current: {{instance_type: {instance_type}, count: 6, region: eu-west-1}}\n"
    if expected is None:
        with pytest.raises(InputError, match="missing: provider") as raised:
            read(tmp_path, text)
        assert raised.value.hint == "add provider under current"
    else:
        assert read(tmp_path, text).current.provider == expected
