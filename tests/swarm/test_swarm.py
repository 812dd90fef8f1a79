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


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_drill_keeps_its_goal(drill, cluster):
    assert run(cluster, drill).complaints() == []
