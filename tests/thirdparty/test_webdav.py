"""WsgiDAV as the whole site passes litmus, Debian's test suite for WebDAV servers."""

import re
import shutil
import subprocess

import pytest

from tests.thirdparty.conftest import PLAIN, served

IMPORTS = """import os
from wsgidav.wsgidav_app import WsgiDAVApp
site = WsgiDAVApp({
    "provider_mapping": {"/": os.environ["DATA_DIR"]},
    "simple_dc": {"user_mapping": {"*": True}},
    "logging": {"enable": False},
    "verbose": 0,
    "property_manager": True,
    "lock_storage": True,
})
"""
# docs/your-app.md has the reason.
DIFFERENT = {("basic", "9. delete_fragment"): "nginx refuses a target with a fragment, where gunicorn deletes a folder"}
METHODS = "PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK"


def run(backend, packages, folder):
    """Run litmus against the server, and return the outcome of each test."""
    with served(backend, packages, IMPORTS, METHODS) as url:
        command = ["litmus", "--keep-going", f"{url}/"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    suites = re.findall(r"^-> running `(\w+)':\n(.*?)^<- ", ended.stdout, re.MULTILINE | re.DOTALL)
    tests = re.compile(r"^ *(\d+\. \S+?)\.+ .*?(pass|FAIL|SKIPPED|WARNING)", re.MULTILINE)
    return {(suite, name): outcome for suite, text in suites for name, outcome in tests.findall(text)}


def test_webdav_server_passes_the_tests_that_it_passes_on_gunicorn_alone(backend, packages, tmp_path):
    if not shutil.which("litmus"):
        pytest.skip("WebDAV: litmus is not installed")
    expected = run(PLAIN, packages, tmp_path)
    assert [*expected.values()].count("pass") >= 100
    found = run(backend, packages, tmp_path)
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} == DIFFERENT.keys()
