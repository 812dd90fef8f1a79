"""Where `make load` sends the load if HOST does not say it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("file", "environ", "host"),
    [
        ("", {}, "http://127.0.0.1:8080"),
        ("BACKEND=uwsgi\nHTTP_PORT=9000\n", {}, "http://127.0.0.1:9000"),
        ("HTTP_PORT=9000\n", {"HTTP_PORT": "9001"}, "http://127.0.0.1:9001"),
        ("HTTP_PORT=9000\n", {"HTTP_PORT": "9001", "HOST": "https://example.org"}, "https://example.org"),
    ],
)
def test_the_load_goes_to_the_port_that_the_stack_has(file, environ, host, tmp_path):
    (tmp_path / ".env").write_text(file)
    ended = subprocess.run(
        ["make", "--dry-run", "--file", ROOT / "Makefile", "--old-file", ".venv/loadtest", "load"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"LOCUST_HOST=(\S+)", ended.stdout) == [host], ended.stderr
