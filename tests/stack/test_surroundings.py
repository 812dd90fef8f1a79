"""The process in which a handler runs is the same on each stack: programs that it starts, paths, output, limits."""

import httpx
import pytest

SERVERS_OWN = ("GUNICORN", "SERVER_SOFTWARE", "UWSGI")


@pytest.fixture(scope="module")
def seen(probe):
    """Return what a handler sees of its process."""
    response = httpx.get(f"{probe.url}/surroundings", timeout=60)
    assert response.status_code == 200, probe.logs("app")
    return response.json()


def test_handler_can_start_python_and_pools_of_processes(seen):
    assert seen["executable is in"] == seen["prefix"]
    assert seen["child"] == f"{seen['prefix']} []\n"
    assert seen["pools"] == {"spawn": [3, 1], "forkserver": [3, 1], "fork": [3, 1]}


def test_arguments_paths_and_folder_are_those_of_the_project(seen, probe):
    folder = "/srv" if probe.kind == "docker" else str(probe.root)
    assert seen["argv"] == [f"{folder}/app/wsgi.py"]
    assert (seen["folder"], seen["path"], seen["other paths in the folder"]) == (folder, [folder], [])


def test_text_is_utf8_and_output_appears_at_once(seen):
    assert [each.lower() for each in seen["encodings"]] == ["utf-8"] * 3
    assert seen["locale"].endswith("UTF-8")
    assert seen["output"] == ["backslashreplace", True] * 2


def test_limits_signals_and_variables_are_the_same(seen):
    assert (seen["open files"], seen["umask"]) == (4096, 0o022)
    assert {"SIGPIPE", "SIGXFSZ"} <= {*seen["ignored signals"]} <= {"SIGPIPE", "SIGXFSZ", "SIGHUP", "SIGTERM"}
    assert seen["blocked signals"] == []
    assert not [name for name in seen["variables"] if name.startswith(SERVERS_OWN)]


def test_user_has_a_name_and_a_home(seen):
    assert seen["user"]
    assert seen["home can be written"]
