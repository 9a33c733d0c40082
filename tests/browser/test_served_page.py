"""A served page in a real Chromium: controls, one change after another, no message, no request to elsewhere."""

import os
import shutil

import pytest

from serve.served import SMALL, serving

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make browser-test` installs it")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: `make browser-test` installs it"
)
CHROMIUM = os.environ.get("ADVISOR_CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: `make browser-test` installs it", allow_module_level=True)

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of a small workload."""
    file = tmp_path_factory.mktemp("served") / "workload.yaml"
    file.write_text(SMALL)
    with serving(file, "--no-ahead") as served:
        yield served


@pytest.fixture
def opened(server):
    """Open the page; what it asked for and said is checked at the end."""
    messages, requests = [], []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def open_page(width=1280, path=None, **options):
            page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("request", lambda request: requests.append(request.url))
            page.on("console", lambda message: messages.append(message.text))
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.port}{path or server.path}")
            return page

        yield open_page
        browser.close()
    assert [url for url in requests if not url.startswith((f"http://127.0.0.1:{server.port}/", "data:"))] == []
    assert [message for message in messages if "409" not in message and "422" not in message] == []


def told(page, text):
    """Wait until the page says so."""
    api.expect(page.locator("#told")).to_contain_text(text, timeout=PATIENCE_MS)


def test_a_change_takes_the_place_of_what_is_shown(opened):
    """Numbers, charts and address are those of the new plan, and the keyboard stays where it was."""
    page = opened()
    before, address = page.locator(".headline").inner_text(), page.url

    page.locator("#higher\\.demand").click()
    told(page, "Planned with demand=1.25x.")

    assert page.url != address
    assert page.locator("#demand").input_value() == "1.25x"
    assert page.evaluate("document.activeElement.id") == "higher.demand"
    page.locator("#demand").fill("4x")
    page.locator("#demand").press("Enter")
    told(page, "Planned with demand=4x.")
    after = page.locator(".headline").inner_text()
    assert after != before
    search = page.locator("#search")
    search.fill("nothing is called so")
    assert page.locator("#searched tbody tr:visible").count() == 0
    page.reload()
    assert page.locator(".headline").inner_text() == after
    with page.expect_download() as download:
        page.get_by_role("link", name="workload.yaml").click()
    assert "times: 4" in download.value.path().read_text()


def test_the_newest_of_several_changes_is_shown(opened):
    """Whatever comes back first."""
    page = opened()
    page.locator("#purchase\\.spot").check()
    page.locator("#demand").fill("1.75x")
    page.locator("#demand").press("Enter")

    told(page, "Planned with demand=1.75x, purchase=on_demand+spot.")
    page.wait_for_timeout(500)
    assert page.locator("#purchase\\.spot").is_checked()


def test_what_is_wrong_is_told_beside_the_controls(opened):
    """And the plan before it stays."""
    page = opened()
    before = page.locator(".headline").inner_text()
    page.locator("#demand").fill("a lot")
    page.locator("#demand").press("Enter")

    told(page, "'a lot' is not an amount")
    assert page.locator(".headline").inner_text() == before


def test_without_javascript_a_change_is_a_page_of_its_own(opened):
    """Enter in a field sends that field, not the button beside it."""
    page = opened(java_script_enabled=False)
    page.locator("#demand").fill("1.25x")
    page.locator("#demand").press("Enter")
    told(page, "Planned with demand=1.25x.")
    page.locator("#lower\\.demand").click()
    told(page, "As stated.")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_controls_fit_and_are_accessible(opened, width):
    """On a telephone too, and on the page that a workload is pasted into."""
    for path in (None, "/"):
        page = opened(width, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        violations = axe.Axe().run(page).response["violations"]
        assert [(rule["impact"], rule["id"], rule["nodes"][0]["html"][:200]) for rule in violations] == []
