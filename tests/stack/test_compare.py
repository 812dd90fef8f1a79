"""`make compare` on real stacks: its report, its clean-up and its refusals."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from deploy.server.launch import BACKENDS
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.tree import commit, reference_tree

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


@cache
def repository() -> Path:
    """Return a git repository with the reference application, for the comparison with a release."""
    commit(reference_tree())
    return reference_tree()


def compare(folder, **variables):
    """Run the comparison to its end; return its exit code and its output."""
    if not importlib.util.find_spec("locust"):
        pytest.skip("the comparison: locust is not installed, `make .venv/loadtest`")
    require("docker", "gunicorn")
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("DOCKER_")}
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.compare"],
        cwd=repository(),
        env=kept | {"REPORT": str(folder), "QUICK": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        output, _ = running.communicate(timeout=600)
        left = docker("ps", "--all", "--quiet", "--filter", f"name=wsgi-compare-{running.pid}-")
        left += docker("image", "ls", "--quiet", f"wsgi-compare-{running.pid}-*")
        left += docker("volume", "ls", "--quiet", "--filter", f"name=wsgi-compare-{running.pid}-")
    assert left == "", "something was left behind"
    return running.returncode, output


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the folder and the output of a comparison of one backend with the last commit on the other."""
    folder = tmp_path_factory.mktemp("compared")
    code, output = compare(folder, B=f"{BACKENDS[-1]},ref:HEAD", ROUTE="/version")
    assert code == 0, output
    return folder, output


def test_every_figure_exists_for_both_variants_and_the_bare_callable(compared):
    folder, output = compared
    found = json.loads((folder / "compare.json").read_text())
    assert found["names"]["B"] == f"{BACKENDS[-1]},ref:HEAD"
    results = {each["name"]: each["values"] for each in found["results"]}
    for name in ("requests per second at saturation", "CPU per request, app", "memory of the app afterwards"):
        assert {len(values) for values in results[name].values()} == {2}, name
        assert all(value > 0 for values in results[name].values() for value in values), name
    deploy = "deploy of another release to its first response"
    for name in (
        "cold start to the first response",
        deploy,
        "image of the app",
        "image of the app without its base image",
    ):
        assert [len(results[name][side]) for side in "AB"] == [2, 2], name
        assert all(value > 0 for side in "AB" for value in results[name][side]), name
    # On a busy machine the generator may not keep up; then the output says so.
    at_rates = [name for name in results if name.startswith("p99 at ")]
    assert len(at_rates) == 4
    assert at_rates[3].endswith("/s, beside 7 slow requests")  # of two workers of eight threads
    for name in at_rates:
        for side in "AB":
            why = f"compare: {side} at {name.removeprefix('p99 at ')}: not measured, because the generator"
            assert None not in results[name][side] or why in output, name
    assert {each["failures"] for each in found["behaviour"].values()} == {0}
    assert all(requests > failures for failures, requests in found["counts"].values())
    assert "too few rounds" in output


def test_worktree_of_a_release_is_removed(compared):
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository(), capture_output=True, text=True, check=True)
    assert not any(line.split()[0].endswith("/tree") for line in listed.stdout.splitlines())


def test_table_is_markdown(compared):
    folder, _ = compared
    lines = (folder / "compare.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert set(table[1]) <= set("|-: ")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"A": "guincorn"}, f"compare: A is 'guincorn': 'guincorn' must be one of {', '.join(BACKENDS)}, ref:COMMIT"),
        ({"B": "ref:nowhere"}, "compare: B is a release, 'nowhere': git knows no such commit"),
        ({"ROUNDS": "0"}, "compare: ROUNDS is '0': it must be a whole number, 1 or more"),
    ],
)
def test_option_that_is_not_allowed_is_refused_in_one_sentence(variables, sentence, tmp_path):
    code, output = compare(tmp_path, **{"A": BACKENDS[0]} | variables)
    assert code == 1
    assert sentence in output


def test_route_that_fails_ends_the_comparison(tmp_path):
    code, output = compare(tmp_path, ROUTE="/nowhere")
    assert code == 1
    assert " requests to /nowhere failed" in output.splitlines()[-1]
