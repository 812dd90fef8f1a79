"""The drills that CI does: each keeps its goal."""

import pytest

from deploy.serve import BACKENDS
from tests.drills.drills import DRILLS, run
from tests.drills.site import drill_site
from tests.stack.conftest import require

pytestmark = pytest.mark.alone


@pytest.fixture(
    scope="module",
    params=[pytest.param(backend, marks=pytest.mark.xdist_group(f"drills-{backend}")) for backend in BACKENDS],
)
def site(request, tmp_path_factory):
    require("docker", request.param)
    with drill_site(request.param, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.mark.parametrize("name", [drill.name for drill in DRILLS.values() if drill.in_ci])
def test_a_drill_keeps_its_goal(name, site):
    assert run(site, DRILLS[name]).complaints() == []
