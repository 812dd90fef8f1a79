"""The stacks that the tests run against: the same tests for each, by fixture parameter."""

from collections.abc import Iterator
from functools import cache

import httpx
import pytest

from deploy.serve import BACKENDS
from tests.stack.compose import ComposeStack, has_engine

engine_answers = cache(has_engine)


@pytest.fixture(scope="session", params=BACKENDS)
def stack(request: pytest.FixtureRequest) -> Iterator[ComposeStack]:
    """Return a running stack on each backend."""
    if not engine_answers():
        pytest.skip("no Docker Engine answers")
    stack = ComposeStack(request.param)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def http(stack: ComposeStack) -> Iterator[httpx.Client]:
    """Return a client of the running stack's site."""
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client
