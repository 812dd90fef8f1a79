"""Three machines: whatever is planned costs no request, and what a crash costs is bounded."""

import re

import httpx
import pytest

from tests.drills.drills import run
from tests.stack.conftest import require
from tests.swarm.cluster import Cluster
from tests.swarm.drills import DRILLS

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require("docker", "gunicorn")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), "gunicorn")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def test_every_machine_answers_with_its_static_files(cluster):
    for url in cluster.urls:
        with httpx.Client(base_url=url) as http:
            page = http.get("/")
            assert page.status_code == 200
            names = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
            assert names
            assert {http.get(name).status_code for name in names} == {200}


def test_a_release_that_cannot_be_imported_changes_nothing_but_where_its_files_would_be(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed("app/wsgi.py", "raise RuntimeError('broken')"):
        said = cluster.make(RELEASE="broken", fails=True)
    assert "site_assets has failed" in said
    assert "RuntimeError: broken" in said
    assert cluster.service("app")["Version"] == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REGISTRY": ""}, "swarm: REGISTRY is not set"),
        ({"BACKEND": "guincorn"}, 'target stage "guincorn" could not be found'),
        ({"RELEASE": "a b"}, "swarm: RELEASE is 'a b': it must be "),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, sentence, cluster):
    assert sentence in cluster.make(fails=True, **settings)


def test_secrets_reach_the_app_and_a_change_of_them_is_an_update(cluster):
    (cluster.folder / ".secrets").write_text("LOG_LEVEL=guess\n")
    try:
        said = cluster.make(fails=True)
    finally:
        (cluster.folder / ".secrets").unlink()
    assert "LOG_LEVEL is 'guess'" in said
    cluster.make()


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_drill_keeps_its_goal(drill, cluster):
    complaints = run(cluster, drill).complaints()
    assert not complaints, f"{cluster.account()}\n{complaints}"
