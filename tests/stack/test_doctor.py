"""make doctor: it finds nothing on a machine that runs these tests, and says what to do about what is wrong."""

import re
import socket

import pytest

from tests.stack.conftest import require
from tests.stack.site import Site
from tests.stack.waiting import free_port


@pytest.fixture
def site(tmp_path):
    """Return a site that is never started."""
    require("docker", "gunicorn")
    return Site("gunicorn", "-doctor", tmp_path)


def test_nothing_is_wrong_here_and_it_fits_on_a_screen(site):
    lines = site.make("doctor").splitlines()
    assert len(lines) < 25
    assert all(line.startswith("  ok  ") for line in lines)


WRONG = {
    "APP_MEMORY": ("9999g", "of memory, for two releases of the app", "set APP_MEMORY to less"),
    "WEB_CONCURRENCY": ("100", "app workers' memory is .*, and app mem_limit is ", "raise APP_MEMORY"),
    "WEB_THREADS": ("1000", "app processes and threads is .*, and app pids_limit is 256", "raise app pids_limit"),
    "MAX_BODY_BYTES": ("209715200", "nginx client_max_body_size is .*, and tmpfs of nginx is ", "raise the size of"),
    "CLIENT_REQUESTS": ("many", "nginx: CLIENT_REQUESTS is 'many': it must be ", "correct it, or unset it"),
    "LOG_LEVEL": ("loud", "LOG_LEVEL is 'loud': it must be ", "correct it, or unset it"),
    "RELEASE": ("a:b", "RELEASE is 'a:b': it must be ", "correct it, or unset it"),
    # Compose refuses these, and does not always name them.
    "APP_CPUS": ("many", "docker compose config .*many", "correct what it names: "),
    "HTTP_BIND": ("here", "docker compose config .*here", "correct what it names: "),
    "HTTP_PORT": ("http", "docker compose config .*http", "correct what it names: "),
    "LOCUST_PORT": ("locust", "docker compose config .*locust", "correct what it names: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_setting_that_cannot_be_is_found(name, site):
    value, what, remedy = WRONG[name]
    said = site.make("doctor", fails=True, **{name: value})
    assert re.search(rf"^FAIL  .*{what}", said, re.MULTILINE)
    assert f"-> {remedy}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("path", "more", "what"),
    [
        (
            "deploy/server/gunicorn.conf.py",
            "graceful_timeout = 36",
            "gunicorn graceful_timeout is 36, and app stop_grace_period is 35: Docker kills ",
        ),
        ("deploy/server/uwsgi.ini", "listen = 99999999", "uwsgi listen is 99,999,999, and kernel somaxconn is "),
        (".env", "COMPOSE_FILE=docker-compose.yml:more.yml", "app stop_grace_period is 5"),
        (
            ".env",
            "COMPOSE_FILE=docker-compose.yml:more.yml",
            "app MAX_BODY_BYTES is .*, and nginx client_max_body_size is 9",
        ),
    ],
)
def test_a_contradiction_is_found(path, more, what, site):
    (site.root / "more.yml").write_text(
        "services: {app: {stop_grace_period: 5s}, nginx: {environment: {MAX_BODY_BYTES: 9}}}"
    )
    site.change(path, f"\n{more}\n")
    assert re.search(what, site.make("doctor", fails=True))


def test_a_port_that_is_taken_is_found(site):
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        said = site.make("doctor", fails=True, HTTP_PORT=str(listener.getsockname()[1]))
    assert "FAIL  port " in said
    assert "set HTTP_BIND or HTTP_PORT to another" in said


@pytest.fixture
def nginx(site):
    """Return a site of which nginx runs, without an app."""
    site.compose("up", "--detach", "--build", "--no-deps", "nginx")
    yield site
    site.down()


def test_while_the_site_runs_its_own_port_is_well_and_one_that_another_program_has_is_not(nginx):
    own = nginx.environ["HTTP_PORT"]
    assert f"  ok  port {own} of 127.0.0.1 is the running site's\n" in nginx.make("doctor")
    assert f"  ok  port {own} of 0.0.0.0 is the running site's\n" in nginx.make("doctor", HTTP_BIND="0.0.0.0")
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        other = listener.getsockname()[1]
        assert f"FAIL  port {other} of " in nginx.make("doctor", fails=True, HTTP_PORT=str(other))


def test_with_tls_its_port_is_looked_at_too(site):
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = str(listener.getsockname()[1])
        files = {"COMPOSE_FILE": "docker-compose.yml:deploy/tls/tls.yml", "HTTPS_PORT": port}
        said = site.make("doctor", fails=True, **files)
    assert f"FAIL  port {port} of " in said
    assert "set HTTP_BIND or HTTPS_PORT to another" in said


def test_an_engine_that_does_not_answer_is_one_sentence(site):
    said = site.make("doctor", fails=True, DOCKER_HOST="unix:///nowhere.sock")
    assert said.splitlines()[0].startswith("FAIL  ")
    assert "Cannot connect to the Docker daemon" in said
    assert "Traceback" not in said
