"""Workloads with LoRA adapters on one base as one deployment."""

import json
from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.lengths import declared_demand, together
from advisor.estate import plan_estate
from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.plan.request import read_question
from advisor.report.estate_table import estate_markdown

WORKLOAD = """name: {name}
model: meta-llama/Llama-3.1-8B-Instruct
slo: {{ttft_p95: {ttft}, tpot_p95: 50ms}}
demand: {{declared: {{requests_per_second: {rate}, input_tokens: {tokens}, output_tokens: 200}}}}
providers: [aws]
regions: [us-east-1]
accelerators: [L40S]
"""
SQL = "adapters: [{id: acme/sql, rank: 16}]\n"
MAIL = "adapters: [{id: acme/mail, rank: 8, share: 0.75}, {id: acme/mail-de, rank: 8}]\n"


def estate(tmp_path, *files):
    """The estate of workload files, each a name, a rate, prompt tokens, a TTFT and more lines."""
    for name, rate, tokens, ttft, more in files:
        text = WORKLOAD.format(name=name, rate=rate, tokens=tokens, ttft=ttft)
        (tmp_path / f"{name}.yaml").write_text(text + more)
    (tmp_path / "estate.yaml").write_text("sharing: none\n")
    return plan_estate(tmp_path)


THREE = (("sql", 0.5, 800, "1s", SQL), ("mail", 0.25, 400, "800ms", MAIL), ("plain", 0.25, 800, "2s", ""))


def test_small_fine_tunes_of_one_base_are_one_deployment(tmp_path):
    """The sum of their demand at the tightest targets, cheaper than three fleets, in every document."""
    planned = estate(tmp_path, *THREE)
    (base,) = planned.estate.joined
    sums = planned.estate.totals
    question = read_question(plan_from_json(planned.plans[base.plan]).question)
    adapters = question.workload.adapters

    assert base.workloads == ("mail.yaml", "plain.yaml", "sql.yaml")
    assert base.usd_per_month < base.apart_usd_per_month == sums.fleets_usd_per_month
    assert sums.total_usd_per_month == pytest.approx(base.usd_per_month, abs=0.005)
    assert sums.bases_saved_usd_per_month == pytest.approx(base.apart_usd_per_month - base.usd_per_month, abs=0.005)
    assert question.demand.requests_per_second.mean == pytest.approx(1.0)
    assert question.demand.input_tokens.mean == pytest.approx(700)
    assert question.workload.slo.ttft_p95_ms == 800
    assert {adapter.id: adapter.share for adapter in adapters.named} == pytest.approx(
        {"acme/sql": 0.5, "acme/mail": 0.1875, "acme/mail-de": 0.0625}
    )
    assert base.plan_file == "base-1.plan.json"
    (others,) = {plan_from_json(planned.plans[file]).seated_on.partition(" with ")[0] for file in base.workloads}
    assert others == "one deployment of meta-llama/Llama-3.1-8B-Instruct"
    assert plan_from_json(planned.plans["sql.yaml"]).seated_on.endswith(
        "with mail.yaml, plain.yaml (its plan is base-1.plan.json)"
    )
    assert plan_from_json(planned.plans[base.plan]).seated_on == ""
    text = estate_markdown(planned.estate)
    assert "with the others on base 1" in text
    assert "workloads on one base save" in text
    assert estate_from_json(estate_to_json(planned.estate)) == planned.estate


@pytest.mark.parametrize(
    "files",
    [
        (("sql", 0.5, 800, "1s", ""), ("mail", 0.25, 400, "800ms", "")),
        (("sql", 0.5, 800, "1s", SQL), ("mail", 0.25, 400, "800ms", SQL)),
        (("sql", 0.5, 800, "1s", SQL), ("mail", 0.25, 400, "800ms", MAIL + "purchase: [spot]\n")),
        (("sql", 0.5, 800, "1s", SQL), ("mail", 0.25, 400, "800ms", MAIL + "limits: {max_usd_per_month: 9000}\n")),
    ],
    ids=["no adapters", "one name twice", "another way of paying", "a budget of its own"],
)
def test_workloads_that_differ_stay_apart(tmp_path, files):
    """And nothing is said of a base."""
    planned = estate(tmp_path, *files)

    assert planned.estate.joined == ()
    assert "joined" not in json.loads(estate_to_json(planned.estate))
    assert set(planned.plans) == {"sql.yaml", "mail.yaml"}


def test_demands_add_up():
    """Rates and peaks, lengths by rate, and the longest of all."""
    one, other = declared_demand(3, 6, 100, 50), declared_demand(1, 2, 900, 10)
    both = together([one, other])

    assert (both.requests_per_second.mean, both.requests_per_second.peak) == (4, 8)
    assert both.tokens.mean_input_tokens() == pytest.approx(300)
    assert both.tokens.mean_output_tokens() == pytest.approx(40)
    assert (both.input_tokens.p50, both.input_tokens.p95, both.input_tokens.max) == (100, 900, 900)
    assert both.longest_request_tokens == 910
    assert np.isclose(both.tokens.probability.sum(), 1)
    assert together([replace(one, notes=())]).requests_per_second == one.requests_per_second
