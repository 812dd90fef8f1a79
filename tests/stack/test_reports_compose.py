"""Traces and error reports of containers, whose image gets the optional packages."""

import json
import re
from importlib.metadata import requires

import httpx
import pytest
from packaging.requirements import Requirement

from deploy.server.launch import BACKENDS, PACKAGES
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require
from tests.stack.receiver import receiving
from tests.stack.waiting import ROOT
from tests.tree import copy_reference

REQUESTS = 50


def closure(names):
    """Return the packages that these packages need, and themselves."""
    found, left = set(), [*names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or [])
            left += [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return {name.replace("_", "-") for name in found}


def add_packages(root, backend):
    """Add the packages for traces and error reports to those of the image, as `make lock` does."""
    lock = root / "requirements" / f"{backend}.txt"
    names = closure(package for package, _ in PACKAGES.values())
    blocks = re.findall(
        r"(?m)^(([\w.-]+).*==.*(?:\n    --hash.*)+\n)", (ROOT / "requirements" / "test.txt").read_text()
    )
    present = {name for _, name in re.findall(r"(?m)^(([\w.-]+).*==)", lock.read_text())}
    lock.write_text(lock.read_text() + "".join(block for block, name in blocks if name in names - present))


@pytest.mark.nightly
@pytest.mark.parametrize("backend", BACKENDS)
def test_container_sends_everything_before_it_stops(backend, tmp_path):
    require("docker", backend)
    copy_reference(tmp_path)
    add_packages(tmp_path, backend)
    volumes = {"volumes": [f"{ROOT}/tests/stack/probe.py:/srv/app/wsgi.py:ro"]}
    app = {**volumes, "networks": ["private", "outbound"], "extra_hosts": ["receiver:host-gateway"]}
    overlay = json.dumps({"services": {"app": app, "assets": volumes}})
    with receiving("0.0.0.0") as receiver:
        address = f"receiver:{receiver.server_port}"
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "SENTRY_DSN": f"http://key@{address}/7"}
        stack = ComposeStack(backend, "-reports", overlay, root=tmp_path, **given)
        try:
            stack.up()
            for number in range(REQUESTS):
                path = "/raise/ValueError" if number % 10 == 0 else "/answer/200"
                assert httpx.get(stack.url + path).status_code in (200, 500)
            stack.stop_app()
            logs = stack.logs("app")
        finally:
            stack.down()
    assert (len(receiver.spans), len(receiver.errors)) == (REQUESTS, REQUESTS / 10), logs
    assert len({span.resource["service.instance.id"] for span in receiver.spans}) > 1
