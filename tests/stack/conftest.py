"""Fixtures for running stacks. The same tests run on each stack, as fixture parameters."""

import json
import shutil
from collections.abc import Generator, Iterator
from functools import cache

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.compose import SELDOM, ComposeStack, has_engine
from tests.stack.local import LocalStack, missing
from tests.stack.waiting import (
    ROOT,
    free_port,  # only with monitoring
)
from tests.tree import copy_reference

KINDS = (LocalStack.kind, ComposeStack.kind)
FILES = ("docker-compose.yml", SELDOM)
Stack = LocalStack | ComposeStack
RUNNING: list[Stack] = []
LOG_LINES = 20  # of each service, in the report of a failed test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use `stack` or `probe` on each kind and backend, or on those that their marks name."""
    for name in {"stack", "probe"} & {*metafunc.fixturenames}:
        kinds, backends = (
            mark.args if (mark := metafunc.definition.get_closest_marker(of)) else default
            for of, default in (("kind", KINDS), ("backend", BACKENDS))
        )
        # With pytest-xdist (--dist loadgroup), one worker runs all tests of a stack.
        for_each = [
            pytest.param(
                (kind, backend), id=f"{kind}-{backend}", marks=pytest.mark.xdist_group(f"{kind}-{backend}-{name}")
            )
            for kind in kinds
            for backend in backends
        ]
        metafunc.parametrize(name, for_each, indirect=True, scope="session")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Return a running stack. It starts before its first test and stops after its last."""
    kind, backend = request.param
    require(kind, backend)
    yield from running(ComposeStack(backend, files=FILES) if kind == ComposeStack.kind else LocalStack(backend))


@pytest.fixture(scope="session")
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a running stack with one worker and tests/stack/probe.py instead of app/wsgi.py."""
    kind, backend = request.param
    require(kind, backend)
    probe = ROOT / "tests" / "stack" / "probe.py"
    stack: Stack
    if kind == ComposeStack.kind:
        volumes = {"volumes": [f"{probe}:/srv/app/wsgi.py:ro"]}
        overlay = json.dumps({"services": {"app": volumes, "assets": volumes}})
        stack = ComposeStack(
            backend,
            "-probe",
            overlay,
            FILES,
            WEB_CONCURRENCY="1",
            METRICS_PORT="9464",  # only with monitoring
        )
    else:
        root = tmp_path_factory.mktemp("probe")
        copy_reference(root)
        shutil.copy(probe, root / "app" / "wsgi.py")
        stack = LocalStack(
            backend,
            root=root,
            WEB_CONCURRENCY="1",
            METRICS_PORT=str(free_port()),  # only with monitoring
        )
    yield from running(stack)


def running(stack: Stack) -> Iterator[Stack]:
    """Start the stack, yield it and stop it, unless pytest_runtest_teardown() stopped it before."""
    RUNNING.append(stack)
    try:
        stack.up()
        yield stack
    finally:
        if stack in RUNNING:
            RUNNING.remove(stack)
            stack.down()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the stacks of a group after its last test; pytest would stop them at the end of the session."""
    if nextitem is None or nextitem.get_closest_marker("xdist_group") != item.get_closest_marker("xdist_group"):
        while RUNNING:
            RUNNING.pop().down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of the stack's logs to the report of a failed test."""
    report = yield
    for name in ("stack", "probe"):
        if report.failed and (running := getattr(item, "funcargs", {}).get(name)) in RUNNING:
            for service in ("app", "nginx"):
                lines = running.logs(service).splitlines()[-LOG_LINES:]
                report.sections.append((f"{service} of {name}, last lines of the log", "\n".join(lines)))
    return report


@cache
def lacks(kind: str, backend: str) -> str:
    """Return why this machine cannot run such a stack, or an empty string."""
    if kind == ComposeStack.kind:
        return "" if has_engine() else "no Docker Engine with Compose is running"
    command = missing(backend)
    return f"{command} is not installed" if command else ""


def require(kind: str, backend: str) -> None:
    """Skip the test if this machine cannot run such a stack; in CI, fail it."""
    if reason := lacks(kind, backend):
        pytest.skip(f"{backend} in {kind}: {reason}")


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Return an HTTP client for the running stack."""
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client
