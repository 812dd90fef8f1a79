"""Where the site is, which version it reports, and which changes a run notices."""

import json

import pytest

gevent = pytest.importorskip("gevent", reason="the load test: gevent is not installed, `make .venv/loadtest`")

from loadtest import site  # noqa: E402
from loadtest.site import Version  # noqa: E402

DOCKER = "#!/bin/sh\nprintf '%s' '{}'\n"


def published(**ports):
    publishers = [{"URL": "0.0.0.0", "TargetPort": int(inside.strip("_")), "PublishedPort": outside, "Protocol": "tcp"}
                  for inside, outside in ports.items()]  # fmt: skip
    return json.dumps({"Service": "nginx", "State": "running", "Publishers": publishers})


@pytest.mark.parametrize(
    "case",
    [
        ("", {}, "", "http://127.0.0.1:8080"),
        ("HTTP_PORT=18121 # mine\n", {}, "", "http://127.0.0.1:18121"),
        ("HTTP_PORT='18121'\n", {}, "", "http://127.0.0.1:18121"),
        ("HTTP_PORT=18121\n", {"HTTP_PORT": "9001"}, "", "http://127.0.0.1:9001"),
        # The running site keeps the port that it was started with, whatever .env says now.
        ("HTTP_PORT=18121\n", {}, published(_8080=18200), "http://127.0.0.1:18200"),
        ("", {}, published(_8080=18200, _8443=18201), "https://127.0.0.1:18201"),
        ("", {"HTTP_PORT": "18200"}, published(_8080=18200, _8443=18201), "https://127.0.0.1:18201"),
        # Another port, given for this command: `make local` can run beside the containers.
        ("", {"HTTP_PORT": "9001"}, published(_8080=18200), "http://127.0.0.1:9001"),
        ("", {"LOCUST_SITE": "http://nginx:8080"}, published(_8080=18200), "http://nginx:8080"),
    ],
)
def test_address_is_that_of_the_running_site(case, tmp_path, monkeypatch):
    env_file, environ, running, address = case
    (tmp_path / ".env").write_text(env_file)
    (tmp_path / "docker").write_text(DOCKER.format(running))
    (tmp_path / "docker").chmod(0o755)
    for name in ("LOCUST_SITE", "HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(site, "ENV_FILE", tmp_path / ".env")
    assert site.addresses() == [address]


def change(monkeypatch, *answers):
    """Return the change that a run sees whose reads of /version give these answers, two at the start and at the end."""
    found = iter(answers)
    monkeypatch.setattr(site, "SAMPLES", 2)
    monkeypatch.setattr(site, "read_version", lambda _: next(found))
    watch = site.Watch("http://site")
    gevent.sleep(0)
    for _ in answers[4:]:
        watch.read(1)
    watch.stop()
    return watch.change


OLD, NEW, OTHER = Version("gunicorn", "1", 2, 4), Version("gunicorn", "2", 2, 4), (Version(), "unknown")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(OLD, "a")] * 4, id="nothing"),
        pytest.param([(OLD, "a"), (OLD, "b"), (OLD, "b"), (OLD, "c")], id="one replica of two"),
        pytest.param([(OLD, "a"), (OLD, "a"), None], id="no answer at the end"),
        pytest.param([OTHER] * 4, id="another program"),
    ],
)
def test_site_that_stays_the_same_has_not_changed(answers, monkeypatch):
    assert change(monkeypatch, *answers) == ""


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(OLD, "a"), (OLD, "a"), (NEW, "b"), (NEW, "b")], id="a deploy"),
        pytest.param([(OLD, "a"), (OLD, "a"), (NEW, "b"), (OLD, "a"), (OLD, "a")], id="a deploy and its rollback"),
        pytest.param([(OLD, "a")] * 2 + [(Version("gunicorn", "1", 2, 8), "a")] * 2, id="another size"),
        pytest.param([(OLD, "a")] * 2 + [OTHER] * 2, id="another program"),
    ],
)
def test_another_version_is_a_change(answers, monkeypatch):
    expected = "the site changed during the run: backend gunicorn, release 1, 2 workers of 4 threads; then "
    assert change(monkeypatch, *answers).startswith(expected)


def test_another_instance_is_a_change(monkeypatch):
    answers = [(OLD, "a"), (OLD, "a"), (OLD, "b"), (OLD, "b")]
    assert change(monkeypatch, *answers) == "the site's app was replaced during the run: instance a, then b"
