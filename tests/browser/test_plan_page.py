"""Pages of plans in a real Chromium: nothing on the console, no request, filters, search, accessibility, every width."""

import os
import re
import shutil
from pathlib import Path

import pytest

from advisor.pipeline import plan_for
from advisor.report.pages import estate_page, page_of, plan_page
from advisor.workload.values import Limits
from builders import catalog_of, offer, workload
from report.documents import texts as document_texts
from report.plans import mixed_plan, no_plan, sampled_plan
from report.test_estate_table import ROWS, estate_of

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make browser-test` installs it")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: `make browser-test` installs it"
)
CHROMIUM = os.environ.get("ADVISOR_CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: `make browser-test` installs it", allow_module_level=True)

CATALOG = catalog_of(
    offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g5.xlarge", on_demand=1.0), offer("g6.xlarge", on_demand=0.8),
    offer("g6.xlarge", region="us-west-2", on_demand=0.9),
)  # fmt: skip
WIDTHS = (390, 1280, 1920)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Paths of pages: of a real plan, of a mixed fleet that follows the hours, of none, of every other document."""
    directory = tmp_path_factory.mktemp("pages")
    regions = ("us-east-1", "us-west-2")
    plans = {
        "real": plan_for(workload(regions=regions, limits=Limits(zones=2)), CATALOG),
        "mixed": mixed_plan(),
        "none": no_plan(),
    }
    texts = {name: plan_page(plan) for name, plan in plans.items()} | {"estate": estate_page(estate_of(*ROWS))}
    texts |= {kind: page_of(text, kind) for kind, text in document_texts(directory).items()}
    texts["sampled"] = plan_page(sampled_plan())
    for name, text in texts.items():
        (directory / f"{name}.html").write_text(text)
    return {name: directory / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests."""
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Open a page in a window; what it asked for and said is checked at the end."""
    contexts, requests, messages = [], [], []

    def open_page(path: Path, width=1280, scheme="light", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        requests.remove(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith("data:")] == []
    assert messages == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name", ["real", "mixed", "none", "estate", "levers", "audit", "programme", "review", "sampled"]
)
def test_a_page_fits_its_window_and_is_accessible(opened, pages, name, width, scheme):
    """Nothing is wider than the window, and axe finds nothing serious, contrast included."""
    page = opened(pages[name], width, scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response["violations"]
    assert [(one["impact"], one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_filters_narrow_down_charts_and_table_alike(opened, pages):
    """Every choice of every filter shows the rows whose cell says so, and as many points in each chart."""
    page = opened(pages["real"])
    every = page.locator("#options-table tbody tr").count()
    columns = page.locator("#options-table th").all_inner_texts()

    for name in page.locator("select[data-key]").evaluate_all("all => all.map(one => one.dataset.key)"):
        select = page.locator(f"select[data-key={name}]")
        values = [value for value in select.locator("option").evaluate_all("all => all.map(one => one.value)") if value]
        assert len(values) > 1
        counts = []
        for value in values:
            select.select_option(value)
            rows = page.locator("#options-table tbody tr:visible")
            cells = rows.locator(f"td:nth-child({columns.index(name) + 1})").all_inner_texts()
            assert set(cells) == {value}
            assert page.locator("g.point[data-option]:not([hidden])").count() == 2 * len(cells)
            assert page.locator("#options-shown").inner_text() == f"{len(cells)} options shown"
            counts.append(len(cells))
        assert sum(counts) == every
        page.locator("#options-reset").click()
        assert page.locator("#options-table tbody tr:visible").count() == every


def test_the_search_shows_rows_that_hold_every_word(opened, pages):
    """And says how many; nothing typed shows all."""
    page = opened(pages["real"])
    rows = page.locator("#searched tbody tr")
    texts = rows.all_text_contents()
    cells = rows.first.locator("td").all_inner_texts()
    words = [cells[2].lower(), cells[5].split()[-1].lower()]

    page.locator("#search").fill(" ".join(words).upper())

    matching = [text for text in texts if all(word in text.lower() for word in words)]
    assert 0 < len(matching) < len(texts)
    assert page.locator("#searched tbody tr:visible").all_text_contents() == matching
    assert page.locator("#search-shown").inner_text() == f"{len(matching)} rows shown"
    page.locator("#search").fill("")
    assert page.locator("#searched tbody tr:visible").count() == len(texts)


def test_findings_are_searched(opened, pages):
    """As the rejections of a plan are."""
    page = opened(pages["audit"])
    rows = page.locator("#searched tbody tr")
    names = rows.locator("td:first-child").all_inner_texts()
    assert len(names) > 1

    page.locator("#search").fill(names[1].lower())
    assert page.locator("#searched tbody tr:visible td:first-child").all_inner_texts() == [names[1]]


def test_a_chart_tells_what_is_pointed_at(opened, pages):
    """In a line below it: the hour of the week, and the option with its interval."""
    page = opened(pages["mixed"])
    page.locator(".hour").nth(30).hover()
    assert page.locator("figure .told-here").first.inner_text().startswith("Tuesday 06:00 UTC: ")

    page = opened(pages["real"])
    page.locator("g.recommended .dot").first.hover(force=True)
    assert re.match(r"#1 .* a month, TTFT p95 .* to ", page.locator(".fronts .told-here").first.inner_text())


def test_a_reader_without_javascript_misses_no_number(opened, pages):
    """Every table and sentence is there; what needs a script is not shown."""
    with_script, without = opened(pages["real"]), opened(pages["real"], java_script_enabled=False)

    for page in (with_script, without):
        for selector in ("#options-table tbody tr", "#searched tbody tr", ".bars li", ".lines li"):
            assert page.locator(selector).count() > 0
    tables = [page.locator("table").all_text_contents() for page in (with_script, without)]
    assert tables[0] == tables[1]
    assert without.locator(".filters").first.is_hidden()
    assert with_script.locator(".filters").first.is_visible()


def test_a_keyboard_reaches_everything(opened, pages):
    """The first stop leads to the plan; tables that scroll, filters and folded parts are stops of their own."""
    page = opened(pages["real"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    stops = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        stops.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName"
            )
        )

    assert {"search", "options-reset", "SUMMARY", "SELECT", "Table: options", "Table: rejections"} <= stops


def test_paper_shows_what_is_folded(opened, pages):
    """As PDF, in which the tables are whole."""
    page = opened(pages["real"])
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")

    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".filters").first.is_hidden()
    region = page.locator("[aria-label='Table: hours of the week']")
    assert region.evaluate("one => one.scrollHeight <= one.clientHeight + 1")
    assert page.pdf().startswith(b"%PDF")
