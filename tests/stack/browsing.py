"""Open a report in Chromium and check it: no errors, no sideways scrolling, the right colours."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, sync_playwright

Scheme = Literal["light", "dark"]
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}


@contextmanager
def opened(file: Path, scheme: Scheme, width: int) -> Iterator[Page]:
    """Open the file in a window of this width, without network; at the end, fail if the page had errors."""
    if not (chromium := shutil.which("chromium")):
        pytest.skip("reports in a browser: chromium is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.append(request.url))
        page.goto(file.as_uri())
        yield page
        assert errors == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for chart in page.locator("svg").all():
            assert (box := chart.bounding_box())
            assert box["width"] > 250
            assert box["x"] + box["width"] <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUNDS[scheme]
