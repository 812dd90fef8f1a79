"""Which site `make load` tests if a variable names it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
A, B = "http://a.example", "http://b.example"


@pytest.mark.parametrize(
    ("environ", "arguments", "host"),
    [
        ({}, [], []),
        ({"LOCUST_HOST": A}, [], [A]),
        ({"HOST": A}, [], [A]),
        ({}, [f"HOST={A}"], [A]),
        ({}, [f"LOCUST_HOST={A}"], [A]),
        ({"LOCUST_HOST": A}, [f"HOST={B}"], [B]),
        # Many shells export HOST, the name of the machine.
        ({"HOST": "machine", "LOCUST_HOST": A}, [], [A]),
    ],
)
def test_the_variable_names_the_site(environ, arguments, host, tmp_path):
    (tmp_path / ".env").write_text("HTTP_PORT=9000\n")
    ended = subprocess.run(
        ["make", "--dry-run", "--file", ROOT / "Makefile", "--old-file", ".venv/loadtest", "load", *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"LOCUST_HOST=(\S+)", ended.stdout) == host, ended.stderr
