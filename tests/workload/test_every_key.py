"""Every key of the workload file counts: another value gives another plan, or a note that says why not.

A base for each case, and what is changed in it. Some of the cases every day, all of them with ADVISOR_EVERY_KEY=1.
"""

import copy
import datetime as dt
import os
from functools import cache
from pathlib import Path

import pytest
import yaml

from advisor import pipeline
from advisor.plan.document import plan_document
from advisor.workload import declared_fields, document, planning_fields

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARES = 12
ECHOES = {"workload", "question", "digest", "provenance", "demand"}
"""Parts of a plan that repeat what was asked."""
REPEATED = {"context_tokens", "memory_utilization"}
"""Fields of a layout that do."""

DECLARED = {
    "name": "a",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "precisions": ["bf16", "fp8"],
    "slo": {"ttft_p95": "1s", "tpot_p95": "50ms"},
    "demand": {"declared": {"requests_per_second": 6, "input_tokens": 800, "output_tokens": 200}},
    "providers": ["aws"],
    "regions": ["us-east-1"],
    "accelerators": ["L4", "L40S"],
    "as_of": dt.date(2026, 11, 24),
}
TEXTS = {
    "model": "BAAI/bge-m3",
    "slo": {"latency_p95": "100ms"},
    "demand": {"declared": {"requests_per_second": 300, "input_tokens": 512}},
}
RANKED = {"declared": {"requests_per_second": 20, "documents": 20, "tokens_per_document": 400, "query_tokens": 20}}
RANKING = {"model": "BAAI/bge-reranker-v2-m3", "slo": {"latency_p95": "1s"}, "demand": RANKED}
SPEECH = {
    "model": "openai/whisper-large-v3",
    "slo": {"real_time_factor": 0.5},
    "demand": {"declared": {"requests_per_second": 9, "audio_seconds": 25}},
}
SEEING = {
    "model": "google/vit-base-patch16-224",
    "slo": {},
    "demand": {"declared": {"requests_per_second": 900, "images": {"count": 1}}},
}
READING = {
    "model": "Qwen/Qwen2.5-VL-7B-Instruct",
    "demand.declared.images": {"count": 1, "width": 2048, "height": 1536},
}
SCORING = {
    "model": str(EXAMPLES / "trees" / "xgboost.json"),
    "precisions": ["fp32"],
    "slo": {"latency_p95": "20ms"},
    "demand": {"declared": {"requests_per_second": 2000, "rows": 10}},
}
PAINTED = {"declared": {"requests_per_second": 1, "steps": 20, "images": {"width": 1024, "height": 1024}}}
PAINTING = {"model": "stabilityai/stable-diffusion-xl-base-1.0", "slo": {}, "demand": PAINTED}
USERS = {"declared": {"concurrent_users": 60, "input_tokens": 800, "output_tokens": 200}}
BATCH = {
    "items": 40000, "every": "day", "deadline": "10h", "window": "18:00-06:00", "input_tokens": 800, "output_tokens": 200
}  # fmt: skip
BATCHING = {"slo": None, "demand": {"batch": BATCH}}
SUMMARY = {"summary": str(EXAMPLES / "chat" / "demand.json")}
PLACE = str(EXAMPLES / "gpu-samples" / "samples")
VOLUME = {"requests_per_day": 400000, "input_tokens": 900, "output_tokens": 250}
SAMPLES = {"samples": {"path": PLACE, **VOLUME}}
COUNTED = {"path": PLACE, "requests_per_day": 400000}
RANKED_SAMPLES = RANKING | {"demand": {"samples": COUNTED | RANKED["declared"]}}
del RANKED_SAMPLES["demand"]["samples"]["requests_per_second"]
PAINTED_SAMPLES = PAINTING | {
    "demand": {"samples": COUNTED | {"requests_per_day": 9000, "steps": 20, "images": {"width": 1024, "height": 1024}}}
}
HELD = {"provider": "aws", "region": "us-east-1", "instance_type": "g6.xlarge", "count": 1}
OWNED = HELD | {"expires": dt.date(2027, 12, 31)}
QUOTA = {"provider": "aws", "region": "us-east-1", "code": "L-DB2E81BA", "limit": 1000}
CACHE = {"hit_ratio": 0.4, "memory_gib": 20}
TUNES = {"count": 24, "rank": 16}
TUNE = {"id": "acme/a", "rank": 16}
OPEN = {"accelerators": None, "regions": ["us-east-1", "eu-central-1"]}

SECOND_CASES = {"declared.images.size"}
"""Cases of a key that has one already: images of a language model, in pixels."""
CASES = {
    "model": ({}, {"model": "Qwen/Qwen3-14B"}),
    "precisions": ({}, {"precisions": ["bf16"]}),
    "providers": ({"regions": None}, {"providers": ["gcp"]}),
    "regions": ({}, {"regions": ["us-west-2"]}),
    "purchase": ({}, {"purchase": ["spot"]}),
    "context_tokens": ({}, {"context_tokens": 60000}),
    "current": ({}, {"current": HELD}),
    "users": (OPEN, {"users": {"DE": 1.0}}),
    "residency": (OPEN, {"residency": ["EU"]}),
    "commitments": ({}, {"commitments": [OWNED]}),
    "routing": ({"demand": SUMMARY}, {"routing": "by_prompt_length"}),
    "as_of": ({}, {"as_of": dt.date(2028, 11, 24)}),
    "compare": ({}, {"compare": ["openai/gpt-5-mini"]}),
    "response_cache": ({}, {"response_cache": CACHE}),
    "response_cache.hit_ratio": ({"response_cache": CACHE}, {"response_cache.hit_ratio": 0.7}),
    "response_cache.memory_gib": ({"response_cache": CACHE}, {"response_cache.memory_gib": 80}),
    "response_cache.ttl": ({"response_cache": CACHE}, {"response_cache.ttl": "1h"}),
    "response_cache.runs_already": ({"response_cache": CACHE}, {"response_cache.runs_already": True}),
    "response_cache.similarity": ({"response_cache": CACHE}, {"response_cache.similarity": 0.9}),
    "adapters": ({}, {"adapters": {"count": 24, "rank": 16}}),
    "adapters.count": ({"adapters": TUNES}, {"adapters.count": 60}),
    "adapters.rank": ({"adapters": TUNES}, {"adapters.rank": 64}),
    "adapters.target_modules": ({"adapters": TUNES}, {"adapters.target_modules": ["q_proj"]}),
    "adapters.active": ({"adapters": TUNES}, {"adapters.active": 4}),
    "adapters.named": ({}, {"adapters": {"named": [TUNE]}}),
    "named.id": ({"adapters": [TUNE, TUNE | {"id": "acme/b"}]}, {"adapters": [TUNE, TUNE]}),
    "named.path": ({"adapters": [TUNE]}, {"adapters": [{"path": "nowhere"}]}),
    "named.rank": ({"adapters": [TUNE]}, {"adapters": [TUNE | {"rank": 256}]}),
    "named.target_modules": ({"adapters": [TUNE]}, {"adapters": [TUNE | {"target_modules": ["q_proj"]}]}),
    "named.share": (
        {"adapters": {"active": 1, "named": [TUNE, TUNE | {"id": "acme/b"}]}},
        {"adapters.named": [TUNE | {"share": 0.99}, TUNE | {"id": "acme/b"}]},
    ),
    "accelerators": ({}, {"accelerators": ["L4"]}),
    "instance_types": ({}, {"instance_types": ["g6.12xlarge"]}),
    "engines": ({}, {"engines": ["SGLang"]}),
    "existing_cluster": (
        TEXTS | {"providers": ["gcp"], "regions": ["us-central1"], "engines": ["text-embeddings-inference"]},
        {"existing_cluster": True},
    ),
    "exclude.purchase": (
        {"purchase": ["on_demand", "spot"]},
        {"exclude": {"purchase": ["spot"]}},
    ),
    "targets": ({}, {"targets": ["eks"]}),
    "listed_only": ({"as_of": dt.date(2028, 11, 24)}, {"listed_only": True}),
    "slo.ttft_p95": ({}, {"slo.ttft_p95": "150ms"}),
    "slo.tpot_p95": ({}, {"slo.tpot_p95": "18ms"}),
    "slo.e2e_p95": ({}, {"slo.e2e_p95": "4s"}),
    "slo.within_ratio": ({}, {"slo.within_ratio": 0.5}),
    "slo.latency_p50": (TEXTS | {"slo": {"latency_p50": "100ms"}}, {"slo.latency_p50": "8ms"}),
    "slo.latency_p95": (TEXTS, {"slo.latency_p95": "20ms"}),
    "slo.latency_p99": (TEXTS | {"slo": {"latency_p99": "100ms"}}, {"slo.latency_p99": "20ms"}),
    "slo.real_time_factor": (SPEECH, {"slo.real_time_factor": 0.03}),
    "slo.samples_per_second": (TEXTS, {"slo.samples_per_second": 30}),
    "exclude.providers": ({"providers": ["aws", "gcp"], "regions": None}, {"exclude.providers": ["aws"]}),
    "exclude.regions": ({"regions": ["us-east-1", "us-west-2"]}, {"exclude.regions": ["us-east-1"]}),
    "exclude.accelerators": ({}, {"exclude.accelerators": ["L4"]}),
    "exclude.instance_types": ({}, {"exclude.instance_types": ["g6.xlarge"]}),
    "exclude.engines": ({}, {"exclude.engines": ["vLLM"]}),
    "demand.trace": ({}, {"demand": {"trace": "requests.csv"}}),
    "demand.summary": ({}, {"demand": SUMMARY}),
    "demand.samples": ({}, {"demand": SAMPLES}),
    "demand.declared": ({"demand": SUMMARY}, {"demand": DECLARED["demand"]}),
    "demand.prefix_cache_hit_ratio": ({}, {"demand.prefix_cache_hit_ratio": 0.6}),
    "demand.growth_per_year": ({}, {"demand.growth_per_year": 9.0}),
    "demand.times": ({}, {"demand.times": 6}),
    "demand.prompt_times": ({}, {"demand.prompt_times": 6}),
    "demand.horizon": ({"demand.growth_per_year": 3.0}, {"demand.horizon": "300d"}),
    "declared.requests_per_second": ({}, {"demand.declared.requests_per_second": 30}),
    "declared.peak_requests_per_second": ({}, {"demand.declared.peak_requests_per_second": 30}),
    "declared.concurrent_users": ({"demand": USERS}, {"demand.declared.concurrent_users": 400}),
    "declared.think_time": ({"demand": USERS}, {"demand.declared.think_time": "40s"}),
    "declared.input_tokens": ({}, {"demand.declared.input_tokens": 4000}),
    "declared.output_tokens": ({}, {"demand.declared.output_tokens": 900}),
    "demand.batch": ({"slo": None}, {"demand": {"batch": BATCH}}),
    "batch.items": (BATCHING, {"demand.batch.items": 90000}),
    "batch.every": (BATCHING, {"demand.batch.every": "week"}),
    "batch.deadline": (BATCHING, {"demand.batch.deadline": "1h"}),
    "batch.window": (BATCHING, {"demand.batch.window": "22:00-06:00"}),
    "batch.timezone": (BATCHING, {"demand.batch.timezone": "Asia/Tokyo"}),
    "declared.documents": (RANKING, {"demand.declared.documents": 90}),
    "declared.tokens_per_document": (RANKING, {"demand.declared.tokens_per_document": 1600}),
    "declared.query_tokens": (RANKING, {"demand.declared.query_tokens": 900}),
    "declared.audio_seconds": (SPEECH, {"demand.declared.audio_seconds": 100}),
    "declared.images": (SEEING, {"demand.declared.images": {"count": 9}}),
    "declared.images.size": (READING, {"demand.declared.images": {"count": 1, "width": 640, "height": 480}}),
    "declared.rows": (SCORING, {"demand.declared.rows": 4000}),
    "declared.steps": (PAINTING, {"demand.declared.steps": 80}),
    "samples.path": ({"demand": SAMPLES}, {"demand.samples.path": [f"{PLACE}/date=2026-10-14"]}),
    "samples.hosts": ({"demand": SAMPLES}, {"demand.samples.hosts": ["nobody-*"]}),
    "samples.model": ({"demand": SAMPLES}, {"demand.samples.model": "served-name"}),
    "samples.window": ({"demand": SAMPLES}, {"demand.samples.window": "3h"}),
    "samples.from": ({"demand": SAMPLES}, {"demand.samples.from": "2026-10-14T12:00"}),
    "samples.until": ({"demand": SAMPLES}, {"demand.samples.until": "2026-10-14T12:00"}),
    "samples.timezone": (
        {"demand": SAMPLES, "demand.samples.until": "2026-10-14T12:00"}, {"demand.samples.timezone": "Asia/Tokyo"}
    ),
    "samples.requests_per_day": ({"demand": SAMPLES}, {"demand.samples.requests_per_day": 4000000}),
    "samples.input_tokens": ({"demand": SAMPLES}, {"demand.samples.input_tokens": 4000}),
    "samples.output_tokens": ({"demand": SAMPLES}, {"demand.samples.output_tokens": 900}),
    "samples.documents": (RANKED_SAMPLES, {"demand.samples.documents": 60}),
    "samples.tokens_per_document": (RANKED_SAMPLES, {"demand.samples.tokens_per_document": 1600}),
    "samples.query_tokens": (RANKED_SAMPLES, {"demand.samples.query_tokens": 900}),
    "samples.audio_seconds": (
        SPEECH | {"demand": {"samples": {**COUNTED, "audio_seconds": 25}}}, {"demand.samples.audio_seconds": 100}
    ),
    "samples.images": (PAINTED_SAMPLES, {"demand.samples.images": {"count": 3, "width": 1024, "height": 1024}}),
    "samples.steps": (PAINTED_SAMPLES, {"demand.samples.steps": 80}),
    "samples.rows": (
        SCORING | {"demand": {"samples": {"path": PLACE, "requests_per_day": 4_000_000}}}, {"demand.samples.rows": 4000}
    ),
    "current.provider": ({"current": HELD}, {"current": HELD | {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}}),
    "current.region": ({"current": HELD}, {"current.region": "us-west-2"}),
    "current.instance_type": ({"current": HELD}, {"current.instance_type": "g5.xlarge"}),
    "current.count": ({"current": HELD}, {"current.count": 9}),
    "current.measured": (
        {"current": HELD},
        {"current.measured": {"requests_per_second": 6, "ttft_p95": "30ms", "tpot_p95": "8ms", "e2e_p95": "2s"}},
    ),
    "current.purchase": ({"current": HELD}, {"current.purchase": "spot"}),
    "commitments.provider": ({"commitments": [OWNED]}, {"commitments": [OWNED | {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}]}),
    "commitments.region": ({"commitments": [OWNED]}, {"commitments": [OWNED | {"region": "us-west-2"}]}),
    "commitments.instance_type": ({"commitments": [OWNED]}, {"commitments": [OWNED | {"instance_type": "g6e.xlarge"}]}),
    "commitments.count": ({"commitments": [OWNED]}, {"commitments": [OWNED | {"count": 3}]}),
    "commitments.expires": ({"commitments": [OWNED]}, {"commitments": [OWNED | {"expires": dt.date(2026, 1, 1)}]}),
    "scaling.scheduled": ({"demand": SAMPLES}, {"scaling.scheduled": False}),
    "scaling.scale_to_zero": ({"providers": ["gcp"], "regions": ["us-central1"]}, {"scaling.scale_to_zero": True}),
    "scaling.take_turns": ({}, {"scaling.take_turns": True}),
    "limits.min_replicas": ({}, {"limits.min_replicas": 12}),
    "limits.max_replicas": ({}, {"limits.max_replicas": 1}),
    "limits.zones": ({}, {"limits.zones": 3}),
    "limits.max_usd_per_month": ({}, {"limits.max_usd_per_month": 10}),
    "limits.memory_utilization": ({}, {"limits.memory_utilization": 0.75}),
    "limits.survive": ({}, {"limits.survive": "instance"}),
    "limits.fault_tolerant_ratio": ({"purchase": ["on_demand", "spot"]}, {"limits.fault_tolerant_ratio": 1.0}),
    "limits.max_instance_types": ({"demand": SUMMARY}, {"limits.max_instance_types": 1}),
    "limits.max_changed_instances": ({"current": HELD}, {"limits.max_changed_instances": 0}),
    "limits.switching_usd_per_instance": ({"current": HELD}, {"limits.switching_usd_per_instance": 5000}),
    "limits.on_demand_base_ratio": ({"purchase": ["on_demand", "spot"], "limits.fault_tolerant_ratio": 1.0}, {"limits.on_demand_base_ratio": 1.0}),
    "limits.simplicity": ({"demand": SUMMARY}, {"limits.simplicity": 0.9}),
    "limits.commitment_years": ({"purchase": ["on_demand", "commitment"], "limits.commit_without_history": True}, {"limits.commitment_years": [3]}),
    "limits.commit_without_history": ({"purchase": ["on_demand", "commitment"]}, {"limits.commit_without_history": True}),
    "limits.commit_beyond_forecast": (
        {"demand": SAMPLES, "purchase": ["on_demand", "commitment"], "limits.commit_without_history": True},
        {"limits.commit_beyond_forecast": True},
    ),
    "limits.quotas": ({}, {"limits.quotas": [QUOTA | {"limit": 4}]}),
    "limits.max_kg_co2e_per_month": ({}, {"limits.max_kg_co2e_per_month": 1}),
    "limits.max_kw": ({}, {"limits.max_kw": 0.01}),
}  # fmt: skip
ELSEWHERE = {
    "limits.max_regions": "a permission that few plans use: tests/plan/test_one_planner.py",
    "limits.mix_providers": "a permission that few plans use: tests/plan/test_one_planner.py",
    "name": "it stands in the names of resources",
    "tags": "they stand at resources: tests/codegen/test_stack.py",
    "slo": "its parts", "demand": "its parts", "limits": "its parts", "scaling": "its parts", "exclude": "its parts",
    "demand.timezone": "it changes nothing of flat demand: tests/demand/test_local_clocks.py",
    "demand.prometheus": "needs a server: tests/test_recommend_prometheus.py",
    "demand.cloudwatch": "needs a server: tests/test_recommend_cloudwatch.py",
}  # fmt: skip


def today():
    """Cases of this run: others every day."""
    if os.environ.get("ADVISOR_EVERY_KEY") == "1":
        return list(CASES)
    day = dt.datetime.now(dt.UTC).toordinal()
    return [name for place, name in enumerate(CASES) if place % SHARES == day % SHARES]


def changed(base, changes):
    """A workload with some of its fields set, named by their path; None takes a field out."""
    asked = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = asked
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = copy.deepcopy(value)
    return {key: value for key, value in asked.items() if value is not None}


def stripped(value):
    """A plan without the fields of its layouts that repeat the question."""
    if isinstance(value, dict):
        return {key: stripped(part) for key, part in value.items() if key not in REPEATED}
    return [stripped(part) for part in value] if isinstance(value, list) else value


@cache
def planned(text):
    """What is planned for the text of a workload file, beside what it repeats; or why nothing is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        path = Path(os.environ["ADVISOR_KEYS_PLACE"]) / "workload.yaml"
        path.write_text(text)
        try:
            plan = plan_document(pipeline.recommend(path))
        except Exception as error:  # noqa: BLE001 - whatever is said counts, a bug of ours fails below
            return f"{type(error).__name__}: {error}"
        return stripped({key: part for key, part in plan.items() if key not in ECHOES})


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Directory of the workload files, with a trace."""
    directory = tmp_path_factory.mktemp("keys")
    rows = [
        f"2026-11-20T{hour:02}:{minute:02}:00Z,{300 + 20 * minute},100" for hour in range(3) for minute in range(60)
    ]
    (directory / "requests.csv").write_text("timestamp,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVISOR_KEYS_PLACE", str(directory))
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", today())
def test_another_value_gives_another_plan_or_says_why_not(name):
    """The base and the changed workload differ in their plans, notes or refusals beyond what repeats the question."""
    base, change = CASES[name]
    before = changed(DECLARED, base)
    first, second = (planned(yaml.safe_dump(asked, sort_keys=False)) for asked in (before, changed(before, change)))
    assert isinstance(first, dict), first
    assert isinstance(second, dict) or second.startswith(("InputError", "CatalogError")), second
    assert first != second


def test_every_key_that_a_workload_may_have_stands_in_the_table():
    """A new key needs a case, or the place of its test."""
    sections = {
        "": document._KEYS,
        "slo.": document._EVERY_SLO_KEY,
        "demand.": (*document._DEMAND_SOURCES, *document._BESIDE_SOURCE),
        "declared.": declared_fields.DECLARED_KEYS,
        "batch.": document.BATCH_KEYS,
        "samples.": document._SAMPLE_KEYS,
        "current.": document._CURRENT_KEYS,
        "commitments.": planning_fields._COMMITMENT_KEYS,
        "scaling.": planning_fields.SCALING_KEYS,
        "limits.": planning_fields.LIMIT_KEYS,
        "exclude.": planning_fields.EXCLUDE_KEYS,
        "response_cache.": planning_fields.CACHE_KEYS,
        "adapters.": planning_fields.COUNT_KEYS,
        "named.": planning_fields.NAMED_KEYS,
    }
    keys = {f"{section}{key}" for section, names in sections.items() for key in names}
    assert keys == {*CASES, *ELSEWHERE} - SECOND_CASES
    assert set(declared_fields.RECORDED_KEYS) < set(declared_fields._KEYS)
