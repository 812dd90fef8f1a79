"""The pages in linters (html-validate, axe) and in Chromium, used as a visitor uses them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.tree import ROOT

# Each page and error page with its status. Add a line to include a page in all tests.
PAGES = {
    "/": 200,
    # begin demo
    "/about": 200,
    "/hello/world": 200,
    "/echo": 405,
    # end demo
    "/nope": 404,
    "/static/.env": 404,  # nginx's error page
}
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}
NARROWEST = {"width": 320, "height": 740}  # WCAG 2.2, 1.4.10
# Levels A and AA of WCAG 2.0, 2.1 and 2.2, level AAA (text contrast 7:1), and axe's further recommendations.
RULES = ["wcag2a", "wcag2aa", "wcag2aaa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

LINTERS = ROOT / "tests" / "linters"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each backend, but one that visits pages in a browser on one: both backends send the same pages."""
    if "stack" in metafunc.fixturenames:
        backends = BACKENDS[:1] if "visit" in metafunc.fixturenames else BACKENDS
        on = [pytest.param(backend, marks=pytest.mark.xdist_group(f"pages-{backend}")) for backend in backends]
        metafunc.parametrize("stack", on, indirect=True, scope="module")


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """Return a running site of plain processes: each visit takes a second, and containers serve the same pages."""
    require(LocalStack.kind, request.param)
    stack = LocalStack(request.param, root=ROOT)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def modules() -> Path:
    """Return the folder of the linters that npm installs."""
    if not (folder := LINTERS / "node_modules").is_dir():
        pytest.skip("html-validate and axe are not installed: run `make .venv/node`")
    return folder


@pytest.fixture(scope="module")  # not "session": asyncio.run() fails while Playwright runs in the process
def browser() -> Iterator[Browser]:
    """Return a running browser that can reach only loopback."""
    if not (chromium := shutil.which("chromium")):
        pytest.skip("pages in a browser: chromium is not installed")
    flags = ["--disable-gpu", "--disable-quic", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
        yield browser


@pytest.fixture
def visit(browser, stack):
    """Return a function that opens a page in a new profile and, at the end, fails if the page had errors."""

    @contextmanager
    def visit(path, **options):
        errors = []
        # Chromium logs the status of an error page as an error. That one is expected.
        expected_error = f"Failed to load resource: the server responded with a status of {PAGES[path]} "

        def record(message):
            is_expected = message.location["url"] == f"{stack.url}{path}" and message.text.startswith(expected_error)
            if message.type in {"error", "warning"} and not is_expected:
                errors.append(f"{message.type} in the console: {message.text}")

        with browser.new_page(base_url=stack.url, **options) as page:
            page.on("console", record)  # includes violations of the Content-Security-Policy
            page.on("pageerror", lambda error: errors.append(f"exception: {error}"))
            page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
            assert page.goto(path).status == PAGES[path]
            yield page
            assert not errors, "\n".join(errors)

    return visit


# begin demo
def press(page):
    """Press the home page's button with the keyboard and wait for the result."""
    page.get_by_role("button").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("20 responses")


# end demo
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "It serves."),
        ("/about", "Where to begin"),  # only with demo
    ],
)
def test_page_footer_shows_backend_worker_and_release(path, text, stack):
    response = httpx.get(stack.url + path, headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert text in response.text
    foot = " ".join(re.sub("<[^>]+>", "", response.text.partition("<footer>")[2]).split())
    assert re.search(rf"Answered by {stack.backend}, worker \d+ of \w+, release dev, in \d+\.\d\d ms", foot)
    assert response.headers["X-Request-ID"] in foot


def test_html_validate_finds_no_errors(modules, stack, tmp_path):
    for path, status in PAGES.items():
        response = httpx.get(stack.url + path, headers={"Accept": "text/html"})
        assert response.status_code == status
        (tmp_path / f"{path.replace('/', '-')}.html").write_bytes(response.content)
    linter = [f"{sys.prefix}/bin/node", modules / ".bin/html-validate", "--config", LINTERS / "html-validate.json"]
    ended = subprocess.run(
        [*linter, "--max-warnings", "0", *tmp_path.iterdir()], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_violations_or_undecided_rules(path, modules, visit):
    with visit(path) as page:
        # begin demo
        if path == "/":
            press(page)
        # end demo
        # Not as a script element, which the Content-Security-Policy would block.
        page.evaluate((modules / "axe-core/axe.min.js").read_text())
        for scheme, size in product(["light", "dark"], [PHONE, DESK]):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
            findings = [
                f"{scheme}, {size['width']} px: {finding['help']}: {node['html']}"
                for finding in found["violations"] + found["incomplete"]
                for node in finding["nodes"]
            ]
            assert not findings, "\n".join(findings)
            assert found["passes"]


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_without_errors(path, visit):
    with visit(path) as page:
        page.wait_for_load_state("networkidle")


# begin demo
def test_button_shows_backends_and_keeps_focus(stack, visit):
    with visit("/") as page:
        press(page)
        expect(page.get_by_role("button")).to_be_focused()
        rows = [row.inner_text().split() for row in page.locator("#ask tbody tr").all()]
        assert {(backend, release) for backend, release, _, _ in rows} == {(stack.backend, "dev")}
        assert sum(int(answers) for _, _, _, answers in rows) == 20


# end demo
@pytest.mark.parametrize("path", PAGES)
def test_without_scripts_only_button_is_missing(path, visit):
    def text(page):
        return re.sub(r"\d+", "0", page.locator("main").inner_text())  # another worker may have served it

    with visit(path) as page:
        page.locator("#ask").evaluate_all("sections => sections.forEach(section => section.remove())")
        expected = text(page)
    with visit(path, java_script_enabled=False) as page:
        assert text(page) == expected
        assert page.get_by_role("button").count() == 0


@pytest.mark.parametrize("path", PAGES)
def test_without_scripts_every_link_works(path, visit):
    with visit(path, java_script_enabled=False) as page:
        links = page.get_by_role("link").all()
        assert links
        for link in links:
            link.click(trial=True)  # checks that it can be clicked
            href = link.get_attribute("href")
            assert page.request.get(href).ok, href


@pytest.mark.parametrize("path", PAGES)
def test_tab_reaches_every_control_with_visible_focus(path, visit):
    with visit(path) as page:
        usable = page.locator("a, button, [tabindex]").filter(visible=True).all()
        assert usable
        for element in usable:
            page.keyboard.press("Tab")
            expect(element).to_be_focused()
            expect(element).not_to_have_css("outline-style", "none")
            expect(element).not_to_have_css("outline-width", "0px")


@pytest.mark.parametrize("path", PAGES)
def test_page_does_not_scroll_sideways_on_phone(path, visit):
    with visit(path) as page:
        # begin demo
        if path == "/":
            press(page)
        # end demo
        for size in (PHONE, NARROWEST):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
            cut = "[...document.querySelectorAll('main *')].filter(each => each.scrollWidth > each.clientWidth + 1)"
            # An inline element has no width of its own.
            assert page.evaluate(f"{cut}.filter(each => each.clientWidth).map(each => each.outerHTML)") == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_description(path, visit):
    with visit(path) as page:
        assert len(page.locator("meta[name=description]").get_attribute("content")) > 20
