"""The figures of docs/catalog.md: compared by a test, written anew by ``python tests/catalog/audit_page.py [DAY]``."""

import datetime as dt
import re
import sys
from pathlib import Path

from advisor.catalog.layers.audit import CatalogAudit, audit
from advisor.catalog.layers.layered import layered
from advisor.data_files import data_dir
from advisor.report.refresh_words import audit_markdown

PAGE = Path(__file__).parents[2] / "docs/catalog.md"
BLOCK = re.compile(r"(?<=<!-- audit -->\n).*?(?=<!-- end -->)", re.DOTALL)
_DAY = re.compile(r"^On (\d{4}-\d{2}-\d{2})", re.MULTILINE)


def shipped_audit(day: dt.date) -> CatalogAudit:
    """The audit of what comes with the program, whatever this machine refreshed."""
    nowhere = Path("/nowhere")
    return audit(layered(data_dir("instance_catalog"), nowhere, None, day), day)


def shown() -> tuple[str, dt.date]:
    """The block of the page, and the day that its ages count to."""
    block = BLOCK.search(PAGE.read_text())[0]
    return block, dt.date.fromisoformat(_DAY.search(block)[1])


def write(day: dt.date) -> None:
    """Put the figures of a day into the page."""
    text = audit_markdown(shipped_audit(day))
    PAGE.write_text(BLOCK.sub(lambda _: text, PAGE.read_text()))


if __name__ == "__main__":
    write(dt.date.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else dt.datetime.now(dt.UTC).date())
