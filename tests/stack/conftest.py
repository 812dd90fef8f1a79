"""The stacks that the tests run against: the same tests for each, by fixture parameter."""

from collections.abc import Iterator
from functools import cache

import httpx
import pytest

from deploy.serve import BACKENDS
from tests.stack.compose import ComposeStack, has_engine
from tests.stack.local import LocalStack, missing

KINDS = {stack.kind: stack for stack in (LocalStack, ComposeStack)}
Stack = LocalStack | ComposeStack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `stack` once for each backend in each kind, or in the one that @pytest.mark.kind names."""
    if "stack" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("kind")
        kinds = only.args if only else KINDS
        for_each = [
            # One stack is one worker's, where pytest-xdist runs several: --dist loadgroup.
            pytest.param((kind, backend), id=f"{kind}-{backend}", marks=pytest.mark.xdist_group(f"{kind}-{backend}"))
            for kind in kinds
            for backend in BACKENDS
        ]
        metafunc.parametrize("stack", for_each, indirect=True, scope="session")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Return a running stack, started for the first test that takes it and stopped after the last."""
    kind, backend = request.param
    require(kind, backend)
    stack = KINDS[kind](backend)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@cache
def lacks(kind: str, backend: str) -> str:
    """Return what this machine lacks for a stack of this kind, in words, or nothing."""
    if kind == ComposeStack.kind:
        return "" if has_engine() else "no Docker Engine with Compose answers"
    command = missing(backend)
    return f"{command} is not installed" if command else ""


def require(kind: str, backend: str) -> None:
    """Skip the test where this machine cannot run such a stack; in CI that fails it."""
    if reason := lacks(kind, backend):
        pytest.skip(f"{backend} in {kind}: {reason}")


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Return a client of the running stack's site."""
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client
