"""Bills and logs that somebody damaged: they are read and add up, or refused in words."""

import random
from contextlib import suppress

import pytest

from advisor.audit.run import Inputs, audited
from advisor.errors import AdvisorError
from attack.mutations import damaged_cells, damaged_text
from audit.bills import Charge, hours, write_bill

FORMS = ("focus", "cur", "azure-actual", "gcp-csv", "gcp-json")


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_bill_adds_up_or_is_refused(tmp_path, seed):
    """Cells, lines, headers and bytes changed, other ones for each seed; no other error leaves the reader."""
    chance = random.Random(seed)
    path = write_bill(tmp_path, FORMS[seed % len(FORMS)], hours(Charge(tags={"team": "a"}), 6))
    damage = damaged_cells if path.suffix == ".csv" and chance.random() < 1 / 2 else damaged_text
    path.write_bytes(damage(path.read_text(), chance).encode("utf-8", "replace"))

    with suppress(AdvisorError), audited(Inputs((str(path),))) as found:  # any other error fails the test
        audit = found.audit
        assert sum(audit.kinds.values()) == audit.bill.cost
        assert sum(audit.split.parts.values()) == audit.kinds["compute"]
