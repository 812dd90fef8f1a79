"""Dotfiles, backup files, and files beside the static files are never served, whatever the spelling of the path."""

import subprocess

import pytest

from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request

pytestmark = pytest.mark.backend("gunicorn")

VISIBLE = "plain.txt"
MANIFEST = ".manifest.json"  # the build writes it
HIDDEN = [
    ".env", ".htpasswd", ".git/config", "folder/.env", ".folder/plain.txt", "style.css~",
    "style.css.bak", "style.css.old", "style.css.orig", "style.css.rej", "style.css.save", ".style.css.swp",
    "style.css.swo", "style.css.tmp", "style.css.BAK", "#style.css#", "folder/.#style.css",
    "folder/style.css~", "root/.env",
]  # fmt: skip
# conf/nginx.conf lies beside static/ in the folder that nginx serves from, and plain.txt in it.
WAYS_ROUND = [
    b"/static/../conf/nginx.conf", b"/static/%2e%2e/conf/nginx.conf", b"/static/.%2e/conf/nginx.conf",
    b"/static/..%2fconf/nginx.conf", b"/static/..%2Fconf%2Fnginx.conf", b"/static/%2e%2e%2fconf%2fnginx.conf",
    b"/static/..%5cconf%5cnginx.conf", b"/static/..\\conf\\nginx.conf", b"/static/%252e%252e/conf/nginx.conf",
    b"/static/%252e%252e%252fconf%252fnginx.conf", b"/static/..%c0%afconf/nginx.conf", b"/static/..;/conf/nginx.conf",
    b"/static/....//conf/nginx.conf", b"/static/x/../../conf/nginx.conf", b"/static../conf/nginx.conf",
    b"/static%2f..%2fconf/nginx.conf", b"/static//../conf/nginx.conf", b"/static/../../../../../../etc/passwd",
    b"/conf/nginx.conf", b"/../conf/nginx.conf", b"/nginx-errors/error.html", b"/root/robots.txt",
    b"/static/root/robots.txt", b"/static/root/", b"/static/plain.txt%00",
    b"/static/plain.txt%00.css", b"/x/../static/plain.txt", b"/x/%2e%2e/static/plain.txt", b"/./static/plain.txt",
    b"/static/plain.txt/", b"/static/plain.txt%2f", b"/static/", b"/static/folder/",
    b"/.well-known/acme-challenge/../../conf/nginx.conf", b"/.well-known/acme-challenge/..%2f..%2fconf/nginx.conf",
    b"/.well-known/acme-challenge/", b"/robots.txt/../static/plain.txt",
]  # fmt: skip


def in_static(stack, script):
    """Run a shell script in the folder of the static files."""
    if stack.kind == "docker":
        stack.compose("run", "--rm", "--no-deps", "assets", "sh", "-ec", f"cd /var/lib/assets\n{script}")
    else:
        subprocess.run(["sh", "-ec", script], cwd=stack.run_dir / "static", check=True)


@pytest.fixture(scope="module")
def littered(probe):
    """Return the stack, with a file of each name among its static files."""
    names = [VISIBLE, *HIDDEN]
    in_static(probe, "".join(f'mkdir -p "$(dirname "{name}")" && echo a-secret >"{name}"\n' for name in names))
    return probe


def get(stack, target):
    return Answer.parse(ask(stack, request(target)), "GET")


def test_visible_file_is_served(littered):
    assert get(littered, b"/static/plain.txt").body == b"a-secret\n"


@pytest.mark.parametrize("name", [MANIFEST, *HIDDEN])
def test_hidden_file_gets_404(name, littered):
    encoded = "".join(f"%{byte:02x}" if byte != ord("/") else "/" for byte in name.encode())
    for path in (name.replace("#", "%23"), encoded, encoded.upper(), f"{encoded}?a", f"{encoded}/"):
        answer = get(littered, f"/static/{path}".encode())
        assert answer.status == 404
    if name.startswith("root/"):
        assert get(littered, f"/{name.removeprefix('root/')}".encode()).status == 404


@pytest.mark.parametrize("target", WAYS_ROUND)
def test_path_traversal_reaches_no_file(target, littered):
    answer = get(littered, target)
    assert answer.status in (400, 403, 404)
    assert answer.headers["Content-Type"] in ("application/problem+json", "application/json", None)
    for text in (b"a-secret", b"worker_processes", b"root:", b"User-agent"):
        assert text not in answer.body
