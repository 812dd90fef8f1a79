"""Static files over HTTP: names, types, compression, caching, and the files at the root."""

import re
import subprocess
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha384

import httpx
import pytest

HTML = {"Accept": "text/html"}
PLAIN = {"Accept-Encoding": "identity"}
TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
AT_THE_ROOT = {
    "/favicon.ico": "image/x-icon",
    "/robots.txt": "text/plain; charset=utf-8",
    "/site.webmanifest": "application/manifest+json; charset=utf-8",
    "/.well-known/security.txt": "text/plain; charset=utf-8",
}
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def names(http):
    """Return the URLs of the static files that the home page names, by their suffix."""
    urls = re.findall(r'"(/static/[^"]+)"', http.get("/", headers=HTML).text)
    return {url.rpartition(".")[2]: url for url in urls}


def test_file_of_a_page_is_immutable_and_has_its_type(http, names):
    assert names.keys() == TYPES.keys()
    for suffix, url in names.items():
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", url)
        response = http.get(url)
        assert (response.status_code, response.headers["Content-Type"]) == (200, TYPES[suffix])
        assert response.headers["Cache-Control"] == IMMUTABLE
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_integrity_attribute_matches_the_file(http, names):
    page = http.get("/", headers=HTML).text
    for suffix in ("css", "js"):
        digest = b64encode(sha384(http.get(names[suffix]).content).digest()).decode()
        assert f'"{names[suffix]}" integrity="sha384-{digest}"' in page


def test_compressed_file_has_the_same_content(http, names):
    for url in names.values():
        plain, small = http.get(url, headers=PLAIN), http.get(url, headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers
        assert small.headers["Content-Encoding"] == "gzip"
        assert int(small.headers["Content-Length"]) < int(plain.headers["Content-Length"])
        assert small.content == plain.content
        assert plain.headers["Vary"] == small.headers["Vary"] == "Accept-Encoding"
        assert plain.headers["ETag"] != small.headers["ETag"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_unchanged_file_gets_304(encoding, http, names):
    headers = {"Accept-Encoding": encoding}
    first = http.get(names["css"], headers=headers)
    for condition in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again = http.get(names["css"], headers=headers | condition)
        assert (again.status_code, again.content) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):
            assert again.headers[name] == first.headers[name]


def test_range_of_a_file_gets_206(http, names):
    whole = http.get(names["css"], headers=PLAIN)
    part = http.get(names["css"], headers=PLAIN | {"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(whole.content)}"
    assert http.get(names["css"], headers=PLAIN | {"Range": "bytes=9999999-"}).status_code == 416


@pytest.mark.parametrize("path", ["/static/nope.css", "/static/", "/static/root", "/static/root/robots.txt"])
def test_another_path_gets_404(path, http):
    response = http.get(path)
    assert response.status_code == 404
    assert "immutable" not in response.headers.get("Cache-Control", "")


def test_a_file_is_also_served_under_its_own_name_and_revalidated(http):
    response = http.get("/static/style.css")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-cache")
    assert http.get("/static/style.css", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_unknown_fingerprint_is_not_immutable(http, names):
    response = http.get(re.sub(r"\.[0-9a-f]{12}\.", ".000000000000.", names["css"]))
    assert (response.status_code, response.headers["Cache-Control"]) == (404, "no-cache")


@pytest.mark.parametrize("path", AT_THE_ROOT)
def test_file_at_the_root_is_revalidated(path, http):
    response = http.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (200, AT_THE_ROOT[path])
    assert response.headers["Cache-Control"] == "no-cache"
    assert http.get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_icons_of_the_manifest_exist(http):
    for icon in http.get("/site.webmanifest").json()["icons"]:
        response = http.get(icon["src"])
        assert (response.status_code, response.headers["Content-Type"]) == (200, icon["type"])


def test_security_txt_has_not_expired(http):
    text = http.get("/.well-known/security.txt").text
    assert "\nContact: " in text
    assert datetime.fromisoformat(re.search(r"Expires: (.+)", text)[1]) > datetime.now(UTC)


@pytest.fixture(scope="module")
def private(probe):
    """Return the stack with files for X-Accel-Redirect."""
    script = "seq 100000 >numbers.csv && ln -sf ../conf/nginx.conf link"
    if probe.kind == "docker":
        assert probe.execute("app", "sh", "-ec", f"cd /var/lib/data && {script}").returncode == 0
    else:
        subprocess.run(["sh", "-ec", script], cwd=probe.root / "data", check=True)
    return probe


def test_handler_sends_a_file_through_nginx(private):
    whole = httpx.get(f"{private.url}/file/numbers.csv", params={"Content-Disposition": "attachment", "Vary": "Cookie"})
    assert whole.text == "".join(f"{number}\n" for number in range(1, 100_001))
    assert (whole.headers["Content-Type"], whole.headers["Content-Disposition"]) == ("text/csv", "attachment")
    part = httpx.get(f"{private.url}/file/numbers.csv", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.text) == (206, "1\n2\n")
    assert "X-Accel-Redirect" not in whole.headers
    head = httpx.head(f"{private.url}/file/numbers.csv")
    assert (head.headers["Content-Length"], head.content) == (str(len(whole.content)), b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nginx-private/numbers.csv", 404),
        ("/nginx-private/", 404),
        ("/file/none.csv", 404),
        ("/file/link", 403),
        ("/file/%252e%252e%252fconf%252fnginx.conf", 404),
    ],
)
def test_client_cannot_request_a_private_file(path, status, private):
    response = httpx.get(private.url + path)
    assert response.status_code == status
    assert "worker_processes" not in response.text
