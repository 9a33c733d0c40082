"""``advisor demand forecast`` prints the week and the back-test, from a trace or its summary."""

import json

import numpy as np
import pytest

DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Folder with ten days of requests, busier by day, and the first half-hour of them."""
    folder = tmp_path_factory.mktemp("traces")
    generator = np.random.default_rng(1)
    minutes = np.arange(10 * 24 * 60)
    counts = generator.poisson(np.where(minutes // 60 % 24 < 8, 1, 3))
    times = np.sort(np.repeat(1_767_571_200 + minutes * 60, counts) + generator.uniform(0, 60, counts.sum()))
    rows = [f"{time:.2f},{100 + int(time) % 50},20" for time in times]
    for name, size in (("days.csv", len(rows)), ("minutes.csv", 30)):
        (folder / name).write_text("\n".join(["timestamp,input_tokens,output_tokens", *rows[:size]]) + "\n")
    return folder


def test_the_table_shows_the_week_the_test_and_the_verdict(traces, run_advisor):
    """Seven days, every method with its error, and in words what was chosen and whether it beats the baselines."""
    done = run_advisor("demand", "forecast", str(traces / "days.csv"))

    assert done.returncode == 0, done.stderr
    for words in ("Monday", "Sunday", "seasonal-naive", "last value", "chosen", "back-test from 4 days"):
        assert words in done.stdout


def test_lines_keep_to_80_characters_in_pipes(traces, run_advisor):
    """Nothing is left out: what does not fit follows in a table of its own, under the same days and methods."""
    narrow, wide = (
        run_advisor("demand", "forecast", str(traces / "days.csv"), *options).stdout for options in ([], ["--wide"])
    )
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert set(wide.split()) - set(narrow.split()) <= {word for word in wide.split() if set(word) == {"-"}}


def test_a_trace_and_its_summary_give_the_same_forecast(traces, run_advisor):
    """The summary keeps all that the forecast needs."""
    run_advisor("demand", "summarise", str(traces / "days.csv"), "-o", str(traces / "days.json"))
    whole, short = (
        json.loads(run_advisor("demand", "forecast", str(traces / name), "--format", "json").stdout)
        for name in ("days.csv", "days.json")
    )

    assert whole == short
    assert whole["schema"] == "advisor.forecast/v1"
    assert [len(rates) for rates in whole["requests_per_second_by_hour_of_week"].values()] == [168] * 5
    assert sum(row["chosen"] for row in whole["backtest"]) == 1


def test_growth_and_horizon_are_taken(traces, run_advisor):
    """Stated growth of 100 % over a year-long horizon lifts the mean by half a year of it."""
    command = ("demand", "forecast", str(traces / "days.csv"), "--format", "json", "--horizon", "365d")
    grown, level = (
        json.loads(run_advisor(*command, "--growth-per-year", growth).stdout)["requests_per_second_by_hour_of_week"]
        for growth in ("1", "0")
    )

    assert np.array(grown["mean"]) / level["mean"] == pytest.approx(np.full(168, 2**0.5), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["absent.json"], 1, "cannot read the demand summary"),
        (["absent.csv"], 1, "cannot read the trace"),
        (["days.csv", "--horizon", "30"], 2, "is not a span of time"),
        (["days.csv", "--horizon", "1h"], 2, "is not between 1d and"),
        (["days.csv", "--growth-per-year", "-2"], 1, "growth per year is -2"),
    ],
)
def test_bad_input_is_answered(traces, run_advisor, arguments, code, expected):
    """A missing file, a bare number and a growth below -100 % are named, with the usual exit codes."""
    done = run_advisor("demand", "forecast", str(traces / arguments[0]), *arguments[1:])

    assert done.returncode == code
    assert expected in done.stderr


def test_minutes_of_history_are_forecast_flat_and_say_so(traces, run_advisor):
    """Less than a day has no back-test and says what is unknown."""
    done = run_advisor("demand", "forecast", str(traces / "minutes.csv"))

    assert done.returncode == 0
    assert "less than a day is known" in done.stdout
    assert "Back-test" not in done.stdout
