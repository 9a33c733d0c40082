"""``advisor replay``: a plan and a trace in, shares and costs out."""

import json

import numpy as np
import pytest

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
KEYS = {"requests", "within_slo_ratio", "ttft_p95_ms", "tpot_p95_ms", "cost_usd", "usd_per_month"}
WORKLOAD = """
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 60ms}
demand: {declared: {requests_per_second: 2, peak_requests_per_second: 4, input_tokens: 500, output_tokens: 100}}
providers: [aws]
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory, run_advisor):
    """A plan of two options or more."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "workload.yaml").write_text(WORKLOAD)
    path = folder / "plan.json"
    done = run_advisor("recommend", folder / "workload.yaml", "--format", "json", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def trace(tmp_path):
    """A thousand requests in 500 seconds, the longest beyond what the plan serves."""
    rows = [
        f"2026-03-02T00:{i // 120:02d}:{i // 2 % 60:02d}.{i % 2 * 5}Z,{400 + i % 200},{50 + i % 100}"
        for i in range(1000)
    ]
    rows[500] = rows[500].rsplit(",", 2)[0] + ",200000,10"
    path = tmp_path / "requests.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def replay(run_advisor, *arguments):
    """The JSON document."""
    done = run_advisor("replay", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_tells_what_was_kept_and_what_it_cost(plan, trace, run_advisor):
    """All but the request that is too long are within; the cost is the plan's for the window of the trace."""
    found = replay(run_advisor, plan, trace)
    option = json.loads(plan.read_text())["recommended"]
    assert set(found) >= KEYS
    assert (found["requests"], found["refused"]) == (1000, 1)
    assert found["within_slo_ratio"] == pytest.approx(0.999)
    assert found["usd_per_month"] == pytest.approx(option["cost"]["compute_usd_per_month"], abs=0.02)
    usd_per_hour = option["cost"]["instance_usd_per_hour"] * option["instances"]
    assert found["cost_usd"] == pytest.approx(usd_per_hour * found["hours"], rel=1e-4)
    assert 0 < found["tpot_p95_ms"] <= 60


def test_another_option_is_replayed_by_its_rank(plan, trace, run_advisor):
    """Its own instances at its own price."""
    option = json.loads(plan.read_text())["options"][-1]
    found = replay(run_advisor, plan, trace, "--option", option["rank"])
    assert found["usd_per_month"] == pytest.approx(option["cost"]["compute_usd_per_month"], rel=1e-4)


def test_the_table_shows_targets_beside_what_was_replayed(plan, trace, run_advisor, tmp_path):
    """For people: one line, latencies against targets, groups; into a file where one is named."""
    done = run_advisor("replay", plan, trace, "--wide", "-o", tmp_path / "table.txt")
    text = (tmp_path / "table.txt").read_text()
    assert done.returncode == 0
    assert "99.9% of 1,000 requests kept every target" in text
    assert "time to first token" in text
    assert "1,000 ms" in text


def test_lines_keep_to_80_characters_in_pipes(plan, trace, run_advisor):
    """Nothing is left out: what does not fit follows in a table of its own."""
    narrow, wide = (run_advisor("replay", plan, trace, *options).stdout for options in ([], ["--wide"]))
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert set(wide.split()) - set(narrow.split()) <= {word for word in wide.split() if set(word) == {"-"}}


def test_rows_out_of_order_are_sorted_and_said(plan, trace, run_advisor):
    """The same result, and a note on stderr."""
    whole = replay(run_advisor, plan, trace)
    head, *rows = trace.read_text().splitlines()
    order = np.random.default_rng(2).permutation(len(rows))
    trace.write_text("\n".join([head, *(rows[i] for i in order)]) + "\n")
    done = run_advisor("replay", plan, trace, "--format", "json")
    assert json.loads(done.stdout)["within_slo_ratio"] == whole["within_slo_ratio"]
    assert "it was sorted by time" in done.stderr


def test_a_trace_that_is_another_demand_is_said_to_be(plan, tmp_path, run_advisor):
    """Its numbers beside those that were planned; only those that differ by half, and none of a trace that is alike."""

    def told(name, step_seconds, answer_tokens):
        rows = [
            f"2026-03-02T00:{i * step_seconds // 60:02.0f}:{i * step_seconds % 60:05.2f}Z,500,{answer_tokens}"
            for i in range(240)
        ]
        (tmp_path / name).write_text(HEADER + "\n".join(rows) + "\n")
        return run_advisor("replay", plan, tmp_path / name).stderr

    assert "not the demand" not in told("alike.csv", 0.25, 100)
    assert (
        "note: this trace is not the demand of the plan: 1 requests/s in the busiest minute, 4 planned; "
        "300 tokens an answer, 100 planned"
    ) in told("other.csv", 1.0, 300)


def test_a_clock_without_a_date_begins_on_a_monday(plan, tmp_path, run_advisor):
    """Seconds from zero are taken, and said to be relative."""
    path = tmp_path / "seconds.csv"
    path.write_text(HEADER + "0.5,100,10\n3.5,100,0\n")
    done = run_advisor("replay", plan, path, "--format", "json")
    assert json.loads(done.stdout)["requests"] == 2
    assert "shows no date" in done.stderr


def test_a_plan_of_another_catalog_is_replayed_with_a_note(plan, trace, tmp_path, run_advisor):
    """What the plan was made with is named where it is not what it is replayed with."""
    document = json.loads(plan.read_text())
    document["provenance"]["catalog_hash"] = "sha256:other"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    done = run_advisor("replay", other, trace)
    assert done.returncode == 0
    assert "made with another catalog (sha256:other)" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "the trace is empty"), (HEADER, "a header and no rows"), ("a,b\n1,2\n", "the columns 'timestamp', "),
     (HEADER + "2026-03-02T00:00:00Z,-5,3\n", "a whole number"), (HEADER + "yesterday,5,3\n", "is not a time")],
    ids=["empty", "header only", "columns", "negative", "time"],
)  # fmt: skip
def test_a_bad_trace_is_refused_with_the_reason(plan, tmp_path, run_advisor, content, message):
    """Where, what, and no traceback."""
    path = tmp_path / "bad.csv"
    path.write_text(content)
    done = run_advisor("replay", plan, path)
    assert done.returncode == 1
    assert message in done.stderr
    assert str(path) in done.stderr


def test_an_option_that_is_not_there_is_refused(plan, trace, run_advisor):
    """The ranks that there are stand in the hint."""
    done = run_advisor("replay", plan, trace, "--option", "9999")
    assert done.returncode == 1
    assert "no option 9999" in done.stderr
    assert "its options: 1 to" in done.stderr
