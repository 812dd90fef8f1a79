"""gunicorn and uWSGI behind nginx return the same responses and pass the same environ, for any request."""

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping

import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.test_conformance import Answer, exchange
from tests.tree import copy_reference

pytestmark = pytest.mark.xdist_group("differential")

MORE_ROUTES = '''

def show(environ, start_response):
    """Return the environ and the body as JSON."""
    from app.request import body
    from app.response import json

    seen = {key: value if isinstance(value, str | bool | tuple) else "object" for key, value in environ.items()}
    try:
        seen["the body"] = body(environ).decode("latin-1")
    except Exception as error:
        seen["the body"] = repr(error)
    return json(start_response, dict(sorted(seen.items())))


def break_off(environ, start_response):
    """Fail after the first chunk."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    raise LookupError


application = chain(MIDDLEWARES, router(ROUTES | {"/environ/*": show, "/break-off": {"GET": break_off}}))
'''


def request(
    target: bytes = b"/environ/",
    method: bytes = b"GET",
    headers: tuple[bytes, ...] = (),
    body: bytes = b"",
    host: bytes = b"Host: localhost",
) -> bytes:
    """Return the bytes of a request, with a Content-Length if it has a body and no framing header."""
    framed = any(re.match(rb"(?i)content-length|transfer-encoding", header) for header in headers)
    length = (b"Content-Length: %d" % len(body),) if body and not framed else ()
    lines = [b"%s %s HTTP/1.1" % (method, target), *filter(None, [host]), b"Connection: close", *headers, *length]
    return b"\r\n".join([*lines, b"", body])


def spelled(line: bytes) -> str:
    """Return a short, printable and unique test name for the bytes."""
    text = repr(line)[2:-1]
    return text if len(text) <= 60 else f"{text[:50]}... of {len(line)}"


METHODS = b"GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT BREW get PROPFIND PRI M-SEARCH G3T".split()
PATHS = [
    b"a", b"a/", b"a//b", b"/", b"a%2Fb", b"a%2fb", b"%2F", b"a%5Cb", b"a\\b", b"a%25b", b"a%2525b", b"a+b", b"a%20b",
    b"Zo%C3%AB", b"Zo\xc3\xab", b"%FF", b"%ff%fe", b"\xff", b"\xe2\x82", b"%C0%AF", b"%ED%A0%80", b"%F0%9F%A6%84",
    b"%00", b"a%00b", b"a%0ab", b"a%0d%0aX-Evil:%20yes", b"%09", b"%7F", b"a\x7fb", b"a\tb", b"./a", b"../a", b"a/./b",
    b"a/../b", b"a/.", b"a/..", b"..", b".", b"a/../../about", b"%2e/a", b"a/%2e%2e/b", b".../a", b"..%2fabout",
    b"a;b=c", b"a;b/c", b"a,b", b"a:b", b"a@b", b"!$&'()*+,;=:@-._~", b'<>"{}|^`[]', b"%", b"%zz", b"%4", b"a%",
    b"%u0041", b"#fragment", b"a?b#c", b"a%3Fb", b"a%23b", b"y" * 4000, b"y" * 8000, b"y" * 9000, b"a/" * 500,
]  # fmt: skip
TARGETS = [
    *(b"/environ/" + path for path in PATHS), b"/environ", b"//environ/a", b"///environ/a", b"/./environ/a",
    b"/x/../environ/a", b"/environ/../environ/a", b"/ENVIRON/a", b"/%65nviron/a", b"/environ%2Fa", b"/about",
    b"/about/", b"//about", b"/about?", b"/", b"//", b"", b"/.", b"/..", b"/../about", b"/about/..", b"*", b"about",
    b"?a", b"/nope", b"/hello/Zo%C3%AB", b"/hello/%ff", b"/hello/\xff", b"/hello/", b"/hello/a%2Fb", b"/hello/.",
    b"/hello/..", b"/echo", b"/healthz", b"/readyz", b"/version", b"/nginx-health", b"/static/style.css",
    b"/static/nope", b"/static/", b"/static", b"/static/..%2fwsgi.py", b"/static/%2e%2e/wsgi.py", b"/static//style.css",
    b"/hello/" + b"y" * 2000, b"http://localhost/environ/a", b"http://other.example:81/environ/a?b",
    b"https://localhost/environ/a", b"http://localhost", b"http:///environ/a", b"ftp://localhost/environ/a",
    b"localhost:80",
]  # fmt: skip
QUERIES = [
    b"a=b&c=d", b"a=b&a=c", b"a", b"a=", b"=", b"&&", b"?", b"a=b?c", b"a=%20+%2B", b"a=%ff", b"a=\xff", b"\xc3\xab",
    b"a=%00", b"a=%0d%0a", b"a=%zz", b"a=/../b", b"a=//", b"a=;b", b"a=\"<>'", b"a={}|\\^`", b"a=#b", b"x" * 7000,
    b"a\tb",
]  # fmt: skip
HEADERS = [
    (b"X-Plain: a",), (b"X-Twice: a", b"X-Twice: b"), (b"X-Twice: a", b"x-twice: b", b"X-TWICE: c"),
    (b"X-Twice: ", b"X-Twice: b"), (b"X-Twice: a", b"X-Twice: "), (b"X-Twice: ", b"X-Twice: "), (b"X-Empty:",),
    (b"X-Empty: ",), (b"X-Blanks:    a  b   ",), (b"X-Tab:\ta\tb\t",), (b"X_Underscore: a",), (b"x-lOWER: a",),
    (b"X-Dash-: a",), (b"X.Dot: a",), (b"X!Mark: a",), (b"X-Digit-1: a",), (b"1: a",), (b": a",), (b"X-No-Colon",),
    (b"X-Space : a",), (b"X-Fold: a", b" b"), (b"X-Fold: a", b"\tb"), (b"X-Latin: \xe9\xff",), (b"X-UTF8: Zo\xc3\xab",),
    (b"X-Control: a\x01b",), (b"X-DEL: a\x7fb",), (b"X-NUL: a\x00b",), (b"X-CR: a\rb",), (b"X-LF: a\nb: c",),
    (b'X-Quote: "a\\"b"',), (b"X-Comma: a, b,,c",), (b"X\xe9: a",), (b"X-Long: " + b"x" * 4000,),
    (b"X-Long: " + b"x" * 8000,), (b"X-Long: " + b"x" * 8300,), (b"Cookie: " + b"c=" + b"x" * 8000,),
    *(
        tuple(b"X-Many-%d: %s" % (number, b"y" * size) for number in range(count))
        for count, size in ((50, 10), (120, 10), (8, 2000), (16, 1900))
    ),
    (b"Cookie: a=b", b"Cookie: c=d"), (b"Cookie: a=b; c=d",), (b'Cookie: =;;="',),
    (b"Accept: text/html", b"Accept: a/b"), (b"Accept:",), (b"Accept-Encoding: gzip, br",),
    (b"Accept-Language: de, *;q=0",), (b"User-Agent:",), (b'User-Agent: "\\',), (b"Authorization: Basic YTpi",),
    (b"Authorization: ",), (b"Referer: http://a/?b=\xe9",), (b"Content-Type: text/plain",), (b"Content-Type:",),
    (b"Content-Type: a/b", b"Content-Type: c/d"), (b"Content_Length: 5",), (b"Content-MD5: x",), (b"Range: bytes=0-3",),
    (b"Range: bytes=9-0",), (b"If-None-Match: *",), (b'If-None-Match: "a", W/"b"',), (b'If-Match: "a"',),
    (b"If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT",), (b"If-Modified-Since: yesterday",), (b'If-Range: "a"',),
    (b"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",), (b"X-Request-ID: the-clients",),
    (b"X-Request-ID: a", b"X-Request-ID: b"), (b"X-Forwarded-For: 1.2.3.4",), (b"X-Forwarded-Proto: https",),
    (b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"), (b"X-Forwarded-Host: evil.example",),
    (b"X-Forwarded-Port: 444",), (b"X-Forwarded-Prefix: /x",), (b"X-Forwarded-Ssl: on",),
    (b"X-Forwarded-Protocol: ssl",), (b"X-Forwarded-Scheme: https",), (b"X_Forwarded_For: 1.2.3.4",),
    (b"Forwarded: for=1.2.3.4;proto=https",), (b"X-Scheme: https",), (b"X-Url-Scheme: https",),
    (b"X-Real-IP: 1.2.3.4",), (b"Front-End-Https: on",), (b"Script-Name: /x",), (b"SCRIPT_NAME: /x",),
    (b"Path-Info: /x",), (b"Remote-User: root",), (b"Remote-Addr: 1.2.3.4",), (b"Https: on",),
    (b"Proxy: http://evil.example",), (b"X-HTTP-Method-Override: DELETE",), (b"X-Original-URL: /about",),
    (b"X-Rewrite-URL: /about",), (b"X-Sendfile: /etc/passwd",), (b"X-Accel-Redirect: /static/style.css",),
    (b"Upgrade: websocket",), (b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), (b"Connection: X-Plain", b"X-Plain: a"),
    (b"Keep-Alive: timeout=5",), (b"TE: trailers",), (b"Trailer: X",), (b"Max-Forwards: 0",), (b"Via: 1.1 x",),
    (b"Expect: 100-continue",), (b"Expect: other",), (b"Host: second",), (b"Transfer-Encoding: identity",),
    (b"Wsgi.url_scheme: https",), (b"HTTP_X: y",), (b"UWSGI_FILE: /etc/passwd",),
    *((b"X-Control: a%cb" % byte,) for byte in b"\x02\x08\x0b\x0c\x0e\x1b\x1f"),
    (b"Cookie: a=\x01",), (b"Accept: \x7f",),
    (b"If-None-Match:\t*",), (b'If-None-Match: "a"\t',), (b"Accept:\ttext/html\t",), (b"Content-Type:\ttext/plain",),
    (b"Cookie:\ta=b\t",), (b"X-Tab: \t a \t ",), (b"X-Tab: \xe9\t",), (b'If-None-Match: "a"', b'If-None-Match: "b"'),
    (b"Authorization: a", b"Authorization: b"), (b"User-Agent: a", b"User-Agent: b"), (b"Referer: a", b"Referer: b"),
    (b"Content-Type: text/plain", b"Content-Type: text/plain"), (b"Remote-User: a", b"Remote-User: b"),
    (b"X-Auth-Request-User: a",), (b"Range: bytes=0-1", b"Range: x"),
    *(tuple(b"X-%d:" % number for number in range(count)) for count in (990, 1000, 1010, 1100, 1200, 3000)),
]  # fmt: skip
HOSTS = [
    b"", b"Host:", b"Host: ", b"Host: localhost:1234", b"Host: LOCALHOST", b"Host: a.example.", b"Host: [::1]:80",
    b"Host: [::1", b"Host: a b", b"Host: a/b", b"Host: a:b", b"Host: a:", b"Host: a:99999", b"Host: a@b", b"Host: \xff",
    b"Host: a,b", b"Host: 127.0.0.1", b"Host: _", b"Host: a\\b", b"Host: ..", b"Host: " + b"a" * 300, b"host: lower",
    b"Host: a:80:80",
]  # fmt: skip
JSON = b"Content-Type: application/json"
BODIES = [
    b"{}", b"[]", b"null", b"0", b"1e400", b"NaN", b"-0.0", b'"\\ud800"', b'"\xff"', b'"\xc3\xab"', b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00", b"{", b"", b" ", b"[" * 5000, b"[" * 100_000, b'{"a": 1, "a": 2}', b"9" * 5000, b"'a'",
    b"{}{}", b"\x00", b'"%s"' % (b"x" * 1_048_574), b'"%s"' % (b"x" * 1_048_575), b'"%s"' % (b"x" * 100_000),
]  # fmt: skip
TYPES = [
    b"application/json; charset=utf-8", b"APPLICATION/JSON", b"application/json;", b"text/json", b"",
    b"application/problem+json", b"*/*", b"application/json, a/b",
]  # fmt: skip
LENGTHS = [
    (b"Content-Length: 2",), (b"Content-Length: 0",), (b"Content-Length: +2",), (b"Content-Length: 02",),
    (b"Content-Length: -1",), (b"Content-Length: 2 ",), (b"Content-Length: 0x2",), (b"Content-Length: a",),
    (b"Content-Length:",), (b"Content-Length: 2, 2",), (b"Content-Length: 2", b"Content-Length: 2"),
    (b"Content-Length: 2", b"Content-Length: 1"), (b"Content-Length: 1",), (b"Content-Length: 1048577",),
    (b"Content-Length: 99999999999999999999",), (b"Content-Length: 2", b"Expect: 100-continue"),
    (b"content-length: 2",), (b"Content-Length : 2",), (b"Content-Length: 2", b"Transfer-Encoding: identity"),
]  # fmt: skip
TE = b"Transfer-Encoding: chunked"
CHUNKED = {
    b"plain": ((TE,), b"2\r\n{}\r\n0\r\n\r\n"),
    b"in two": ((TE,), b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
    b"empty": ((TE,), b"0\r\n\r\n"),
    b"extensions": ((TE,), b'2;a=b;c="d"\r\n{}\r\n0;e\r\n\r\n'),
    b"trailer": ((TE, b"Trailer: X-Trailer"), b"2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n"),
    b"leading zeros": ((TE,), b"0002\r\n{}\r\n0\r\n\r\n"),
    b"upper case": ((b"TRANSFER-ENCODING: CHUNKED",), b"2\r\n{}\r\n0\r\n\r\n"),
    b"bad size": ((TE,), b"zz\r\n{}\r\n0\r\n\r\n"),
    b"negative size": ((TE,), b"-2\r\n{}\r\n0\r\n\r\n"),
    b"0x size": ((TE,), b"0x2\r\n{}\r\n0\r\n\r\n"),
    b"too long a chunk": ((TE,), b"2\r\n{}}\r\n0\r\n\r\n"),
    b"huge size": ((TE,), b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    b"LF only": ((TE,), b"2\n{}\n0\n\n"),
    b"with a length": ((TE, b"Content-Length: 2"), b"2\r\n{}\r\n0\r\n\r\n"),
    b"with a length first": ((b"Content-Length: 2", TE), b"2\r\n{}\r\n0\r\n\r\n"),
    b"twice": ((TE, TE), b"2\r\n{}\r\n0\r\n\r\n"),
    b"gzip, chunked": ((b"Transfer-Encoding: gzip, chunked",), b"2\r\n{}\r\n0\r\n\r\n"),
    b"xchunked": ((b"Transfer-Encoding: xchunked",), b"2\r\n{}\r\n0\r\n\r\n"),
    b"chunked, identity": ((b"Transfer-Encoding: chunked, identity",), b"2\r\n{}\r\n0\r\n\r\n"),
    b"expect": ((TE, b"Expect: 100-continue"), b"2\r\n{}\r\n0\r\n\r\n"),
    b"large": ((TE,), b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"),
    b"too large": ((TE,), b"110000\r\n" + b"x" * 0x110000 + b"\r\n0\r\n\r\n"),
}
FORMS = {
    b"urlencoded": (b"application/x-www-form-urlencoded", b"a=b&c=%20+d"),
    b"multipart": (
        b"multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
    ),
    b"multipart without a boundary": (b"multipart/form-data", b"--x\r\n\r\nb\r\n--x--\r\n"),
    b"binary": (b"application/octet-stream", bytes(range(256))),
    b"gzip": (b"application/gzip", b"\x1f\x8b\x08"),
}
WHOLE = [
    b"GET /environ/a HTTP/1.0\r\n\r\n",
    b"GET /environ/a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", b"GET /environ/a\r\n",
    b"GET /environ/a HTTP/0.9\r\n\r\n", b"GET /environ/a HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /environ/a HTTP/2.0\r\nHost: a\r\n\r\n", b"GET /environ/a HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /environ/a http/1.1\r\nHost: a\r\n\r\n", b"GET  /environ/a  HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /environ/a b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\r\n\r\nGET /environ/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /environ/a HTTP/1.1\nHost: a\nConnection: close\n\n", b" GET /environ/a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET\t/environ/a\tHTTP/1.1\r\nHost: a\r\n\r\n", b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /environ/ HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /environ/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HEAD /stream HTTP/1.0\r\n\r\n",
    b"GET /environ/a HTTP/1.1\r\nHost: a\r\n\r\nGET /environ/b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    (b"POST /environ/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    b"GET /environ/b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"),
]  # fmt: skip
HTML = b"Accept: text/html"
CORPUS = {
    **{
        f"method {spelled(method)} {spelled(path)}": request(path, method)
        for path in (b"/environ/", b"/about", b"/static/style.css")
        for method in METHODS
    },
    **{f"body to {spelled(method)}": request(b"/environ/", method, body=b"{}") for method in METHODS[:10]},
    **{f"target {spelled(target)}": request(target) for target in TARGETS},
    **{f"query {spelled(query)}": request(b"/environ/a?" + query) for query in QUERIES},
    **{f"header {spelled(b' | '.join(lines))}": request(headers=lines) for lines in HEADERS},
    **{f"host {spelled(line)}": request(host=line) for line in HOSTS},
    **{f"json {spelled(body)}": request(b"/echo", b"POST", (JSON,), body) for body in BODIES},
    **{f"type {spelled(kind)}": request(b"/echo", b"POST", (b"Content-Type: " + kind,), b"{}") for kind in TYPES},
    **{f"length {spelled(b' | '.join(lines))}": request(b"/environ/", b"POST", lines, b"{}") for lines in LENGTHS},
    **{f"chunked {name.decode()}": request(b"/environ/", b"POST", *case) for name, case in CHUNKED.items()},
    **{
        f"refused fields and a body of {size}": request(b"/environ/", b"POST", (b"X-Control: \x01",), b"x" * size)
        for size in (2, 30_000, 300_000, 1_000_000)
    },
    **{
        f"chunked json {name.decode()}": request(b"/echo", b"POST", (JSON, *case[0]), case[1])
        for name, case in CHUNKED.items()
    },
    **{
        f"form {name.decode()}": request(b"/environ/", b"POST", (b"Content-Type: " + case[0],), case[1])
        for name, case in FORMS.items()
    },
    **{
        f"page {spelled(path)}": request(path, headers=(HTML,))
        for path in (b"/", b"/about", b"/hello/x", b"/nope", b"/echo", b"/static/nope")
    },
    **{
        f"error to {spelled(method)}": request(b"/nope", method, body=b"x" * size)
        for method in METHODS[:6]
        for size in (0, 9)
    },
    **{
        f"conditional {spelled(lines[0])} {spelled(path)}": request(path, headers=lines)
        for path in (b"/hello/x", b"/static/style.css")
        for lines in HEADERS
        if re.match(b"If|Range", lines[0])
    },
    **{f"whole {spelled(sent)}": sent for sent in WHOLE},
    "stream": request(b"/stream"),
}

# Keys of environ that can differ or exist on one backend only. All others must be equal.
OWN_KEYS = {
    "HTTP_X_REQUEST_ID": "unique for each request",
    "SERVER_SOFTWARE": "the server's name",
    "wsgi.input_terminated": "uWSGI does not set it; nginx always sends a Content-Length",
    "wsgi.early_hints": "gunicorn's extension",
    "gunicorn.socket": "gunicorn's extension",
    "uwsgi.core": "uWSGI's extension",
    "uwsgi.node": "uWSGI's extension",
    "uwsgi.version": "uWSGI's extension",
}
# Parts of a body that differ between responses or backends: the page footer, /version, the request id.
VARIES = re.compile(
    rb"gunicorn|uwsgi|(?<=worker <strong>)\d+|(?<=\"worker\": )\d+|worker \d+|[\d.]+(?= ms)|\b[0-9a-f]{32}\b"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LocalStack]]:
    """Run a stack on each backend, with MORE_ROUTES."""
    for backend in BACKENDS:
        require("processes", backend)
    root = tmp_path_factory.mktemp("differential")
    copy_reference(root)
    with (root / "app" / "wsgi.py").open("a") as module:
        module.write(MORE_ROUTES)
    stacks: list[LocalStack] = []
    try:
        for backend in BACKENDS:
            stacks.append(LocalStack(backend, root=root, WEB_CONCURRENCY="1"))
            stacks[-1].up()
        yield stacks
    finally:
        for stack in stacks:
            stack.down()


def ask(stack: LocalStack, sent: bytes) -> bytes:
    """Send the bytes to the stack and return everything received."""
    with socket.create_connection(("127.0.0.1", int(stack.url.rpartition(":")[2])), timeout=20) as connection:
        return exchange(connection, sent)


def traits(stack: LocalStack, sent: bytes) -> dict[str, object]:
    """Return the parts of the response, and of the environ if it is in the body, that must be equal."""
    received = ask(stack, sent)
    method = sent.partition(b" ")[0].decode(errors="replace")
    if received.startswith(b"HTTP/"):
        answer = Answer.parse(received, method)
    else:  # HTTP/0.9: only a body
        answer = Answer(200, http.client.HTTPMessage(), received)
    length = answer.headers["Content-Length"]
    if answer.status >= 400 and method != "HEAD":  # never a page of a server itself
        assert answer.headers["X-Request-ID"].encode() in answer.body
    if method != "HEAD" and length and answer.status != 304:
        assert int(length) == len(answer.body)
    found: dict[str, object] = {
        "status": answer.status,
        "headers": [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in {"date", "x-request-id", "content-length"}
            # nginx adds it from 1,024 bytes on, and the environ differs in length
            and (name, value) != ("Vary", "Accept-Encoding")
        ],
    }
    seen = environ_in(answer.body)
    return found | (seen or {"body": VARIES.sub(b"...", answer.body)})


def environ_in(body: bytes) -> dict[str, object]:
    """Return the environ in a response of the route /environ, or an empty dict for other routes."""
    if not body.startswith(b"{") or b'"the body"' not in body:
        return {}
    seen: dict[str, object] = json.loads(body)
    return {key: value for key, value in seen.items() if key not in OWN_KEYS}


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Return the differing parts: only the status if it differs, else only the headers if they differ."""
    found = {
        name: (one.get(name), other.get(name))
        for name in {**one, **other}
        if name not in one or name not in other or one[name] != other[name]
    }
    first = next((name for name in ("status", "headers") if name in found), "")
    return {first: found[first]} if first else found


def test_corpus_is_large():
    assert len(CORPUS) > 400


# begin gunicorn
# begin uwsgi
@pytest.mark.parametrize("name", CORPUS)
def test_both_backends_behave_the_same(name, pair):
    gunicorn, uwsgi = (traits(stack, CORPUS[name]) for stack in pair)
    assert differences(gunicorn, uwsgi) == {}


# end uwsgi
# end gunicorn
def test_environ_route_returns_environ_and_body(pair):
    for stack in pair:
        seen = traits(stack, request(b"/environ/a?b", b"POST", (b"X-Plain: c",), b"d"))
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/environ", "/a", "b")
        assert (seen["HTTP_X_PLAIN"], seen["the body"], seen["CONTENT_LENGTH"]) == ("c", "d", "1")


def test_cut_response_has_no_last_chunk(pair):
    endings = [ask(stack, request(b"/break-off")).partition(b"\r\n\r\n")[2] for stack in pair]
    assert endings == [b"5\r\nfirst\r\n"] * len(pair)
