"""`make pictures`: take the pictures of the docs: the home page, a load test's report, and locust's web page."""

import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from deploy.server.launch import BACKENDS
from tests.stack.local import LocalStack
from tests.stack.waiting import ROOT, free_port

FOLDER = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1200, 800
QUALITY = 60  # of WebP, in percent
LOAD_SECONDS = 30


def take(page: Page, name: str) -> None:
    """Write what the page shows to the folder. Playwright itself writes no WebP, which is a third of PNG's size."""
    session = page.context.new_cdp_session(page)
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))
    print(f"pictures: wrote docs/pictures/{name}.webp")


def loads(site: LocalStack, **settings: str) -> subprocess.Popen[bytes]:
    """Start a load test of the site."""
    environ = {"PATH": os.environ["PATH"], "LOCUST_HOST": site.url, "LOCUST_RUN_TIME": f"{LOAD_SECONDS}s"}
    command = [sys.executable, "-m", "loadtest"]
    if "LOCUST_WEB_PORT" not in settings:
        command += ["--config", "loadtest/headless.conf"]
    return subprocess.Popen(command, cwd=site.root, env=environ | settings)


def take_all(page: Page, site: LocalStack) -> None:
    """Take the pictures of the running site and of two load tests."""
    page.goto(site.url)
    take(page, "page")
    with tempfile.TemporaryDirectory() as report, loads(site, LOCUST_REPORT=report) as run:
        run.wait()
        page.goto(Path(report, "index.html").as_uri())
        take(page, "report")
    port = free_port()
    with loads(site, LOCUST_WEB_PORT=f"{port}", LOCUST_WEB_HOST="127.0.0.1", LOCUST_AUTOSTART="true") as run:
        try:
            while not opens(page, f"http://127.0.0.1:{port}/?tab=charts"):
                page.wait_for_timeout(500)
            page.wait_for_timeout(LOAD_SECONDS * 1000)
            take(page, "locust")
        finally:
            run.terminate()


def opens(page: Page, url: str) -> bool:
    """Return whether the page can be opened."""
    try:
        page.goto(url)
    except Exception:  # noqa: BLE001 (Playwright's error has the name Error)
        return False
    return True


def main() -> None:
    """Run the site, and take the pictures in Chromium."""
    FOLDER.mkdir(exist_ok=True)
    site = LocalStack(BACKENDS[0], root=ROOT)
    site.up()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            take_all(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), site)
    finally:
        site.down()


if __name__ == "__main__":
    main()
