"""make doctor: what it reports of a clone's files, its certificate, its proxies and its containers."""

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization

from deploy.doctor import clone
from deploy.tls import certs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a clone of which nginx mounts two folders, and return it."""
    monkeypatch.chdir(tmp_path)
    for name in ("nginx", "deploy/tls/certs", "loadtest"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "nginx" / "nginx.conf").write_bytes(b"events {}\n")
    (tmp_path / "nginx" / "control.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "loadtest" / "users.py").touch()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    return tmp_path


def findings(folder, user="101:101", **environment):
    def mount(name):
        return {"type": "bind", "source": str(folder / name)}

    services = {
        "nginx": {
            "user": user,
            "environment": environment,
            "volumes": [mount("nginx"), mount("deploy/tls/certs"), {"type": "volume", "source": "run"}],
        },
        "database": {"user": "postgres", "volumes": [mount("loadtest")]},
        "locust": {"user": "0:0", "volumes": [mount("loadtest")]},
        "locust-web": {"user": "10001:10001", "volumes": [mount("loadtest")]},
    }
    return [str(finding) for finding in clone.check_clone(services)]


def test_readable_clone_is_ok(folder):
    assert findings(folder, NGINX_TLS="on") == ["  ok  the containers can read the files that they mount"]


@pytest.mark.parametrize(
    ("name", "mode", "user"),
    [
        ("nginx", 0o700, 101),
        ("nginx", 0o750, 101),
        ("nginx/control.sh", 0o700, 101),
        ("nginx/nginx.conf", 0o640, 101),
        ("loadtest/users.py", 0o600, 10001),
    ],
)
def test_file_that_a_container_cannot_read_is_reported(name, mode, user, folder):
    (folder / name).chmod(mode)
    mount = name.partition("/")[0]
    assert findings(folder) == [
        f"FAIL  {name} is not readable for user {user}, who mounts it\n      -> run `chmod -R a+rX {mount}`"
    ]


def test_key_that_nginx_cannot_read_is_reported(folder):
    certs.make(folder / "deploy" / "tls" / "certs", ["localhost"])
    (folder / "deploy/tls/certs/privkey.pem").chmod(0o600)
    [finding] = findings(folder)
    assert finding.endswith("-> run `chown 101 deploy/tls/certs/privkey.pem`")


def test_line_ends_of_windows_are_reported(folder):
    (folder / "nginx" / "control.sh").write_bytes(b"#!/bin/sh\r\n")
    [finding] = findings(folder)
    assert finding.startswith("FAIL  nginx/control.sh has the line ends of Windows")


def test_key_that_the_group_of_nginx_can_read_is_ok(folder):
    certs.make(folder / "deploy" / "tls" / "certs", ["localhost"])
    (folder / "deploy/tls/certs/privkey.pem").chmod(0o640)
    group = (folder / "deploy/tls/certs/privkey.pem").stat().st_gid
    assert findings(folder, user=f"101:{group}")[0].startswith("  ok")


def other_key(folder):
    certs.make(folder / "other", ["localhost"])
    shutil.copy(folder / "other" / "privkey.pem", folder / "deploy" / "tls" / "certs")


def link(folder):
    shutil.move(folder / "deploy/tls/certs/fullchain.pem", folder / "live.pem")
    (folder / "deploy/tls/certs/fullchain.pem").symlink_to(folder / "live.pem")


def cut_chain(folder):
    path = folder / "deploy/tls/certs/fullchain.pem"
    path.write_text(path.read_text() * 2)
    path.write_text(path.read_text()[:-60])


def lock(folder):
    path = folder / "deploy/tls/certs/privkey.pem"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    protection = serialization.BestAvailableEncryption(b"password")
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, protection))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda _: None, ""),
        (other_key, "privkey.pem: key values mismatch"),
        (lambda folder: (folder / "deploy/tls/certs/fullchain.pem").write_text(""), "one of them is not PEM"),
        (lambda folder: (folder / "deploy/tls/certs/privkey.pem").write_text("x"), "one of them is not PEM"),
        (lambda folder: (folder / "deploy/tls/certs/privkey.pem").unlink(), "privkey.pem: no such file"),
        (lock, "or has a pass phrase"),
        (cut_chain, "privkey.pem: bad end line"),
        (link, "fullchain.pem is a symlink to "),
    ],
    ids=["good", "other key", "empty", "no key", "missing key", "pass phrase", "cut chain", "symlink"],
)
def test_bad_certificate_is_reported_if_tls_is_on(spoil, text, folder):
    certs.make(folder / "deploy" / "tls" / "certs", ["localhost"])
    spoil(folder)
    assert text in findings(folder, NGINX_TLS="on")[0]
    assert findings(folder)[0].startswith("  ok")


@pytest.mark.parametrize(("days", "text"), [(-certs.DAYS - 1, "has expired"), (9, "is not valid yet")])
def test_certificate_at_another_time_is_reported(days, text, folder, monkeypatch):
    class Moved(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(days=days)

    monkeypatch.setattr(certs, "datetime", Moved)
    certs.make(folder / "deploy" / "tls" / "certs", ["localhost"])
    assert f"fullchain.pem {text}: notBefore=" in findings(folder, NGINX_TLS="on")[0]


@pytest.mark.parametrize(
    ("proxies", "fails"),
    [
        ("", False),
        ("10.0.0.0/8", False),
        ("127.0.0.1", True),
        ("127.0.0.0/8, ::1", True),
        ("1.1.1.1,127.0.0.1", True),
        ("127.0.0.1 172.16.0.1", False),
        ("127.0.0.1,172.16.0.0/12", False),
    ],
)
def test_loopback_proxy_is_reported(proxies, fails):
    assert bool([*clone.check_proxies({"TRUSTED_PROXIES": proxies})]) == fails


@pytest.mark.parametrize(
    ("states", "fails"), [(["running"], False), (["running", "exited"], False), (["running"] * 3, True)]
)
def test_several_containers_of_the_app_are_reported(states, fails, monkeypatch):
    monkeypatch.setattr(clone, "find_project", lambda: None)
    monkeypatch.setattr(clone, "containers", lambda *_: [SimpleNamespace(state=state) for state in states])
    assert bool([*clone.check_scale()]) == fails
