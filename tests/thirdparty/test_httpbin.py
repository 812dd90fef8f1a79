"""httpbin as the whole site passes its own tests over HTTP."""

import os
import re
import subprocess
import sys
import tarfile

import pytest

from tests.stack.waiting import ROOT
from tests.thirdparty.conftest import LOCK, PLAIN, pip, served

IMPORTS = "from httpbin import app as site\n"
# docs/your-app.md has the reasons.
DIFFERENT = {
    "test_methods__to_status_endpoint": "it sends TRACE",
    "test_x_forwarded_proto": "it claims HTTPS, and nginx does not trust it",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Return httpbin's tests, which are in its source archive only."""
    folder = tmp_path_factory.mktemp("httpbin")
    [locked] = re.findall(r"^httpbin==(?:.*\\\n)+.*\n", LOCK.read_text(), re.MULTILINE)
    (folder / "lock.txt").write_text(locked)
    only = ("--no-deps", "--no-binary=httpbin", "--require-hashes", "--dest", str(folder))
    pip("download", *only, "--requirement", str(folder / "lock.txt"))
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    return next(folder.glob("httpbin-*/tests/test_httpbin.py"))


def run(suite, backend, packages):
    """Run the suite against the server, and return the outcome of each test."""
    with served(backend, packages, IMPORTS) as url:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-rA",
            "-q",
            "-n0",
            "-p",
            "network",
            "-p",
            "no:cacheprovider",
            suite.name,
        ]
        path = f"{packages}:{ROOT / 'tests' / 'thirdparty'}"
        environ = os.environ | {"PYTHONPATH": path, "SERVER": url}
        ended = subprocess.run(command, cwd=suite.parent, env=environ, capture_output=True, text=True, check=False)
    return {name: outcome for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)}


@pytest.fixture(scope="module")
def expected(suite, packages):
    """Return the outcomes on gunicorn alone."""
    return run(suite, PLAIN, packages)


def test_httpbin_passes_the_tests_that_it_passes_on_gunicorn_alone(suite, backend, packages, expected):
    assert [*expected.values()].count("PASSED") >= 50
    found = run(suite, backend, packages)
    assert found.keys() == expected.keys()
    assert {name.rpartition("::")[2] for name in found if found[name] != expected[name]} == DIFFERENT.keys()
