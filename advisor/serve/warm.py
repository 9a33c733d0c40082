"""Catalog and model of every planning process, read once by the process that they are forked from: it imports this."""

import gc
from contextlib import suppress

from advisor.errors import AdvisorError
from advisor.serve import work

with suppress(AdvisorError):  # the first plan says what is wrong
    work.catalog()
    work.performance()
work.page_template()
gc.freeze()
gc.set_threshold(50_000)
