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


def render_page(template: str, view: Mapping[str, Any]) -> str:
    """A template of the layout of pages, with what it shows; characters that turn text around are made visible."""
    script = Markup((data_dir("templates") / "report/page.js").read_text(encoding="utf-8"))  # noqa: S704 - ours
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return printable(page_environment().get_template(template).render(view, script=script, hash=digest))


def provenance_rows(made: PlanProvenance) -> list[tuple[str, str]]:
    """Sources of a plan or an estate, by name."""
    return [(name.replace("_", " "), str(value)) for name, value in asdict(made).items()]
