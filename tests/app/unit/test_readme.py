"""The first steps of README.md work on the demo."""

import os
import re
import subprocess
import sys

import pytest

from tests.tree import ROOT, copy_project


@pytest.mark.slow
def test_first_steps_of_the_readme_work(tmp_path):
    readme = ROOT / "README.md"
    _, mark, text = (readme.read_text() if readme.exists() else "").partition("## Make it yours\n")
    if not mark:
        return  # a fork has a README of its own
    steps = text.partition("\n## ")[0]
    handler, route, template, image, test = re.findall(
        r"^```(?:python|html)\n(.*?)^```", steps, re.MULTILINE | re.DOTALL
    )
    field, reader = re.findall(r"^\| `app/settings\.py`.*? \| `(.+)` \|$", steps, re.MULTILINE)
    [expression] = re.findall(r"then reads `(.+)`", steps)
    copy_project(tmp_path)
    edit(tmp_path / "app/handlers/pages.py", r"\Z", f"\n\n{handler}")
    edit(tmp_path / "app/wsgi.py", r"^ROUTES\b.*\n", route)
    edit(tmp_path / "app/settings.py", r"^    log_level: .*\n", f"    {field}\n")
    edit(tmp_path / "app/settings.py", r"^ +log_level=.*\n", f"{reader}\n")
    (tmp_path / "app/templates/team.html").write_text(template.replace("    <ul>", f"{image}<ul>"))
    (tmp_path / "app/static/logo.svg").write_text("<svg/>")
    team = tmp_path / "tests/app/unit/test_team.py"
    team.write_text(
        f"from app.settings import settings\n{test}\n\ndef test_setting():\n    assert {expression} == 'Blue'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n0", team]
    ended = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"TEAM_NAME": "Blue"}, capture_output=True, text=True, check=False
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def edit(path, place, text):
    """Insert the text behind the first match of the pattern `place`."""
    before = path.read_text()
    found = re.search(place, before, re.MULTILINE)
    assert found, f"{path.name} has no {place}"
    path.write_text(before[: found.end()] + text + before[found.end() :])
