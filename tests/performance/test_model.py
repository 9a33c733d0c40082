"""Physics × learned factors, whatever is asked: order is kept, and nothing depends on what is asked beside it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.performance import Scenario
from advisor.performance.explain import predict
from advisor.performance.model import shipped_model
from advisor.performance.regimes import Load
from advisor.performance.setups import QUANTITIES, SCENARIOS, Questions
from performance.deployment_builders import catalogued, make_accelerator, make_deployment, pack

ROOT = Path(__file__).parents[2]
COUNTED = (Scenario.FIXED_CONCURRENCY, Scenario.FIXED_BATCH)
TOLERANCE = 1e-9

setups = st.deferred(lambda: st.sampled_from(catalogued()))
lengths = st.tuples(st.floats(1, 30_000), st.floats(1, 8000))
questions = st.tuples(st.sampled_from(list(Scenario)), st.floats(1, 5000), lengths)


def timing(deployment, scenario, users, asked):
    """Times of one deployment with each number of users."""
    users = np.atleast_1d(np.asarray(users, dtype=np.float64))
    packed = pack([deployment]).take(np.zeros(users.size, dtype=np.intp))
    return shipped_model().timing(scenario, packed, Load(users, *(np.full(users.size, length) for length in asked)))


def ask(found, asked):
    """Answers to questions, each about its own set-up."""
    scenarios, users, pairs = zip(*asked, strict=True)
    columns = (np.array(users), *np.array(pairs).T)
    return predict(
        found, Questions(np.arange(len(found)), np.array([SCENARIOS.index(one) for one in scenarios]), *columns)
    )


ladders_of_users = given(
    setup=setups,
    scenario=st.sampled_from(COUNTED),
    users=st.lists(st.floats(1, 10_000), min_size=2, max_size=20),
    asked=lengths,
)


@ladders_of_users
@settings(max_examples=60)
def test_more_users_never_lower_the_time_per_token(setup, scenario, users, asked):
    """Along any ladder of users TPOT only rises, for every catalogued accelerator and kind of model."""
    tpot = timing(setup.deployment, scenario, sorted(users), asked).tpot_s
    assert np.all(tpot[1:] >= tpot[:-1] * (1 - TOLERANCE))


@ladders_of_users
@settings(max_examples=60)
def test_more_users_never_lower_the_time_to_first_token(setup, scenario, users, asked):
    """Along any ladder of users TTFT only rises, for every catalogued accelerator and kind of model."""
    ttft = timing(setup.deployment, scenario, sorted(users), asked).ttft_s
    assert np.all(ttft[1:] >= ttft[:-1] * (1 - TOLERANCE))


@given(
    setup=setups,
    scenario=st.sampled_from(COUNTED),
    prompt=st.floats(1, 100_000),
    answers=st.tuples(st.floats(1, 8000), st.floats(1, 8000)),
)
@settings(max_examples=60)
def test_a_lone_user_waits_for_its_prompt_and_not_for_its_answer(setup, scenario, prompt, answers):
    """One user's TTFT is the same whatever the length of its answer: nobody else is there to wait for."""
    short, long = (timing(setup.deployment, scenario, 1.0, (prompt, answer)).ttft_s[0] for answer in answers)
    assert short == pytest.approx(long, rel=1e-4)


@given(
    setup=setups,
    scenario=st.sampled_from(list(Scenario)),
    more=st.floats(1.0, 8.0),
    users=st.floats(1, 5000),
    asked=lengths,
)
@settings(max_examples=60)
def test_more_bandwidth_never_raises_the_time_per_token(setup, scenario, more, users, asked):
    """The same accelerator with a faster memory writes no slower, under every load."""
    accelerator = setup.deployment.accelerator
    faster = replace(
        accelerator, memory_bandwidth_gb_per_second=accelerator.memory_bandwidth_gb_per_second * more
    )  # fmt: skip
    slow, fast = (
        timing(replace(setup.deployment, accelerator=part), scenario, users, asked).tpot_s[0]
        for part in (accelerator, faster)
    )
    assert fast <= slow * (1 + TOLERANCE)


@given(setup=setups, asked=questions)
@settings(max_examples=60)
def test_numbers_are_finite_and_inside_their_ranges(setup, asked):
    """What is answered at all is positive, and lies between the ends of its interval."""
    answers = ask([setup], [asked])
    answered = [name for name in QUANTITIES if not answers.reason[0] and np.isfinite(answers.value[name][0])]
    assert bool(answers.reason[0]) != ("tpot_ms" in answered)
    for name in answered:
        assert 0 < answers.low[name][0] < answers.value[name][0] < answers.high[name][0] < np.inf


@given(asked=st.lists(st.tuples(setups, questions), min_size=2, max_size=12))
@settings(max_examples=30)
def test_an_answer_does_not_depend_on_the_questions_beside_it(asked):
    """Every question alone has the numbers that it has among others, as far as single precision goes."""
    found, rows = zip(*asked, strict=True)
    together = ask(found, rows)
    for at, (setup, row) in enumerate(asked):
        alone = ask([setup], [row])
        for name in QUANTITIES:
            assert together.value[name][at] == pytest.approx(alone.value[name][0], rel=1e-5, nan_ok=True)
        assert (together.evidence[at], together.reason[at]) == (alone.evidence[0], alone.reason[0])


@pytest.mark.parametrize("scenario", list(Scenario))
def test_what_nobody_has_heard_of_is_answered(scenario):
    """An engine, a vendor and an architecture that no measurement names get numbers from the physics all the same."""
    part = make_accelerator(name="X1", vendor="acme", architecture="Roadrunner", compute_capability=None)
    unknown = make_deployment(accelerator=part, engine="FooServe", engine_version="", family="foo")
    found = timing(unknown, scenario, 16.0, (1024.0, 256.0))
    assert 1e-3 < found.tpot_s[0] < 1.0
    assert 1 < found.output_tokens_per_second[0] < 1e6


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--model", "Qwen/Qwen3-0.6B", "--accelerator", "L4", "--input-tokens", "9", "--output-tokens", "9"],
        ["recommend", str(ROOT / "examples/chat/workload.yaml")],
    ],
    ids=["predict", "recommend"],
)
def test_answers_need_no_learning_library(arguments):
    """Whatever the calibration was made with, using it imports neither scikit-learn nor scipy nor pandas."""
    program = (
        "import sys; from advisor.cli.app import advisor; advisor(sys.argv[1:], standalone_mode=False);"
        "print('loaded:', sorted({'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
