"""Changes of a question: what a form asks for, what is a step away, and a workload file with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.report.pages.rendering import Control
from advisor.serve import Form
from advisor.serve.work import ahead_of, changed_file, changes_of, file_text, steps_of
from advisor.workload.document import workload_of
from advisor.yaml_fields import document_of
from serve.served import SMALL

LOAD = Control("demand", "load", "1x")
TPOT = Control("slo.tpot_p95", "TPOT p95", "50ms")
PAID = Control("purchase", "purchase", "on_demand", {"purchase": ("on_demand", "spot")})
REGIONS = Control("regions", "regions", "all", {"regions": ("all",), "aws": ("us-east-1", "us-west-2")})
CONTROLS = (LOAD, TPOT, PAID, REGIONS)


def asked(**values):
    """Changes of a form; names have __ for a dot."""
    fields = {
        name.replace("__", "."): tuple([value] if isinstance(value, str) else value) for name, value in values.items()
    }
    return changes_of(Form(fields), CONTROLS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ()),
        ({"demand": "1x", "slo__tpot_p95": "50ms", "purchase": "on_demand", "regions": "all"}, ()),
        ({"demand": "", "slo__tpot_p95": " "}, ()),
        ({"demand": "+30%"}, (("demand", "1.3x"),)),
        ({"demand": "1x", "step.demand": "1.25x"}, (("demand", "1.25x"),)),
        ({"purchase": ["spot", "on_demand"]}, (("purchase", "on_demand+spot"),)),
        ({"regions": ["all", "us-east-1"], "was.regions": "all"}, (("regions", "us-east-1"),)),
        ({"regions": ["all", "us-east-1"], "was.regions": "us-east-1"}, ()),
        ({"regions": ["us-west-2", "us-east-1"], "was.regions": "us-east-1"}, (("regions", "us-east-1+us-west-2"),)),
        ({"slo__tpot_p95": "40ms", "demand": "2x"}, (("demand", "2x"), ("slo.tpot_p95", "40ms"))),
    ],
)
def test_a_form_gives_what_is_not_as_stated(values, expected):
    """In one order, with what is ticked last deciding between all and some."""
    assert asked(**values) == expected


@given(st.text("0123456789.x%+-ms e\n:[é٣७２", max_size=12))
def test_a_typed_amount_is_taken_or_refused(text):
    """Nothing of a file's syntax gets through a field."""
    try:
        changes = asked(demand=text)
    except InputError:
        return
    assert all(set(value) <= set("0123456789.xmse+-") for _, value in changes)


@given(st.floats(0.001, 1e6))
def test_steps_lead_up_and_down_again(amount):
    """The lower value is below, the higher above, and both are round."""
    value = f"{amount:.6g}x" if amount < 1e5 else f"{amount:.0f}x"
    (step,) = steps_of([LOAD], (("demand", value),)) if "e" not in value else steps_of([LOAD], ())

    assert float(step.lower[:-1]) < float(step.value[:-1]) < float(step.higher[:-1])
    assert len(step.lower.strip("0.x")) <= 4


def test_one_step_ahead_of_each_amount_is_planned():
    """Of the load first; what leads back is what was stated."""
    assert list(ahead_of(CONTROLS, (("demand", "1.25x"), ("purchase", "spot")))) == [
        (("demand", "1.5x"), ("purchase", "spot")),
        (("purchase", "spot"),),
        (("demand", "1.25x"), ("slo.tpot_p95", "60ms"), ("purchase", "spot")),
        (("demand", "1.25x"), ("slo.tpot_p95", "40ms"), ("purchase", "spot")),
    ]


@pytest.mark.parametrize("stated", ["", "  times: 2\n"])
@pytest.mark.parametrize(("value", "times"), [("3x", 3.0), ("12", 12.0)])
def test_a_changed_file_reads_as_it_was_asked_for(stated, value, times):
    """A factor is of what was stated, a rate is a rate; the rest of the file is as it was."""
    text = SMALL.replace("providers:", f"{stated}providers:")
    root = document_of(text, Path("chat.yaml"))
    changes = (("demand", value), ("slo.e2e_p95", "9s"), ("purchase", "spot+on_demand"), ("regions", "all"))

    text = file_text(changed_file(root, changes, 1.0), changes)

    assert text.startswith("# chat.yaml with demand=")
    workload, former = workload_of(document_of(text, Path("chat.yaml"))), workload_of(root)
    assert workload.demand_times == times * (2 if stated and value == "3x" else 1)
    assert (workload.slo.e2e_p95_ms, workload.slo.tpot_p95_ms) == (9000, 50)
    assert (workload.purchase, workload.regions) == (("spot", "on_demand"), ())
    assert (workload.demand, workload.accelerators) == (former.demand, former.accelerators)
    assert file_text(root, ()) == file_text(document_of(file_text(root, ()), Path("chat.yaml")), ())
