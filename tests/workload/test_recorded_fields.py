"""Which of what was recorded counts: the keys that ``demand.samples`` and ``demand.prometheus`` share."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from advisor.errors import InputError
from advisor.plan.plain_values import from_plain, to_plain
from advisor.workload.document import read_workload
from advisor.workload.measured_demand import Recorded
from advisor.workload.values import DemandSource

HEAD = "name: chat\nmodel: meta-llama/Llama-3.1-8B-Instruct\n"
SOURCES = {"samples": "path: day", "prometheus": "url: 'http://a'"}


def demand(tmp_path, kind, keys):
    """The source of demand of a workload."""
    path = tmp_path / "workload.yaml"
    path.write_text(f"{HEAD}demand: {{{kind}: {{{SOURCES[kind]}{keys}}}}}\n")
    return read_workload(path).demand


@pytest.mark.parametrize("kind", SOURCES)
def test_nothing_has_to_be_stated(tmp_path, kind):
    """Lengths, model and time are optional wherever engines may count."""
    source = demand(tmp_path, kind, "")
    assert source.recorded == Recorded()
    assert (source.input_tokens, source.output_tokens, source.requests_per_day) == (None, None, None)


@pytest.mark.parametrize("kind", SOURCES)
def test_model_and_times(tmp_path, kind):
    """Times without an offset are of the time zone, through the change of its clocks; with one they are as written."""
    keys = ", model: chat, from: 2026-03-29, until: '2026-03-30T00:00', timezone: Europe/Berlin"
    recorded = demand(tmp_path, kind, keys).recorded
    assert recorded.served_as == "chat"
    assert recorded.until_seconds - recorded.from_seconds == 23 * 3600, "clocks are put forward that day"
    assert recorded.from_seconds == dt.datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    in_utc = demand(tmp_path, kind, ", from: 2026-03-29").recorded
    assert in_utc.from_seconds == dt.datetime(2026, 3, 29, tzinfo=dt.UTC).timestamp()
    with_offset = demand(tmp_path, kind, ", from: '2026-03-29T02:00+02:00', timezone: Asia/Tokyo").recorded
    assert with_offset.from_seconds == in_utc.from_seconds


def test_hosts_and_window_of_samples(tmp_path):
    """Names and patterns, and how far back."""
    source = demand(tmp_path, "samples", ", hosts: [gpu-1, 'gpu-2*'], window: 7d")
    assert (source.hosts, source.window_days) == (("gpu-1", "gpu-2*"), 7.0)
    assert from_plain(DemandSource, to_plain(source)) == source


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(("window", "days"), [("6h", 0.25), ("1.5h", 0.0625), ("2w", 14.0)])
def test_a_window_may_be_hours(tmp_path, kind, window, days):
    """As on the command line."""
    assert demand(tmp_path, kind, f", window: {window}").window_days == days


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (", timezone: Mars/Olympus", "'Mars/Olympus' is not a time zone"),
        (", from: yesterday", "'yesterday' is not a time"),
        (", from: 2026-03-02, until: 2026-03-01", "the window ends before it begins"),
        (", from: 2026-03-02, window: 7d", "the window is given twice"),
        (", input_tokens: 0", "input_tokens"),
        (", models: chat", "did you mean model"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, kind, keys, words):
    """File, line, field, and how to fix it."""
    with pytest.raises(InputError, match=r"workload\.yaml:3") as caught:
        demand(tmp_path, kind, keys)
    assert words in str(caught.value)
