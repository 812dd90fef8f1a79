"""What stands in two places, because two programs read it, is the same in both."""

import re
import runpy
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from app.settings import Settings
from deploy import live, serve

ROOT = Path(__file__).parents[2]
UNITS = {"": 1, "s": 1, "k": 1024, "m": 1024**2}

nginx = (ROOT / "nginx" / "nginx.conf.template").read_text()
dockerfile = (ROOT / "Dockerfile").read_text()
compose_text = (ROOT / "docker-compose.yml").read_text()
compose = yaml.safe_load(compose_text)
services = compose["services"]
gunicorn = runpy.run_path(str(ROOT / "deploy" / "gunicorn.conf.py"))
readme = (ROOT / "README.md").read_text()
example = (ROOT / ".env.example").read_text()


def ini(name):
    """Return the sections of a configuration file of deploy/."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read(ROOT / "deploy" / name)
    return parser


uwsgi = ini("uwsgi.ini")["uwsgi"]
supervisor = ini("supervisord.conf")


def number(text):
    """Return a number with a unit, "35s" or "1m", in seconds or bytes."""
    digits, unit = re.fullmatch(r"(\d+)([skm]?)", str(text)).groups()
    return int(digits) * UNITS[unit]


def directive(name):
    """Return the argument of an nginx directive that is given once."""
    [value] = re.findall(rf"^\s*{name} ([^;{{]+);", nginx, re.MULTILINE)
    return value


def defaults_in_compose():
    """Return the defaults of the variables that docker-compose.yml fills in, and of those it hands on."""
    found = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", compose_text))
    return found | dict.fromkeys([*services["app"]["environment"], *services["locust"]["environment"]], "")


def defaults_in_example():
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", example, re.MULTILINE))


def test_a_request_may_take_as_long_everywhere_and_a_stop_waits_longer():
    request = number(directive("proxy_read_timeout"))
    assert request == number(directive("proxy_send_timeout"))
    assert request == gunicorn["graceful_timeout"] == int(uwsgi["worker-reload-mercy"])
    assert gunicorn["timeout"] >= request
    assert request < number(services["app"]["stop_grace_period"]) == int(supervisor["program:app"]["stopwaitsecs"])
    assert request < number(directive("worker_shutdown_timeout")) < number(services["nginx"]["stop_grace_period"])
    assert number(services["nginx"]["stop_grace_period"]) == int(supervisor["program:nginx"]["stopwaitsecs"])


def test_a_body_may_be_as_large_everywhere():
    assert number(directive("client_max_body_size")) == Settings().max_body_bytes


def test_a_header_that_nginx_accepts_is_accepted_behind_it():
    count, size = directive("large_client_header_buffers").split()
    assert number(size) - 2 <= gunicorn["limit_request_line"]  # less the line's end
    assert number(size) <= gunicorn.get("limit_request_field_size", 8190) + 2
    assert int(count) * number(size) <= int(uwsgi["buffer-size"])
    assert gunicorn["limit_request_fields"] < int(uwsgi["max-vars"])


def test_both_servers_queue_as_many_connections():
    assert gunicorn["backlog"] == int(uwsgi["listen"])


def test_the_socket_is_where_nginx_looks_for_it():
    folder = Path(live.own_address({}).removeprefix(live.UNIX)).parent
    assert f"run:{folder}" in services["app"]["volumes"]
    prefix = re.search(r'"-p", "(/[^"]+)/"', dockerfile)[1]
    assert directive("server") == "unix:run/live.sock"
    assert f"run:{prefix}/run:ro" in services["nginx"]["volumes"]
    assert f"assets:{prefix}/static:ro" in services["nginx"]["volumes"]
    assert any(mount.startswith(f"{prefix}:") for mount in services["nginx"]["tmpfs"])
    assert f"NGINX_ENVSUBST_OUTPUT_DIR={prefix} " in dockerfile
    assert f"WORKDIR {prefix}\n" in dockerfile


def test_static_files_are_published_where_nginx_serves_them():
    [volume] = services["assets"]["volumes"]
    target = volume.partition(":")[2]
    assert services["assets"]["command"][-1] == target
    assert f"--group=10001 /run/app {target}\n" in dockerfile


def test_the_users_are_the_same_in_image_compose_and_volume():
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001:10001", "101:101", "10001:10001"]
    assert services["app"]["user"] == services["assets"]["user"] == services["locust-web"]["user"] == "10001:10001"
    assert services["nginx"]["user"] == "101:101"
    assert "uid=10001,gid=10001," in compose["volumes"]["run"]["driver_opts"]["o"]


def test_the_port_inside_is_the_same_in_image_compose_and_load_test():
    port = re.search(r"NGINX_LISTEN=(\d+)", dockerfile)[1]
    assert services["nginx"]["ports"] == ["${HTTP_BIND:-127.0.0.1}:${HTTP_PORT:-8080}:" + port]
    assert f"http://127.0.0.1:{port}/nginx-health" in services["nginx"]["healthcheck"]["test"]
    assert f"LOCUST_HOST=http://nginx:{port}\n" in dockerfile


def test_each_backend_has_a_target_that_names_it():
    for backend in serve.BACKENDS:
        assert re.search(rf"^FROM app AS {backend}\n(?:.+\n)*ENV BACKEND={backend} ", dockerfile, re.MULTILINE)
    assert services["app"]["build"]["target"] == "${BACKEND:-gunicorn}"


def test_the_entry_point_is_what_the_servers_look_for_by_themselves():
    assert serve.APPLICATIONS["gunicorn"] == "app.wsgi:application"


def test_every_setting_stands_in_the_example_and_in_the_readme_with_its_default():
    compose_defaults, example_defaults = defaults_in_compose(), defaults_in_example()
    assert example_defaults.keys() == compose_defaults.keys()
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", readme, re.MULTILINE))
    assert table.keys() == example_defaults.keys()
    for name, default in compose_defaults.items():
        if default:
            assert example_defaults[name] == default
        # One that is unset has its default in words.
        assert (table[name] == f"`{example_defaults[name]}`") == bool(example_defaults[name])
        assert table[name]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("LOG_LEVEL", Settings().log_level),
        ("MAX_BODY_BYTES", Settings().max_body_bytes),
        ("RELEASE", Settings().release),
    ],
)
def test_the_application_has_the_defaults_that_the_example_names(name, default):
    assert defaults_in_example()[name] == str(default)


def test_the_launcher_has_the_defaults_that_the_example_names():
    line = serve.command({})
    assert line[0] == defaults_in_example()["BACKEND"]
    assert line[line.index("--threads") + 1] == defaults_in_example()["WEB_THREADS"]


def test_plain_processes_have_the_defaults_that_the_example_names():
    source = (ROOT / "deploy" / "local.py").read_text()
    assert f'"HTTP_BIND") or "{defaults_in_example()["HTTP_BIND"]}"' in source
    assert f'"HTTP_PORT", {defaults_in_example()["HTTP_PORT"]},' in source


def test_the_python_and_nginx_images_are_named_once():
    assert re.findall(r"^ARG (\w+_IMAGE)=\S+$", dockerfile, re.MULTILINE) == ["PYTHON_IMAGE", "NGINX_IMAGE"]
    assert {line for line in dockerfile.splitlines() if line.startswith("FROM $")} == {
        "FROM ${PYTHON_IMAGE} AS build", "FROM ${PYTHON_IMAGE} AS python", "FROM ${NGINX_IMAGE} AS nginx"
    }  # fmt: skip
