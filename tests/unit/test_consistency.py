"""A value that two programs read is the same in the files of both. tests/unit/test_limits_agree.py has the limits."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from app import variables
from app.settings import Settings
from deploy.docker import Release
from deploy.local.__main__ import site_address
from deploy.release import secrets
from deploy.server import launch, live, publish_static, release_command
from tests.unit.configuration import (
    ROOT,
    compose,
    compose_text,
    control,
    dockerfile,
    example,
    gunicorn,  # only with gunicorn, uwsgi
    services,
    supervisor,
    uwsgi,  # only with gunicorn, uwsgi
)
from tests.unit.documentation import table


def defaults_in_compose():
    """Return the defaults of the variables in Compose's files, and "" for a variable that is only passed on."""
    overlays = "".join(path.read_text() for path in sorted((ROOT / "deploy").glob("*/*.yml")))
    found = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", compose_text + overlays))
    variables = [item for service in ("app", "nginx", "locust") for item in services[service]["environment"].items()]
    return found | {name: "" for name, value in variables if value is None}


def defaults_in_example():
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", example, re.MULTILINE))


def test_plain_process_has_the_stop_timeout_of_its_container():
    for name in ("app", "nginx"):
        assert services[name]["stop_grace_period"] == f"{supervisor[f'program:{name}']['stopwaitsecs']}s"


# begin gunicorn
# begin uwsgi
def test_both_servers_replace_a_worker_after_the_same_number_of_requests():
    assert gunicorn["max_requests"] == int(uwsgi["max-requests"])
    # A start takes a second, in which a busy worker handles a thousand requests. So the limits differ by thousands.
    assert gunicorn["max_requests_jitter"] >= 10000 <= int(uwsgi["max-requests-delta"])


# end uwsgi
# end gunicorn
def test_nginx_connects_to_the_socket_in_the_shared_volume():
    folder = Path(live.own_address({}).removeprefix(live.UNIX)).parent
    assert f"run:{folder}" in services["app"]["volumes"]
    prefix = re.search(r"^PREFIX=(\S+)$", control, re.MULTILINE)[1]
    socket = (ROOT / "nginx" / "upstream-socket.conf").read_text()
    assert re.findall(r"^ +server (.+);", socket, re.MULTILINE) == ["unix:run/live.sock"]
    assert f"run:{prefix}/run:ro" in services["nginx"]["volumes"]
    assert f"assets:{prefix}/static:ro" in services["nginx"]["volumes"]
    assert any(mount.startswith(f"{prefix}:") for mount in services["nginx"]["tmpfs"])
    assert f"buffers:{prefix}/buffers" in services["nginx"]["volumes"]
    assert f" {prefix}/buffers\n" in dockerfile
    assert f"WORKDIR {prefix}\n" in dockerfile


def test_static_files_are_published_where_nginx_serves_them():
    volume = services["assets"]["volumes"][0]
    target = volume.partition(":")[2]
    assert target == str(publish_static.VOLUME)
    assert f"--group=10001 /run/app {target} " in dockerfile
    built = re.search(r"deploy.server.build_static (\w+)\n", dockerfile)[1]
    assert f"COPY --from=static /srv/{built} {built}\nENV STATIC_DIR=/srv/{built} " in dockerfile


def test_nginx_can_send_what_the_app_keeps():
    folder = re.search(r"DATA_DIR=(\S+)\n", dockerfile)[1]
    assert f"data:{folder}" in services["app"]["volumes"]
    assert f"/var/lib/assets {folder} " in dockerfile
    prefix = re.search(r"^PREFIX=(\S+)$", control, re.MULTILINE)[1]
    assert f"data:{prefix}/private:ro" in services["nginx"]["volumes"]


def test_stored_secrets_are_mounted_where_the_app_reads_them():
    for name in ("app", "assets", "release"):
        assert f"{secrets.VOLUME}:{variables.STORED}:ro" in services[name]["volumes"]
        assert secrets.FILE in services[name]["environment"]
    assert f"--mode=700 {variables.STORED}\n" in dockerfile
    assert f"cd {variables.STORED};" in secrets.WRITE


def test_users_are_the_same_in_image_compose_and_volume():
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001:10001", "101:101", "10001:10001"]
    assert services["app"]["user"] == services["assets"]["user"] == services["locust-web"]["user"] == "10001:10001"
    assert services["nginx"]["user"] == "101:101"
    assert "uid=0,mode=0777," in compose["volumes"]["run"]["driver_opts"]["o"]


def test_container_port_is_the_same_in_image_compose_and_load_test():
    port = re.search(r"\$\{NGINX_LISTEN:-(\d+)\}", control)[1]
    assert services["nginx"]["ports"] == ["${HTTP_BIND:-127.0.0.1}:${HTTP_PORT:-8080}:" + port]
    assert f"http://127.0.0.1:{port}/nginx-health\n" in control
    tls_port = re.search(r"listen (\d+) ssl", control)[1]
    assert f'LOCUST_SITE="https://nginx:{tls_port} http://nginx:{port}"\n' in dockerfile


def test_load_test_in_a_container_uses_the_scenarios_of_the_working_tree():
    assert "WORKDIR /srv\n" in dockerfile
    assert "\nCOPY --chmod=755 loadtest loadtest\n" in dockerfile
    for name in ("locust", "locust-web"):
        assert services[name]["volumes"][0] == "./loadtest:/srv/loadtest:ro"
    assert services["locust"]["volumes"][1:] == ["./loadtest/report:/srv/loadtest/report"]


def test_tls_overlay_has_the_ports_and_folders_of_nginx():
    overlay = yaml.safe_load((ROOT / "deploy" / "tls" / "tls.yml").read_text())["services"]["nginx"]
    prefix = re.search(r"^PREFIX=(\S+)$", control, re.MULTILINE)[1]
    assert overlay["volumes"] == [f"./deploy/tls/{name}:{prefix}/{name}:ro" for name in ("certs", "acme")]
    port = re.search(r"listen (\d+) ssl", control)[1]
    assert overlay["ports"] == ["${HTTP_BIND:-127.0.0.1}:${HTTPS_PORT:-8443}:" + port]
    assert "https_port=${HTTPS_PORT:-8443}\n" in control


def test_remote_overlay_removes_only_the_folder_of_this_machine():
    text = (ROOT / "deploy" / "remote" / "remote.yml").read_text().replace("!override", "")
    volumes = yaml.safe_load(text)["services"]["nginx"]["volumes"]
    assert volumes == [each for each in services["nginx"]["volumes"] if not each.startswith(".")]


def test_image_tag_names_the_release():
    tag = services["app"]["image"].rpartition("-app:")[2]
    assert tag.replace("${RELEASE:-dev}", "1-x").replace("${BACKEND:-gunicorn}", "uwsgi") == Release("1-x", "uwsgi").tag


def test_each_backend_has_a_target_with_its_name():
    for backend in launch.BACKENDS:
        assert re.search(rf"^FROM app AS {backend}\n(?:.+\n)*ENV BACKEND={backend} ", dockerfile, re.MULTILINE)
    assert services["app"]["build"]["target"] == "${BACKEND:-gunicorn}"


def test_style_of_the_error_page_is_allowed_by_its_policy():
    style = re.search(r"<style>(.*?)</style>", (ROOT / "nginx/errors/error.html").read_text(), re.DOTALL)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    for name in ("common.conf", "headers.conf"):
        assert f"style-src 'sha256-{digest}'" in (ROOT / "nginx" / name).read_text()


def test_every_setting_is_in_the_example_with_its_default():
    compose_defaults, example_defaults = defaults_in_compose(), defaults_in_example()
    assert example_defaults.keys() == compose_defaults.keys()
    for name, default in compose_defaults.items():
        if default:
            assert example_defaults[name] == default


def test_documented_place_of_a_policy_exists():
    for place in table("policies").values():
        path, text = re.fullmatch(r"`(\S+)`, `(.+)`", place).groups()
        assert text in (ROOT / path).read_text(), place


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("LOG_LEVEL", Settings().log_level),
        ("MAX_BODY_BYTES", Settings().max_body_bytes),
        ("RELEASE", Settings().release),
    ],
)
def test_application_has_the_default_of_the_example(name, default):
    assert defaults_in_example()[name] == str(default)


def test_launcher_has_the_defaults_of_the_example():
    line = launch.command({})
    assert line[0] == defaults_in_example()["BACKEND"]
    assert line[line.index("--threads") + 1] == defaults_in_example()["WEB_THREADS"]


def test_release_command_has_the_time_limit_of_the_example():
    assert str(release_command.limit({})) == defaults_in_example()["RELEASE_SECONDS"]


def test_make_local_has_the_defaults_of_the_example(monkeypatch):
    for name in ("HTTP_BIND", "HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("socket.create_server", Mock())  # the port may be in use
    bind, port = site_address()
    assert {"HTTP_BIND": bind, "HTTP_PORT": str(port)}.items() <= defaults_in_example().items()


def test_base_images_are_named_once():
    assert re.findall(r"^ARG (\w+_IMAGE)=\S+$", dockerfile, re.MULTILINE) == ["PYTHON_IMAGE", "NGINX_IMAGE"]
    assert {line for line in dockerfile.splitlines() if re.match(r"FROM \$\{\w+_IMAGE\}", line)} == {
        "FROM ${PYTHON_IMAGE} AS build", "FROM ${PYTHON_IMAGE} AS python", "FROM ${NGINX_IMAGE} AS nginx"
    }  # fmt: skip


def test_lock_files_agree_because_one_environment_has_them_all():
    found = {}
    for path in (ROOT / "requirements").glob("*.txt"):
        # A package can have two versions, for different versions of Python.
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE):
            found.setdefault(name, {}).setdefault(path.stem, set()).add(version)
    different = {name: locks for name, locks in found.items() if len({frozenset(each) for each in locks.values()}) > 1}
    assert different == {}
