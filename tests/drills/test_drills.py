"""The drills that CI does: each keeps its goal."""

import pytest

from deploy.server.launch import BACKENDS
from tests.drills.drills import DRILLS, run
from tests.drills.site import drill_site
from tests.stack.conftest import require

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


CHOSEN = [
    pytest.param(backend, drill, id=f"{backend}-{drill.name}", marks=pytest.mark.xdist_group(f"drills-{backend}"))
    for backend in BACKENDS
    for drill in DRILLS.values()
    if backend in drill.in_ci
]


@pytest.fixture(scope="module")
def site(request, tmp_path_factory):
    require("docker", request.param)
    with drill_site(request.param, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.mark.parametrize(("site", "drill"), CHOSEN, indirect=["site"], scope="module")
def test_a_drill_keeps_its_goal(drill, site):
    assert run(site, drill).complaints() == []
