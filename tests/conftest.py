"""Hooks for all tests: list skipped tests and their reasons at the end; in CI, a skipped test fails."""

import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

from tests.turns import turn

# No test fails because it is slow: the machine may be slow or busy.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

LONGEST_NAME = 80  # characters of a parameter in a test's name
# Groups that take long, by the beginning of their name. pytest-xdist by itself starts the groups of most tests first.
SLOWEST = (
    "release-",
    "docker-",
    "processes-",
    "pages-",
    "tls-",
    "test_processes",
    "test_replicas",
    "test_drain",
    "test_fork",
)

CI = os.environ.get("CI") == "true"

# A shell's background job ignores SIGINT. The processes that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten a long text in a test's name: pytest-xdist copies all names to all workers."""
    return f"{val[:40]!r}, {len(val)} in all" if isinstance(val, str | bytes) and len(val) > LONGEST_NAME else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the tests of one file to one worker of pytest-xdist, so that their fixtures are set up once."""
    if not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of one group together, and the groups that take longest first, so that no worker ends late."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(item.get_closest_marker("xdist_group").args[0], []).append(item)  # type: ignore[union-attr]

    def rank(group: str) -> int:
        return next((number for number, start in enumerate(SLOWEST) if group.startswith(start)), len(SLOWEST))

    items[:] = [item for group in sorted(groups, key=rank) for item in groups[group]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone` while no other test of this run is in progress."""
    with turn(item.config.cache.mkdir("turns"), alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Turn a skip into a failure in CI."""
    if CI and call.excinfo and call.excinfo.errisinstance(pytest.skip.Exception):
        call.excinfo = pytest.ExceptionInfo.from_exc_info(
            (AssertionError, AssertionError(f"in CI: {call.excinfo.value}"), call.excinfo.tb)
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the reasons for skipped tests, with the number of tests for each."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("not run")
        for reason, count in reasons.items():
            terminalreporter.line(f"{count} tests: {reason.removeprefix('Skipped: ')}")
