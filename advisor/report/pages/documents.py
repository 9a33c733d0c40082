"""Pages of every document of this program that has one, by its schema."""

from collections.abc import Callable, Mapping

from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json
from advisor.programme.build import LEVERS
from advisor.programme.values import PROGRAMME
from advisor.reading import json_of
from advisor.report.bill.document import audit_from_json
from advisor.report.pages.audit import audit_page
from advisor.report.pages.estate import estate_page
from advisor.report.pages.levers import levers_page
from advisor.report.pages.plan import plan_page
from advisor.report.pages.programme import programme_page, review_page
from advisor.report.review import REVIEW

PLAN = "plan"
_PAGES: Mapping[str, Callable[[str, str], str]] = {
    PLAN: lambda text, where: plan_page(plan_from_json(text, where)),
    "estate": lambda text, where: estate_page(estate_from_json(text, where)),
    "levers": lambda text, where: levers_page(LEVERS.parse(text, where)),
    "programme": lambda text, where: programme_page(PROGRAMME.parse(text, where)),
    "audit": lambda text, where: audit_page(audit_from_json(text, where)),
    "review": lambda text, where: review_page(REVIEW.parse(text, where)),
}
"""Page of the text of a document, by its name in the schema (``advisor.levers/v1``)."""


def kind_of(text: str, where: str) -> str:
    """Name of a document in its schema, whatever the version; that of a plan where it states none that has a page.

    Raises:
        InputError: it is no JSON.
    """
    document = json_of(text, where, "give a JSON document of this program, such as of `advisor recommend`")
    schema = str(document.get("schema")) if isinstance(document, dict) else ""
    kind = schema.partition("/")[0].removeprefix("advisor.")
    return kind if kind in _PAGES else PLAN


def page_of(text: str, where: str) -> str:
    """The page of a document as HTML.

    Raises:
        InputError: it is no document that has a page, or not of this version.
    """
    return _PAGES[kind_of(text, where)](text, where)
