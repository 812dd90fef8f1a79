"""`make compare` on real stacks, quickly: what it leaves, what it removes, what it refuses."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.stack.browsing import opened
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.waiting import ROOT

pytestmark = pytest.mark.alone


def compare(folder, **variables):
    """Run the comparison to its end; return its exit code and what it printed."""
    if not importlib.util.find_spec("locust"):
        pytest.skip("the comparison: locust is not installed, `make .venv/loadtest`")
    require("docker", "gunicorn")
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("DOCKER_")}
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.compare"],
        cwd=ROOT,
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
    """Return the folder that a comparison of gunicorn with the last commit on uWSGI has left, and what it printed."""
    folder = tmp_path_factory.mktemp("compared")
    code, output = compare(folder, B="uwsgi,ref:HEAD", ROUTE="/version")
    assert code == 0, output
    return folder, output


def test_every_figure_is_there_for_both_sides_and_the_bare_callable(compared):
    folder, output = compared
    found = json.loads((folder / "compare.json").read_text())
    assert found["names"]["B"] == "uwsgi,ref:HEAD"
    results = {each["name"]: each["values"] for each in found["results"]}
    for name in ("requests a second at saturation", "CPU a request, app", "memory of the app after it"):
        assert {len(values) for values in results[name].values()} == {2}, name
        assert all(value > 0 for values in results[name].values() for value in values), name
    deploy = "another release by docker compose up, to its first answer"
    for name in (
        "cold start to the first answer",
        deploy,
        "image of the app",
        "of it our own, on top of the base image",
    ):
        assert [len(results[name][side]) for side in "AB"] == [2, 2], name
        assert all(value > 0 for side in "AB" for value in results[name][side]), name
    # A machine that is busy with other things may not take a rate; then that is said.
    at_rates = [name for name in results if name.startswith("p99 at ")]
    assert len(at_rates) == 4
    assert at_rates[3].endswith("/s, 3 slow requests beside")  # of two workers of four threads
    for name in at_rates:
        for side in "AB":
            why = f"compare: {side} at {name.removeprefix('p99 at ')}: the generator's"
            assert None not in results[name][side] or why in output, name
    assert {each["failures"] for each in found["behaviour"].values()} == {0}
    assert all(requests > failures for failures, requests in found["counts"].values())
    assert "too few rounds" in output


def test_nothing_is_left_of_the_tree_of_a_release(compared):
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_in_a_browser_has_its_charts_and_nothing_to_complain_of(scheme, width, compared):
    folder, _ = compared
    with opened(folder / "compare.html", scheme, width) as page:
        assert page.locator("svg").count() >= 9  # as many as a busy machine leaves
        assert page.locator("circle").count() > 50


def test_the_picture_is_one_that_a_browser_draws(compared):
    folder, _ = compared
    (folder / "picture.html").write_text('<body style="background: #fff"><img src="compare.svg" width="300"></body>')
    with opened(folder / "picture.html", "light", 360) as page:
        assert page.locator("img").evaluate("image => image.naturalHeight") > 100


def test_the_table_to_paste_is_markdown(compared):
    folder, _ = compared
    lines = (folder / "compare.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert set(table[1]) <= set("|-: ")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"A": "guincorn"}, "compare: A is 'guincorn': 'guincorn' must be one of gunicorn, uwsgi, ref:COMMIT"),
        ({"B": "ref:nowhere"}, "compare: B is a release, 'nowhere': git knows no such commit"),
        ({"ROUNDS": "0"}, "compare: ROUNDS is '0': it must be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(variables, sentence, tmp_path):
    code, output = compare(tmp_path, **{"A": "gunicorn"} | variables)
    assert code == 1
    assert sentence in output


def test_a_route_that_fails_stops_the_comparison_and_is_named(tmp_path):
    code, output = compare(tmp_path, ROUTE="/nowhere")
    assert code == 1
    assert " requests to /nowhere failed" in output.splitlines()[-1]
