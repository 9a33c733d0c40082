"""``demand.prometheus`` in a workload file, and a server given on the command line."""

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.plan.plain_values import from_plain, to_plain
from advisor.workload.document import read_workload
from advisor.workload.measured_demand import PrometheusDemand, SigV4
from advisor.workload.values import DemandSource

HEAD = "name: chat\nmodel: meta-llama/Llama-3.1-8B-Instruct\n"
GIVEN = PrometheusDemand("https://given", 7.0, 'a="b"', token_file=Path("token"))


def read(tmp_path: Path, demand: str, given: PrometheusDemand | None = None):
    """The workload with this demand."""
    path = tmp_path / "workload.yaml"
    path.write_text(HEAD + demand)
    return read_workload(path, given)


def test_every_key(tmp_path):
    """Files are relative to the workload file; a stated hit ratio is known to be stated."""
    workload = read(
        tmp_path,
        "demand:\n  prometheus:\n    url: https://a/prometheus/\n    window: 4w\n    selector: job=\"dcgm\"\n"
        "    requests_per_day: 1000\n    input_tokens: 800\n    output_tokens: 200\n    token_file: token\n    ca_file: ca.pem\n    metrics: names.csv\n"
        "  prefix_cache_hit_ratio: 0.5\n",
    )  # fmt: skip
    assert workload.demand == PrometheusDemand(
        "https://a/prometheus", 28.0, 'job="dcgm"', 1000.0, 800.0, 200.0, cache_is_stated=True
    )
    assert (workload.demand.token_file, workload.demand.ca_file) == (tmp_path / "token", tmp_path / "ca.pem")
    assert workload.demand.metrics_file == tmp_path / "names.csv"
    assert read(tmp_path, "demand: {prometheus: {url: 'http://a'}}\n").demand == PrometheusDemand("http://a")


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        ("", GIVEN),
        ("demand: {prefix_cache_hit_ratio: 0.1}\n", PrometheusDemand("https://given", 7.0, 'a="b"', cache_is_stated=True)),
        ("demand: {trace: t.csv}\n", GIVEN),
        ("demand: {declared: {requests_per_second: 1, input_tokens: 8, output_tokens: 2}}\n", PrometheusDemand("https://given", 7.0, 'a="b"', None, 8, 2)),
        ("demand: {samples: {path: x, requests_per_day: 5, input_tokens: 8, output_tokens: 2}}\n", PrometheusDemand("https://given", 7.0, 'a="b"', 5, 8, 2)),
        ("demand: {prometheus: {url: 'http://a', selector: 'c=\"d\"', window: 4w, input_tokens: 8}}\n", PrometheusDemand("https://given", 7.0, 'a="b"', None, 8)),
    ],
)  # fmt: skip
def test_a_server_on_the_command_line_goes_first(tmp_path, demand, expected):
    """It takes the place of the source in the file, and what that says of the requests still counts."""
    workload = read(tmp_path, demand, GIVEN)
    assert workload.demand == expected
    assert workload.demand.token_file == Path("token")


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        ("demand: {prometheus: {window: 1d}}\n", "url"),
        ("demand: {prometheus: {url: here}}\n", "not the address"),
        ("demand: {prometheus: {url: 'http://u:s3cret@a'}}\n", "holds a user or a password"),
        ("demand: {prometheus: {url: 'http://a', window: soon}}\n", "not a number of days"),
        ("demand: {prometheus: {url: 'http://a', input_tokens: 0}}\n", "input_tokens"),
        ("demand: {prometheus: {url: 'http://a'}, trace: t.csv}\n", "exactly one source"),
        ("demand: {prometheus: {uri: 'http://a'}}\n", "did you mean url"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, demand, words):
    """File, line and field, and no secret."""
    with pytest.raises(InputError, match=r"workload\.yaml:3") as caught:
        read(tmp_path, demand)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_plan_keeps_the_source_without_its_files():
    """Written and read back, the source is the same; where secrets lie is left out."""
    document = to_plain(GIVEN)
    assert not {"token_file", "ca_file"} & document.keys()
    assert from_plain(DemandSource, document) == GIVEN


def test_requests_may_be_signed(tmp_path):
    """With a region or the server's own, and never beside a token."""
    source = "demand: {prometheus: {url: 'https://a', sigv4: {region: us-east-1, profile: ops}}}\n"
    assert read(tmp_path, source).demand.sigv4 == SigV4("us-east-1", "ops")
    workload = read(tmp_path, source, GIVEN)
    assert workload.demand.sigv4 == SigV4("us-east-1", "ops")
    assert from_plain(DemandSource, to_plain(workload.demand)).sigv4 == workload.demand.sigv4
    with pytest.raises(InputError, match="carry a token"):
        read(tmp_path, source.replace("sigv4", "token_file: t, sigv4"))
    with pytest.raises(InputError, match="unknown key 'regoin'"):
        read(tmp_path, source.replace("region", "regoin"))
