"""Files that are written and never lost, and text that no name can break out of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.discovery import Answers, Latency, Launch, Machine, Observed, Service
from advisor.discovery.proposal import known_model, proposal_of, rounded_up
from advisor.discovery.workload_text import Written, file_names, remove_unedited, workload_text, write_workload
from advisor.workload.document import read_workload

MACHINE = Machine("node", "aws", "us-east-1", "g6e.xlarge", "spot")
MODEL = "Qwen/Qwen3-8B"
CATALOG = load_catalog()


def test_an_edited_file_is_left_as_it_is(tmp_path):
    """A file is written, stays, is written anew while nobody edits it, and is kept once somebody did."""
    path = tmp_path / "new" / "a.yaml"

    assert write_workload(path, "name: a\n").written is Written.NEW
    assert write_workload(path, "name: a\n").written is Written.SAME
    assert write_workload(path, "name: b\n").written is Written.UPDATED
    path.write_text(path.read_text().replace("name: b", "name: mine"))
    assert write_workload(path, "name: c\n").written is Written.KEPT
    remove_unedited(path)
    assert "name: mine" in path.read_text()


def test_a_file_of_a_person_is_kept_and_one_of_ours_removed(tmp_path):
    """A file without our first line is a person's."""
    (tmp_path / "a.yaml").write_text("name: mine\n")
    write_workload(tmp_path / "b.yaml", "name: b\n")

    remove_unedited(tmp_path / "a.yaml")
    remove_unedited(tmp_path / "b.yaml")
    remove_unedited(tmp_path / "c.yaml")

    assert write_workload(tmp_path / "a.yaml", "name: a\n").written is Written.KEPT
    assert not (tmp_path / "b.yaml").exists()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=10)), max_size=12))
def test_names_of_files_are_safe_and_unique(names):
    """Whatever services are called, each file is another, in the folder, and means nothing else there."""
    given_names = file_names(names)

    assert len(set(given_names)) == len(names)
    assert not {"", "estate", "workload"} & set(given_names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in given_names)


@given(st.floats(1e-3, 1e7))
def test_targets_are_never_tighter_than_what_users_get(milliseconds):
    """A proposed target is what was measured or up to a half more."""
    target = rounded_up(milliseconds)

    assert milliseconds * (1 - 1e-9) <= target <= milliseconds * 1.5 * (1 + 1e-9)


WORDS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
"""Characters that a file can hold: readers refuse the others with their line."""


@settings(max_examples=40)
@given(name=st.text(WORDS, min_size=1, max_size=40), text=st.text(WORDS, max_size=60))
def test_no_name_breaks_out_of_its_place(tmp_path_factory, name, text):
    """A file with any name, note, selector and served name is read back as it was meant."""
    fields = {"url": "http://prometheus:9090", "window": "14d", "selector": f'pod="{text}"', "model": name}
    observed = Observed("prometheus", fields, latency=Latency(449.0, 34.6))
    service = Service(name, text, Launch("vLLM", MODEL), 2, 1, (MACHINE,), observed=observed, notes=(text,))
    path = tmp_path_factory.mktemp("names") / "a.yaml"

    path.write_text(workload_text(proposal_of(service, CATALOG), "14 days"), encoding="utf-8")

    if name.strip():
        workload = read_workload(path)
        assert workload.name == name.strip()
        assert workload.demand.recorded.served_as == name.strip()
        assert workload.demand.selector == f'pod="{text}"'.strip()
        assert (workload.current.count, workload.current.purchase) == (1, "spot")
        assert (workload.slo.ttft_p95_ms, workload.slo.tpot_p95_ms, workload.slo.within_ratio) == (500, 40, 0.95)


@pytest.mark.parametrize(
    ("origin", "first"),
    [
        ("vLLM in namespace ml, seen by http://one", "# vLLM in namespace ml, seen by http://one"),
        ("Deployment ml/chat of one", "# Deployment ml/chat of one: vLLM"),
    ],
)
def test_the_first_line_names_the_engine_once(origin, first):
    """An origin that begins with it names it already."""
    observed = Observed("prometheus", {"url": "http://one", "window": "14d"}, engine="vLLM")
    text = workload_text(proposal_of(Service("chat", origin, Launch("", MODEL), observed=observed), CATALOG), "14 days")

    assert text.splitlines()[0] == first


def test_what_is_unknown_is_a_comment_and_an_answer_fills_it():
    """A model that nothing names and lengths that nothing counts are missing until somebody says them."""
    fields = {"region": "us-east-1", "endpoint": "chat"}
    service = Service("chat", "SageMaker", Launch(""), observed=Observed("cloudwatch", fields, counts_tokens=False))

    open_ones = proposal_of(service, CATALOG)
    answered = proposal_of(
        service, CATALOG, Answers(model=MODEL, input_tokens=700, output_tokens=90, fields={"slo": "{ttft_p95: 1s}"})
    )

    assert [missing.key for missing in open_ones.missing] == ["model", "lengths"]
    assert "# MISSING: nothing names the model" in workload_text(open_ones, "14 days")
    assert answered.missing == ()
    text = workload_text(answered, "14 days")
    assert "    input_tokens: 700\n    output_tokens: 90\n" in text
    assert "\nslo: {ttft_p95: 1s}\n" in text
    assert "\n# current: " in text


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (MODEL, MODEL),
        ("/models/llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"),
        ("chat", None),
        ("", None),
    ],
)
def test_a_served_name_means_a_known_model(name, model):
    """Repositories, folders and quantized copies mean their model; an alias means none."""
    found = known_model(name)

    assert found is None if model is None else found is not None
    if model is not None and found is not None:
        assert found.name.rpartition("/")[2].lower() in {model.rpartition("/")[2].lower(), "meta-llama-3.1-8b"}


def test_a_place_alone_bounds_the_plan(tmp_path):
    """Where only provider and region of the machines are known, the plan stays there."""
    machines = tuple(Machine(f"node-{number}", "aws", "us-east-1") for number in range(2))
    observed = Observed("prometheus", {"url": "http://prometheus:9090"})
    service = Service("a", "b", Launch("vLLM", MODEL), machines=machines, observed=observed)
    (tmp_path / "a.yaml").write_text(workload_text(proposal_of(service, CATALOG), "14 days"))

    workload = read_workload(tmp_path / "a.yaml")

    assert (workload.current, workload.providers, workload.regions) == (None, ("aws",), ("us-east-1",))


def test_the_machines_that_most_replicas_run_on_are_current():
    """Of two kinds the larger one is `current`, and the other a remark; an unsold kind is none."""
    few = Machine("c", "aws", "us-east-1", "g5.xlarge", "")
    service = Service("a", "b", Launch("vLLM", MODEL), machines=(few, MACHINE, MACHINE))
    unsold = Service("a", "b", Launch("vLLM", MODEL), machines=(Machine("c", "aws", "us-east-1", "x9.huge"),))

    proposal = proposal_of(service, CATALOG)

    assert proposal.current == (MACHINE, 2)
    assert any("g5.xlarge too" in remark for remark in proposal.remarks)
    assert proposal_of(unsold, CATALOG).current is None
    assert "does not know aws us-east-1 x9.huge" in proposal_of(unsold, CATALOG).remarks[0]
