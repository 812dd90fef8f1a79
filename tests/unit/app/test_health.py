"""The liveness check, the readiness check and the version."""

import json
import sys
from threading import Event

import pytest

from app.handlers import health
from tests.wsgi import call


def test_liveness_and_readiness_are_ok_without_checks(monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {})
    assert json.loads(call(health.alive).body) == {"status": "ok"}
    assert json.loads(call(health.ready).body) == {"status": "ok", "checks": {}}


@pytest.mark.parametrize("check", [lambda: False, lambda: 1 / 0, sys.exit])
def test_failed_readiness_check_is_named_in_503(check, monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {"cache": lambda: True, "database": check})
    answer = call(health.ready)
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "unavailable", "checks": {"cache": True, "database": False}}


def test_readiness_check_that_hangs_fails_in_time_and_runs_once(monkeypatch):
    calls, goes_on = [], Event()
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(health, "CHECKS", {"database": lambda: calls.append(1) or goes_on.wait()})
    assert [call(health.ready).status, call(health.ready).status] == [503, 503]
    assert calls == [1]
    thread, _ = health.unfinished["database"]
    goes_on.set()
    thread.join()
    assert call(health.ready).status == 200
    assert calls == [1, 1]


def test_readiness_check_that_raises_is_logged_with_traceback(monkeypatch, caplog):
    monkeypatch.setattr(health, "CHECKS", {"database": lambda: 1 / 0})
    call(health.ready)
    assert caplog.messages == ["readiness check 'database' failed"]
    assert "ZeroDivisionError" in caplog.text


def test_version_lists_release_backend_size_and_instance():
    answer = json.loads(call(health.version).body)
    assert answer.keys() == {"release", "backend", "workers", "threads", "instance", "worker"}
