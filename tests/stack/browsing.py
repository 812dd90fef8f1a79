"""A report, opened in Debian's Chromium: nothing to complain of, nothing wider than the window, light or dark."""

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
    """Open the page in a window of this width, without any host to reach; fail for all that went wrong by the end."""
    if not (chromium := shutil.which("chromium")):
        pytest.skip("the reports in a browser: chromium is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(file.as_uri())
        yield page
        assert complaints == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for chart in page.locator("svg").all():
            assert (box := chart.bounding_box())
            assert box["width"] > 250
            assert box["x"] + box["width"] <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUNDS[scheme]
