"""make doctor passes on a machine that runs these tests, and reports what is wrong with its remedy."""

import re
import socket

import pytest

from tests.stack.conftest import require
from tests.stack.site import Site
from tests.stack.waiting import free_port


@pytest.fixture
def site(tmp_path):
    """Return a site that is not started."""
    require("docker", "gunicorn")
    return Site("gunicorn", "-doctor", tmp_path)


def test_doctor_passes_here_and_fits_on_a_screen(site):
    lines = site.make("doctor").splitlines()
    assert len(lines) < 25
    assert all(line.startswith("  ok  ") for line in lines)


WRONG = {
    "APP_MEMORY": ("9999g", "of memory; a deploy needs two releases of the app", "lower APP_MEMORY"),
    "WEB_CONCURRENCY": ("100", "app workers' memory is .*, and app mem_limit is ", "raise APP_MEMORY"),
    "WEB_THREADS": ("1000", "app processes and threads is .*, and app pids_limit is 256", "raise app pids_limit"),
    "CLIENT_REQUESTS": ("many", "nginx: CLIENT_REQUESTS is 'many': it must be ", "correct or unset it"),
    "LOG_LEVEL": ("loud", "LOG_LEVEL is 'loud': it must be ", "correct or unset it"),
    "RELEASE": ("a:b", "RELEASE is 'a:b': it must be ", "correct or unset it"),
    # Compose refuses these, and does not always name the setting.
    "APP_CPUS": ("many", "docker compose config .*many", "correct the setting it names: "),
    "HTTP_BIND": ("here", "docker compose config .*here", "correct the setting it names: "),
    "HTTP_PORT": ("http", "docker compose config .*http", "correct the setting it names: "),
    "LOCUST_PORT": ("locust", "docker compose config .*locust", "correct the setting it names: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_setting_is_reported(name, site):
    value, text, remedy = WRONG[name]
    output = site.make("doctor", fails=True, **{name: value})
    assert re.search(rf"^FAIL  .*{text}", output, re.MULTILINE)
    assert f"-> {remedy}" in output
    assert "Traceback" not in output


def test_malformed_line_of_a_file_is_reported(site):
    (site.root / "app.env").write_text("COLOUR=blue\nnot an assignment\n")
    output = site.make("doctor", fails=True)
    assert re.search(r"^FAIL  .*app.env: line 2: .*\n      -> correct the file: ", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "more", "text"),
    [
        # begin gunicorn
        (
            "deploy/server/gunicorn.conf.py",
            "graceful_timeout = 66",
            "gunicorn graceful_timeout is 66, and app stop_grace_period is 65: Docker kills ",
        ),
        # end gunicorn
        # begin uwsgi
        ("deploy/server/uwsgi.ini", "listen = 99999999", "uwsgi listen is 99,999,999, and kernel somaxconn is "),
        # end uwsgi
        (".env", "COMPOSE_FILE=docker-compose.yml:more.yml", "app stop_grace_period is 5"),
        (
            ".env",
            "COMPOSE_FILE=docker-compose.yml:more.yml",
            "app MAX_BODY_BYTES is .*, and nginx client_max_body_size is 9",
        ),
    ],
)
def test_contradiction_is_reported(path, more, text, site):
    (site.root / "more.yml").write_text(
        "services: {app: {stop_grace_period: 5s}, nginx: {environment: {MAX_BODY_BYTES: 9}}}"
    )
    site.change(path, f"\n{more}\n")
    assert re.search(text, site.make("doctor", fails=True))


def test_port_in_use_is_reported(site):
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        output = site.make("doctor", fails=True, HTTP_PORT=str(listener.getsockname()[1]))
    assert "FAIL  port " in output
    assert "set HTTP_BIND or HTTP_PORT to another value" in output


@pytest.fixture
def nginx(site):
    """Return a site that runs only nginx."""
    site.compose("up", "--detach", "--build", "--no-deps", "nginx")
    yield site
    site.down()


def test_port_check_accepts_the_port_of_the_running_site_only(nginx):
    own = nginx.url.rpartition(":")[2]
    assert f"  ok  port {own} on 127.0.0.1 belongs to the running site\n" in nginx.make("doctor")
    assert f"  ok  port {own} on 0.0.0.0 belongs to the running site\n" in nginx.make("doctor", HTTP_BIND="0.0.0.0")
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        other = listener.getsockname()[1]
        assert f"FAIL  port {other} on " in nginx.make("doctor", fails=True, HTTP_PORT=str(other))


def test_port_of_tls_is_checked(site):
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = str(listener.getsockname()[1])
        files = {"COMPOSE_FILE": "docker-compose.yml:deploy/tls/tls.yml", "HTTPS_PORT": port}
        output = site.make("doctor", fails=True, **files)
    assert f"FAIL  port {port} on " in output
    assert "set HTTP_BIND or HTTPS_PORT to another value" in output


def test_missing_engine_is_reported(site):
    output = site.make("doctor", fails=True, DOCKER_HOST="unix:///nowhere.sock")
    assert output.splitlines()[0].startswith("FAIL  ")
    assert "Cannot connect to the Docker daemon" in output
    assert "Traceback" not in output
