"""Fixtures of the code generator's tests."""

import pytest

from codegen.plans import make_option, make_plan


@pytest.fixture
def option():
    """A small on-demand option."""
    return make_option()


@pytest.fixture
def plan(option):
    """A plan with that option alone."""
    return make_plan(option)
