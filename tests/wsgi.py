"""Call a WSGI application in process, inside wsgiref's validator, so that each test also checks PEP 3333."""

import io
from dataclasses import dataclass
from wsgiref.headers import Headers
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


@dataclass
class Answer:
    """A complete response; its body was read to the end and closed."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def call(
    application: WSGIApplication, path: str = "/", method: str = "GET", body: bytes = b"", **environ: str
) -> Answer:
    """Send one request and return the response; `path` can have a query, keywords are added to the environ."""
    path, _, query = path.partition("?")
    full: dict[str, object] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        **environ,
    }
    setup_testing_defaults(full)
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status, headers, exc_info=None):
        if exc_info and written:
            raise exc_info[1]
        started[:] = [(status, headers)]
        return written.append

    chunks = validator(application)(full, start_response)
    try:
        written.extend(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    [(status, headers)] = started
    return Answer(int(status.split(" ")[0]), Headers(headers), b"".join(written))
