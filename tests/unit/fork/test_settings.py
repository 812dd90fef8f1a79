"""`make settings`: a setting in .env.example reaches the containers whose files read it, and the table of the docs."""

import subprocess
import sys

import pytest
import yaml

from tests.tree import ROOT, copy_project

pytestmark = pytest.mark.slow


@pytest.fixture
def fork(tmp_path):
    """Return the folder of a copy of the project."""
    copy_project(tmp_path)
    return tmp_path


def command(folder, *arguments):
    line = [sys.executable, "-m", "deploy.fork.settings", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def append(path, text):
    path.write_text(path.read_text() + text)


def given(folder, file, service):
    return yaml.safe_load((folder / file).read_text())["services"][service]["environment"]


def test_files_follow_from_the_example():
    found = command(ROOT, "check")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize(
    ("reader", "line", "services"),
    [
        ("app/settings.py", '\nTEAM = "SETTING_OF_A_TEST"\n', {"app", "assets", "release"}),
        ("deploy/server/launch.py", '\nTEAM = "SETTING_OF_A_TEST"\n', {"app", "assets", "release"}),
        ("nginx/control.sh", "\necho ${SETTING_OF_A_TEST:-Ours}\n", {"nginx"}),
    ],
)
def test_setting_reaches_the_containers_that_read_it(fork, reader, line, services):
    append(fork / reader, line)
    append(fork / ".env.example", "\n# The name of the team: a|b.\n#SETTING_OF_A_TEST=Ours\n")
    found = command(fork, "check")
    assert found.stderr.endswith("does not follow from .env.example: run `make settings`\n")
    assert command(fork).returncode == 0
    assert command(fork, "check").returncode == 0
    for name in ("app", "assets", "nginx", "locust"):
        assert ("SETTING_OF_A_TEST" in given(fork, "docker-compose.yml", name)) == (name in services)
    for file in ("stack.yml", "stack-release.yml"):
        if (fork / "deploy/swarm" / file).exists():
            for name in yaml.safe_load((fork / "deploy/swarm" / file).read_text())["services"]:
                assert ("SETTING_OF_A_TEST" in given(fork, f"deploy/swarm/{file}", name)) == (name in services)
    page = fork / "docs/settings.md"  # a fork may have removed it
    assert not page.exists() or "| `SETTING_OF_A_TEST` | `Ours` | The name of the team: a\\|b. |\n" in page.read_text()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "\n#SETTING_OF_A_TEST=\n",
            "settings: SETTING_OF_A_TEST in .env.example has no comment: describe it in the line above\n",
        ),
        (
            "\n# It.\n#SETTING_OF_A_TEST=\n",
            "settings: nothing reads SETTING_OF_A_TEST of .env.example: is the name the same in the code?\n",
        ),
    ],
)
def test_faulty_setting_is_refused_and_nothing_is_written(fork, text, error):
    append(fork / ".env.example", text)
    before = (fork / "docker-compose.yml").read_text()
    found = command(fork)
    assert (found.returncode, found.stderr) == (1, error)
    assert (fork / "docker-compose.yml").read_text() == before
