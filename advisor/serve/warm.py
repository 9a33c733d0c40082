"""What every planning process needs, read once by the process that they are forked from when it imports this."""

import gc
from contextlib import suppress

from advisor.errors import AdvisorError
from advisor.serve import work

with suppress(AdvisorError):  # the first plan says what is wrong
    work.catalog()
    work.performance()
gc.freeze()
gc.set_threshold(50_000)
