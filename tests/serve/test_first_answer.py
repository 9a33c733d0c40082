"""The first answer to a change: a fleet of the types before it, confirmed, whose place the plan takes."""

import re
from pathlib import Path

import pytest

from advisor.serve import Place, Problem, Scope, Source, work
from report.pages import read_page
from serve.served import SMALL, serving

PLACE = Place("/w/name/", "secret", "/w/name/key/")
SOURCE = Source(SMALL, Path("workload.yaml"), is_own=True)
STATED = work.planned(SOURCE, (), None, PLACE)


def usd(page):
    """USD a month that a page begins with."""
    return float(next(read_page(page).all("dd")).text.strip("$").replace(",", ""))


@pytest.mark.parametrize("changes", [(("demand", "9x"), ("purchase", "on_demand+spot")), (("slo.ttft_p95", "400ms"),)])
def test_the_first_fleet_is_one_of_the_question_and_no_cheaper_than_the_plans(changes):
    """It is of the types before the change, its replay confirms it, and the page says what is still to come."""
    first = work.first(SOURCE, changes, STATED.demand, PLACE, STATED.scope)
    whole = work.planned(SOURCE, changes, STATED.demand, PLACE)

    assert isinstance(first, str)
    assert usd(first) >= usd(whole.page) - 0.01
    page = read_page(first)
    assert "First answer with" in page.text
    assert "requests over" in page.text
    assert "option rests on" not in page.text
    assert [link.attributes["href"] for link in page.all("a") if "download" in link.attributes] == []
    assert 'http-equiv="refresh"' in first
    assert 'http-equiv="refresh"' not in whole.page


@pytest.mark.parametrize(
    ("changes", "scope"),
    [
        ((("regions", "us-west-2"),), STATED.scope),
        ((("slo.tpot_p95", "1ms"),), STATED.scope),
        ((("demand", "2x"),), Scope(("aws",), ("us-east-1",), ("p4d.24xlarge",), ("bf16",))),
    ],
)
def test_there_is_no_first_answer_of_what_the_change_leaves_out(changes, scope):
    """Where nothing of the fleet before is left, or no such fleet serves, only the plan answers."""
    assert isinstance(work.first(SOURCE, changes, STATED.demand, PLACE, scope), Problem)


def test_the_plan_takes_the_place_of_the_first_answer(tmp_path):
    """At the same address, whatever asks meanwhile; downloads wait for it."""
    file = tmp_path / "workload.yaml"
    file.write_text(SOURCE.text)
    with serving(file, "--no-ahead") as server:
        place = server.change(server.path, demand="2x").headers["Location"]
        shown = server.ask(place)
        plan = server.ask(f"{place}plan.json")
        whole = server.ask(f"{place}whole")

        assert (shown.status, plan.status, whole.status) == (200, 200, 200)
        assert f'data-whole="{place}whole"' in shown.text or shown.text == whole.text
        assert "data-whole" not in whole.text
        assert server.ask(place).text == whole.text
        assert re.search(r'"total_usd_per_month": ([\d.]+)', plan.text)
        assert server.ask(f"{server.path}0123456789abcdef/whole").status == 404
