"""Pages as text, and those that run one script of their own, which their policy names by its hash."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from advisor.data_files import data_dir
from advisor.names import printable
from advisor.plan.values import PlanProvenance
from advisor.records import asdict, dataclass


@cache
def page_environment() -> jinja2.Environment:
    """The templates of reports, each compiled once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates") / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


_NOWHERE = "form-action 'none'"
_TO_ITS_SERVER = "connect-src 'self'; form-action 'self'"
"""Parts of a page's policy: whether it may send anything, and where."""


@dataclass(frozen=True, slots=True)
class Control:
    """A part of the question; its key is that of the workload file (``slo.tpot_p95``), or ``demand``."""

    key: str
    label: str
    stated: str
    """Value without a change, several joined by ``+``; "" for none."""
    choices: Mapping[str, tuple[str, ...]] | None = None
    """Group → values to choose from; None: a text is typed."""

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that can be chosen."""
        return tuple(value for group in (self.choices or {}).values() for value in group)


@dataclass(frozen=True, slots=True)
class Step:
    """Control as a page shows it."""

    control: Control
    value: str
    lower: str = ""
    """Value one step below that of a typed amount; "" where there is none."""
    higher: str = ""

    @property
    def chosen(self) -> frozenset[str]:
        """Values that are ticked."""
        return frozenset(self.value.split("+"))


@dataclass(frozen=True, slots=True)
class Live:
    """Head of a served page, above the plan."""

    action: str
    """Path that a changed question is sent to."""
    secret: str
    """Text that only this page knows, which a change has to bring along."""
    steps: tuple[Step, ...]
    downloads: Mapping[str, str]
    """Name → path."""
    changes: str
    """Changes against what is stated: ``demand=2x``; "" for nothing."""
    whole: str = ""
    """Path of the whole plan, where this is the first answer to a change; "" where it is the whole plan itself."""


def render_page(template: str, view: Mapping[str, Any], live: Live | None = None) -> str:
    """A template of the layout of pages, with what it shows; characters that turn text around are made visible.

    *live*: controls of a page that is served; None: the page sends nothing anywhere.
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
