"""Answers that LiteLLM has no route to."""

import pytest

from advisor.errors import InputError
from advisor.pipeline import recommend
from advisor.report.explain_plan import litellm_config


@pytest.mark.parametrize(("model", "answer"), [("colbert-ir/colbertv2.0", "vectors"), ("naver/splade-v3", "terms")])
def test_answers_of_more_than_one_vector_have_no_route(tmp_path, model, answer):
    """Its embeddings are one vector a text."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {model}\nslo: {{latency_p95: 1s}}\nproviders: [aws]\nregions: [us-east-1]\n"
        "instance_types: [g6.xlarge]\ndemand: {declared: {requests_per_second: 5, input_tokens: 180}}\n"
    )
    with pytest.raises(InputError, match=f"LiteLLM has no route to {answer} of texts") as refused:
        litellm_config(recommend(path), "plan.json")
    assert "explain PLAN --cost" in refused.value.hint
