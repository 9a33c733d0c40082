"""Audits of bills in a folder."""

import pytest

from advisor.audit.ledger import Question
from advisor.audit.run import Inputs, audited


@pytest.fixture
def audit():
    """Audit some files with options of :class:`Inputs`, and of :class:`Question` by ``question``."""

    def run(*paths, **options):
        question = Question(**options.pop("question", {}))
        with audited(Inputs(tuple(map(str, paths)), question=question, **options)) as found:
            return found.audit

    return run
