"""Stopping a container: as long as its stop_grace_period allows."""

from deploy.docker import Container
from deploy.release import cleanup


def test_stop_is_given_more_time_than_the_container(monkeypatch):
    limits = {}
    long = Container("0", "site-app:1-uwsgi", "sha256:0", "running", "healthy", 0, {"Config": {"StopTimeout": 300}})
    monkeypatch.setattr(cleanup, "docker", lambda verb, *_, seconds=60: limits.update({verb: seconds}))
    cleanup.stop(long)
    assert limits["stop"] > 300
    assert "rm" in limits
