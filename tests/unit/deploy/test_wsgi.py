"""The server that PEP 3333 describes, for both backends: request bodies, exceptions, responses that cannot be sent."""

import gzip
import io
import logging
import os
import subprocess
import sys
from wsgiref.util import FileWrapper

import pytest

from deploy.server import wsgi
from deploy.server.proxied import believe_nginx
from deploy.server.wsgi import serve
from tests.tree import ROOT

TEXT = [("Content-Type", "text/plain")]
LENGTH = 300_000


class Server:
    """A server that records what it gets; it has `body` to be read, and loses the response if that is not done."""

    def __init__(self, handler, body=b"", *, is_uwsgi=False, **environ):
        self.input = io.BytesIO(body)
        self.status, self.headers, self.sent, self.unread = "", {}, [], None
        self.environ = {
            "REQUEST_METHOD": "POST",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "PATH_INFO": "/path",
            "HTTP_X_REQUEST_ID": "the-id",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": self.input,
            "wsgi.file_wrapper": FileWrapper,
            **environ,
        }
        self.result = serve(handler, is_uwsgi=is_uwsgi)(self.environ, self.start_response)
        try:
            for chunk in self.result:
                self.write(chunk)
        finally:
            getattr(self.result, "close", lambda: None)()
        self.body = b"".join(self.sent)

    def start_response(self, status, headers, exc_info=None):
        assert not self.status
        self.status, self.headers = status, dict(headers)
        self.unread = len(self.input.getvalue()) - self.input.tell()
        return self.write

    def write(self, data):
        assert self.status
        self.sent.append(data)


def whole(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a body"]


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"a "
    yield b"body"


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"a ")
    return [b"body"]


def changes_its_mind(environ, start_response):
    start_response("500 Internal Server Error", TEXT)
    try:
        {}["a secret"]
    except LookupError:
        start_response("200 OK", TEXT, sys.exc_info())
    return iter([b"a body"])


def raises(environ, start_response):
    raise LookupError("a secret")


def raises_before_its_first_chunk(environ, start_response):
    start_response("200 OK", TEXT)
    raise LookupError("a secret")
    yield b""


def raises_later(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"a "
    raise LookupError("a secret")


def never_starts(environ, start_response):
    return [b"a body"]


def empty_generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield from ()


# --- The request body -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_uwsgi", [False, True])
@pytest.mark.parametrize(
    "handler", [whole, generator, writes, changes_its_mind, raises, raises_before_its_first_chunk, empty_generator]
)
def test_unread_body_is_read_before_the_response_begins(handler, is_uwsgi):
    server = Server(handler, b"x" * LENGTH, is_uwsgi=is_uwsgi)
    assert server.status
    assert server.unread == 0


def test_rest_of_a_body_is_read():
    def handler(environ, start_response):
        assert environ["wsgi.input"].read(10) == b"x" * 10
        return whole(environ, start_response)

    assert Server(handler, b"x" * LENGTH).unread == 0


def test_handler_can_read_the_body_after_its_first_chunk():
    def handler(environ, start_response):
        start_response("200 OK", TEXT)
        yield environ["wsgi.input"].read(3)
        while block := environ["wsgi.input"].read(1000):
            yield block

    body = bytes(range(256)) * 8000
    server = Server(handler, body)
    assert server.unread == 0
    assert server.body == body


def test_body_of_a_file_response_is_read():
    def handler(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "6")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"a body"))

    server = Server(handler, b"x" * LENGTH)
    assert (server.unread, server.body) == (0, b"a body")


def gzip_file(path):
    path.write_bytes(gzip.compress(b"the first and the second part"))
    return gzip.open(path)


def later_part(path):
    path.write_bytes(b"the first and the second part")
    file = path.open("rb")
    file.seek(10)
    return file


@pytest.mark.parametrize(("open_file", "expected"), [(gzip_file, b"the first"), (later_part, b"and the second part")])
def test_file_wrapper_sends_what_the_file_reads(tmp_path, open_file, expected):
    def handler(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(expected)))])
        return environ["wsgi.file_wrapper"](open_file(tmp_path / "file"))

    class WholeFile(FileWrapper):  # as uWSGI sends it
        def __iter__(self):
            yield os.pread(self.filelike.fileno(), len(expected), 0)

    assert Server(handler, **{"wsgi.file_wrapper": WholeFile}).body == expected


def test_handler_may_change_its_environ(caplog):
    def clears(environ, start_response):
        environ.clear()
        return whole(environ, start_response)

    def clears_and_fails(environ, start_response):
        environ.clear()
        raise ValueError

    assert Server(clears).body == b"a body"
    assert Server(clears_and_fails).status == "500 Internal Server Error"
    assert "POST /path failed, request the-id" in caplog.text


def test_iterator_with_another_length_is_cut_and_logged(caplog):
    def handler(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "10")])
        yield from environ["chunks"]

    with pytest.raises(ConnectionResetError):
        Server(handler, chunks=[b"short"])
    assert "Content-Length is 10, but the body has 5 bytes" in caplog.text
    assert Server(handler, chunks=[b"too lo", b"ng for it", b"and more"]).body == b"too long f"
    assert Server(handler, chunks=[b"too lo", b"ng f", b""]).body == b"too long f"


def test_write_beyond_the_length_is_refused(caplog):
    def handler(environ, start_response):
        write = start_response("200 OK", [*TEXT, ("Content-Length", "6")])
        write(b"a body")
        write(b"!")

    with pytest.raises(ConnectionResetError):
        Server(handler)
    assert "Content-Length is 6, but write() got 7 bytes" in caplog.text


def test_204_has_no_length():
    def handler(environ, start_response):
        start_response("204 No Content", [("Content-Length", "0")])
        return []

    assert "Content-Length" not in Server(handler).headers


def test_client_that_is_gone_costs_nothing_more():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError

    assert Server(whole, **{"wsgi.input": Broken(), "CONTENT_LENGTH": "10"}).body == b"a body"


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda file: file.read(), b"one\ntwo\nthree"),
        (lambda file: file.read(None), b"one\ntwo\nthree"),
        (lambda file: file.read(-1), b"one\ntwo\nthree"),
        (lambda file: file.read(0), b""),
        (lambda file: file.read(5), b"one\nt"),
        (lambda file: file.readline(), b"one\n"),
        (lambda file: file.readline(3), b"one"),
        (lambda file: file.readlines(), [b"one\n", b"two\n", b"three"]),
        (list, [b"one\n", b"two\n", b"three"]),
        (lambda file: [file.read(), file.read(), file.read(1), file.readline()], [b"one\ntwo\nthree", b"", b"", b""]),
    ],
)
def test_input_is_a_file_that_ends_with_the_body(read, expected):
    seen = []

    def handler(environ, start_response):
        seen.append(read(environ["wsgi.input"]))
        return whole(environ, start_response)

    Server(handler, **{"wsgi.input": io.BytesIO(b"one\ntwo\nthree and the next request"), "CONTENT_LENGTH": "13"})
    assert seen == [expected]


@pytest.mark.parametrize("length", [None, "", "0"])
def test_request_without_a_body_has_an_empty_input(length):
    def handler(environ, start_response):
        assert environ["wsgi.input"].read(None) == b""
        return whole(environ, start_response)

    class Untouched:
        """What reads a server's input where there is no body may wait for ever."""

    assert Server(handler, **{"wsgi.input": Untouched(), "CONTENT_LENGTH": length or ""}).body == b"a body"


# --- Exceptions -------------------------------------------------------------------------------------------------------


def raising(exception, where):
    def handler(environ, start_response):
        if where == "handler":
            raise exception
        start_response("200 OK", TEXT)
        if where == "first chunk":
            raise exception
        yield b"a body"
        if where == "second chunk":
            raise exception

    def at_once(environ, start_response):
        raise exception

    return at_once if where == "handler" else handler


EXCEPTIONS = [
    LookupError("a secret"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    MemoryError(),
    BaseException(),
]


@pytest.mark.parametrize("is_uwsgi", [False, True])
@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
@pytest.mark.parametrize("where", ["handler", "first chunk"])
def test_any_exception_is_500_with_one_traceback(exception, where, is_uwsgi, caplog):
    server = Server(raising(exception, where), is_uwsgi=is_uwsgi)
    assert server.status == "500 Internal Server Error"
    assert b"the-id" in server.body
    assert b"secret" not in server.body
    [record] = caplog.records
    assert record.getMessage() == "POST /path failed, request the-id"
    assert record.exc_info[1] is exception


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
def test_exception_after_the_first_chunk_cuts_the_response(exception, caplog):
    with pytest.raises(ConnectionResetError):  # gunicorn closes the connection, and logs nothing
        Server(raising(exception, "second chunk"))
    assert [record.exc_info[1] for record in caplog.records] == [exception]
    caplog.clear()
    server = Server(raising(exception, "second chunk"), is_uwsgi=True)
    assert server.body == b"6\r\na body\r\n"  # without a last chunk
    assert len(caplog.records) == 1


def test_exception_after_write_cuts_the_response(caplog):
    def handler(environ, start_response):
        start_response("200 OK", TEXT)(b"a body")
        raise SystemExit

    with pytest.raises(ConnectionResetError):
        Server(handler)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
def test_exception_in_close_is_logged_and_the_response_is_complete(exception, caplog):
    class Body:
        def __iter__(self):
            return iter([b"a body"])

        def close(self):
            raise exception

    def handler(environ, start_response):
        start_response("200 OK", TEXT)
        return Body()

    assert Server(handler).body == b"a body"
    assert [record.exc_info[1] for record in caplog.records] == [exception]


def test_error_page_that_fails_is_500_in_plain_text(caplog, monkeypatch):
    monkeypatch.setattr("app.middleware.errors.error", raises)
    server = Server(raises)
    assert (server.status, server.body) == ("500 Internal Server Error", b"Internal Server Error\n")
    assert len(caplog.records) == 1


def test_failed_response_to_head_has_no_body():
    server = Server(raises, REQUEST_METHOD="HEAD")
    assert (server.status, server.body) == ("500 Internal Server Error", b"")


@pytest.mark.parametrize("handler", [whole, generator, writes])
def test_response_to_head_has_no_body(handler):
    server = Server(handler, REQUEST_METHOD="HEAD", is_uwsgi=True)
    assert (server.status, server.body) == ("200 OK", b"")


def test_body_is_closed_once():
    closed = []

    def handler(environ, start_response):
        try:
            yield from generator(environ, start_response)
        finally:
            closed.append(True)

    Server(handler)
    assert closed == [True]


# --- Responses that cannot be sent ------------------------------------------------------------------------------------


def starting(status, headers):
    def handler(environ, start_response):
        start_response(status, headers)
        return [b"a body"]

    return handler


def returning(body):
    def handler(environ, start_response):
        start_response("200 OK", TEXT)
        return body

    return handler


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (starting("200 OK", [("Location", "/\r\nSet-Cookie: a=b")]), "line break"),
        (starting("200 OK", [("Location", "/\nSet-Cookie: a=b")]), "line break"),
        (starting("200 OK", [("X-Nul", "a\0b")]), "'X-Nul'"),
        (starting("200 OK", [("X-Text", "\u20ac")]), "latin-1"),
        (starting("200 OK", [("X Name", "a")]), "'X Name'"),
        (starting("200 OK", [("", "a")]), "a header is named ''"),
        (starting("200 OK", [("X-Colon:", "a")]), "'X-Colon:'"),
        (starting("200 OK", [("X" * 257, "a")]), "1 to 256"),
        (starting("200 OK", [("X-Number", 1)]), "both must be str"),
        (starting("200 OK", [(b"X-Bytes", b"a")]), "both must be str"),
        (starting("200 OK", [("X-Large", "x" * 9000)]), "at most"),
        (starting("200 OK", [("X-Large", "x" * 8000)] * 5), "at most"),
        (starting("200 OK", [("Content-Length", "six")]), "Content-Length"),
        (starting("200 OK", [("Content-Length", "6")] * 2), "Content-Length"),
        (starting("200 OK", [("Content-Length", "7")]), "the body has 6 bytes"),
        (starting("200 OK", [("Content-Length", "5")]), "the body has 6 bytes"),
        (starting("200 OK\r\nSet-Cookie: a=b", []), "the status is"),
        (starting("100 Continue", []), "the status is"),
        (starting("OK", []), "the status is"),
        (starting(200, []), "the status is"),
        (returning("a body"), "must be bytes"),
        (returning(b"a body"), "iterable of bytes"),
        (returning(""), "must be bytes"),
        (returning(b""), "iterable of bytes"),
        (returning(["a body"]), "must be bytes"),
        (returning(range(3)), "must be bytes"),
        (returning([None]), "must be bytes"),
        (returning({"a": "body"}), "must be bytes"),
        (returning(None), "NoneType"),
        (returning(7), "int"),
        (never_starts, "start_response was not called"),
        (lambda environ, start_response: iter([b"a body"]), "start_response was not called"),
        (lambda environ, start_response: iter([]), "start_response was not called"),
    ],
)
@pytest.mark.parametrize("is_uwsgi", [False, True])
def test_response_that_cannot_be_sent_is_500_with_the_reason(handler, reason, is_uwsgi, caplog):
    server = Server(handler, is_uwsgi=is_uwsgi)
    assert server.status == "500 Internal Server Error"
    assert "Set-Cookie" not in server.headers
    [record] = caplog.records
    assert reason in logging.Formatter().formatException(record.exc_info)


def test_start_response_twice_is_500(caplog):
    def handler(environ, start_response):
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"a body"]

    assert Server(handler).status == "500 Internal Server Error"
    assert len(caplog.records) == 1


def test_text_after_the_first_chunk_cuts_the_response(caplog):
    with pytest.raises(ConnectionResetError):
        Server(returning(iter([b"a ", "body"])))
    assert len(caplog.records) == 1


def test_headers_that_can_be_sent_are_sent_as_they_are():
    headers = [("Set-Cookie", "a=" + "x" * 7000)] * 4 + [("X-Latin", "\xe9\t~"), ("ETag", '"1"')]
    sent = []

    def start_response(status, headers, exc_info=None):
        sent.extend(headers)

    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": io.BytesIO()}
    serve(starting("200 OK", headers))(environ, start_response)
    assert sent[: len(headers)] == headers


@pytest.mark.parametrize(
    ("listen", "path", "status", "redirect"),
    [
        ("0.0.0.0:8000", "/readyz", "200 OK", "/nginx-published/dev-gunicorn"),
        ("0.0.0.0:8000", "/readyz", "503 Service Unavailable", None),
        ("0.0.0.0:8000", "/", "200 OK", None),
        ("unix:/run/app/1.sock", "/readyz", "200 OK", None),
    ],
)
def test_readiness_on_a_swarm_depends_on_the_static_files_of_the_release(listen, path, status, redirect, monkeypatch):
    monkeypatch.setattr(wsgi, "release", ("X-Release", "dev-gunicorn"))
    monkeypatch.setattr(wsgi, "ready", wsgi.ready_headers(listen))
    server = Server(starting(status, TEXT), PATH_INFO=path)
    assert server.headers.get("X-Accel-Redirect") == redirect


def test_hop_by_hop_headers_are_the_servers():
    headers = [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"), ("X-Other", "1")]
    server = Server(starting("200 OK", headers))
    assert {"Connection", "Transfer-Encoding"}.isdisjoint(server.headers)
    assert server.headers["X-Other"] == "1"


def test_request_id_is_nginx_own():
    assert "X-Request-ID" not in Server(starting("200 OK", [*TEXT, ("X-Request-ID", "a-B-9")])).headers


# --- How a body is sent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_uwsgi", [False, True])
def test_whole_body_is_sent_with_its_length(is_uwsgi):
    server = Server(whole, is_uwsgi=is_uwsgi)
    assert server.headers["Content-Length"] == "6"
    assert server.body == b"a body"


@pytest.mark.parametrize("handler", [generator, writes])
def test_body_of_unknown_length_is_chunked_for_uwsgi_only(handler):
    assert "Transfer-Encoding" not in Server(handler).headers
    server = Server(handler, is_uwsgi=True)
    assert server.headers["Transfer-Encoding"] == "chunked"
    assert server.body == b"2\r\na \r\n4\r\nbody\r\n0\r\n\r\n"


@pytest.mark.parametrize("environ", [{"REQUEST_METHOD": "HEAD"}, {"SERVER_PROTOCOL": "HTTP/1.0"}])
def test_other_bodies_are_not_chunked(environ):
    assert "Transfer-Encoding" not in Server(generator, is_uwsgi=True, **environ).headers


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", [[], [b"a body"], iter([b"a body"])])
def test_status_without_a_body_has_none(status, body):
    def handler(environ, start_response):
        start_response(status, [])
        return body

    server = Server(handler, is_uwsgi=True)
    assert (server.status, server.body) == (status, b"")
    assert {"Content-Length", "Transfer-Encoding"}.isdisjoint(server.headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Content-Type", "text/html; charset=utf-8")], "no"),
        ([("Content-Type", "text/event-stream")], "no"),
        ([("Content-Type", "text/html"), ("X-Accel-Buffering", "yes")], "yes"),
        ([("Content-Type", "text/html"), ("Content-Length", "6")], None),
        ([("Content-Type", "application/octet-stream")], None),
    ],
)
def test_streams_are_not_buffered_and_downloads_are(headers, expected):
    def handler(environ, start_response):
        start_response("200 OK", headers)
        return iter([b"a body"])

    assert Server(handler).headers.get("X-Accel-Buffering") == expected


# --- What nginx says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("example.org", "443", "example.org"),
        ("example.org:8443", "8443", "example.org"),
        ("[::1]", "80", "[::1]"),
        ("[::1]:8080", "8080", "[::1]"),
    ],
)
def test_client_is_who_nginx_says(host, port, name):
    seen = {}

    def handler(environ, start_response):
        seen.update(environ)
        return whole(environ, start_response)

    Server(
        handler,
        HTTP_X_FORWARDED_FOR="192.0.2.1",
        HTTP_X_FORWARDED_PROTO="https",
        HTTP_HOST=host,
        HTTP_X_FORWARDED_PORT=port,
        SERVER_NAME="",
    )
    assert seen["REMOTE_ADDR"] == "192.0.2.1"
    assert seen["wsgi.url_scheme"] == "https"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == (name, port)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTP_HOST": "example.org"}, ("http", "example.org", "80")),
        ({"HTTP_HOST": "example.org:81"}, ("http", "example.org", "81")),
        ({"HTTP_HOST": "[::1]"}, ("http", "[::1]", "80")),
        ({"HTTP_HOST": "[::1]:81"}, ("http", "[::1]", "81")),
        ({"HTTP_HOST": "example.org", "HTTP_X_FORWARDED_PROTO": "https"}, ("https", "example.org", "443")),
        ({"HTTP_HOST": "example.org:81", "HTTP_X_FORWARDED_PORT": "82"}, ("http", "example.org", "82")),
    ],
)
def test_header_that_nginx_omits_has_its_default(environ, expected):
    seen = {}

    def handler(environ, start_response):
        seen.update(environ)
        return whole(environ, start_response)

    Server(handler, HTTP_X_FORWARDED_FOR="192.0.2.1", SERVER_NAME="a-container", **environ)
    assert (seen["wsgi.url_scheme"], seen["SERVER_NAME"], seen["SERVER_PORT"]) == expected


@pytest.mark.parametrize("names", [["Content-Length", "content-length"], ["X-Header"] * 3])
def test_names_of_headers_are_checked_again_at_each_response(names):
    headers = [(name, "6") for name in names]
    for _ in range(2):
        expected = "500 Internal Server Error" if "Content-Length" in names else "200 OK"
        assert Server(starting("200 OK", headers)).status == expected


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("*", "*"),
        ('"a"', '"a"'),
        ('W/"a", "b" , W/"c"', '"a", "b" , "c"'),
        ('"W/", W/"a,W/"', '"W/", "a,W/"'),
    ],
)
def test_etag_that_nginx_made_weak_is_strong_again(sent, seen):
    environ = {"HTTP_IF_MATCH": sent, "HTTP_IF_NONE_MATCH": 'W/"a"'}
    believe_nginx(environ)
    assert environ == {"HTTP_IF_MATCH": seen, "HTTP_IF_NONE_MATCH": 'W/"a"'}


def test_release_is_in_every_response():
    assert "X-Release" in Server(whole).headers
    assert "X-Release" in Server(raises).headers


def test_exceptions_are_logged_whatever_the_application_configures():
    code = (
        "import app.wsgi, logging.config; logging.config.dictConfig({'version': 1}); import deploy.server.wsgi; "
        "from app.middleware.errors import logger; print(logger.disabled)"
    )
    line = [sys.executable, "-c", code]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
