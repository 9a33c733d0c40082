"""Pages that run one script of their own, which their policy names by its hash."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from advisor.data_files import data_dir
from advisor.names import printable
from advisor.plan.values import PlanProvenance
from advisor.report.html import page_environment
from advisor.report.pages.live import Live

_NOWHERE = "form-action 'none'"
_TO_ITS_SERVER = "connect-src 'self'; form-action 'self'"
"""Parts of a page's policy: whether it may send anything, and where."""


def render_page(template: str, view: Mapping[str, Any], live: Live | None = None) -> str:
    """A template of the layout of pages, with what it shows; characters that turn text around are made visible.

    Args:
        template: its file name.
        view: what it shows.
        live: controls of a page that is served; None: the page sends nothing anywhere.
    """
    names = ("page.js", "live.js") if live else ("page.js",)
    texts = ((data_dir("templates") / "report" / name).read_text(encoding="utf-8") for name in names)
    script = Markup("".join(texts))  # noqa: S704 - ours
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sends = _TO_ITS_SERVER if live else _NOWHERE
    text = page_environment().get_template(template).render(view, script=script, hash=digest, live=live, sends=sends)
    return printable(text)


def provenance_rows(made: PlanProvenance) -> list[tuple[str, str]]:
    """Sources of a plan or an estate, by name."""
    return [(name.replace("_", " "), str(value)) for name, value in asdict(made).items()]
