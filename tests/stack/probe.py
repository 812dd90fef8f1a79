"""An application for tests, in place of app/wsgi.py: it answers with what it sees, or what it is asked to answer."""

import atexit  # only with monitoring
import builtins
import getpass
import locale
import logging  # only with monitoring
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings  # only with monitoring
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress  # only with monitoring
from datetime import datetime
from http import HTTPStatus
from itertools import count
from json import loads  # only with monitoring
from pathlib import Path
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment
from zoneinfo import ZoneInfo

from app.handlers import health
from app.request import body
from app.response import json, status_line
from app.router import Target, router

requests = count()
may_end = threading.Event()  # /end sets it, and /page then ends its response
BLOCK = b"x" * 65_536


def environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the environ, objects by their kind, and with the body."""
    seen = {key: value if isinstance(value, str | bool | tuple) else "object" for key, value in environ.items()}
    return json(start_response, seen | {"the body": body(environ).decode("latin-1")})


def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the path's {status}, and with the query's variables as headers."""
    _, arguments = environ["wsgiorg.routing_args"]
    headers = [("Content-Type", "text/plain; charset=utf-8"), *parse_qsl(environ["QUERY_STRING"])]
    start_response(status_line(HTTPStatus(int(arguments["status"]))), headers)
    return [b"the app's own"]


def bare(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the query's variables as the only headers."""
    start_response("200 OK", parse_qsl(environ["QUERY_STRING"]))
    return [b"caf\xe9"]


def document(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a document that has a strong ETag, or 412 if If-Match names another (RFC 9110, 13.1.1)."""
    tags = environ.get("HTTP_IF_MATCH", '"one"').split(", ")
    headers = [("Content-Type", "application/json"), ("ETag", '"one"')]
    start_response("200 OK" if '"one"' in tags else "412 Precondition Failed", headers)
    return [b'"a document"' * 200]


def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with so many bytes."""
    _, arguments = environ["wsgiorg.routing_args"]
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", arguments["bytes"])])
    return [b"x" * int(arguments["bytes"])]


def cookies(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with {count} Set-Cookie fields of {size} bytes each, the line end included."""
    _, arguments = environ["wsgiorg.routing_args"]
    cookie = ("Set-Cookie", "c=" + "x" * (int(arguments["size"]) - len("Set-Cookie: c=\r\n")))
    start_response("200 OK", [("Content-Length", "2"), *[cookie] * int(arguments["count"])])
    return [b"ok"]


def download(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with {blocks} blocks of 64 KiB, one at a time."""
    _, arguments = environ["wsgiorg.routing_args"]
    blocks = int(arguments["blocks"])
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", f"{blocks * 65_536}")])
    return (BLOCK for _ in range(blocks))


def cut(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Send half of the response, and fail; its length is known in advance with the query ?20."""
    length = [("Content-Length", environ["QUERY_STRING"])] if environ["QUERY_STRING"] else []
    start_response("200 OK", [("Content-Type", "text/plain"), *length])
    yield b"ten bytes!"
    raise ValueError


def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Send the first half of a page, and the second half after a request for /end."""
    may_end.clear()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    yield b"<p>first half</p>" + b" " * 2_000
    may_end.wait(25)
    yield b"<p>second half</p>"


def end(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Let /page end its response."""
    may_end.set()
    return json(start_response, "ended")


def length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body and answer with its length."""
    left = int(environ["CONTENT_LENGTH"])
    read = 0
    while left > read and (block := environ["wsgi.input"].read(min(65_536, left - read))):
        read += len(block)
    return json(start_response, read)


def private_file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Have nginx send the file of this name."""
    _, arguments = environ["wsgiorg.routing_args"]
    headers = [("Content-Type", "text/csv"), ("X-Accel-Redirect", f"/nginx-private/{arguments['name']}")]
    start_response("200 OK", [*headers, *parse_qsl(environ["QUERY_STRING"])])
    return []


def think(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer after so many seconds."""
    _, arguments = environ["wsgiorg.routing_args"]
    time.sleep(float(arguments["seconds"]))
    return json(start_response, "a thought")


def surroundings(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the properties of this process, of a child process, and of pools of processes."""
    umask = os.umask(0)
    os.umask(umask)
    report = "import signal, sys; print(sys.prefix, [*signal.pthread_sigmask(signal.SIG_BLOCK, ())])"
    child = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    pools = {}
    for method in ("spawn", "forkserver", "fork"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            pools[method] = pool.submit(divmod, 7, 2).result(20)
    return json(
        start_response,
        {
            "executable is in": str(Path(sys.executable).parents[1]),
            "prefix": sys.prefix,
            "argv": sys.argv,
            "path": sys.path[:1],
            "other paths in the folder": [each for each in sys.path[1:] if not each.startswith("/")],
            "folder": str(Path.cwd()),
            "umask": umask,
            "locale": locale.setlocale(locale.LC_CTYPE),
            "encodings": [locale.getpreferredencoding(), sys.getfilesystemencoding(), sys.stdout.encoding],
            "output": [sys.stdout.errors, sys.stdout.line_buffering, sys.stderr.errors, sys.stderr.line_buffering],
            "open files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "variables": sorted(os.environ),
            "ignored signals": [each.name for each in signal.Signals if signal.getsignal(each) is signal.SIG_IGN],
            "blocked signals": [*signal.pthread_sigmask(signal.SIG_BLOCK, ())],
            "child": child.stdout,
            "pools": pools,
            "user": getpass.getuser(),
            "home can be written": os.access(Path.home(), os.W_OK),
            "time zone": str(datetime.now(ZoneInfo("Europe/Zurich")).tzinfo),
        },
    )


def ticks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Send the number of a tick, {count} times, one every half second."""
    _, arguments = environ["wsgiorg.routing_args"]
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for number in range(int(arguments["count"])):
        yield f"data: {number}\n\n".encode()
        time.sleep(0.5)


def deadlock(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Wait for ever."""
    lock = threading.Lock()
    with lock, lock:
        return json(start_response, "never")


def die(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """End this worker instead of answering."""
    environ["wsgi.errors"].write(f"dying of {environ['HTTP_X_REQUEST_ID']}\n")
    environ["wsgi.errors"].flush()
    os._exit(1)


def unread(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer in the path's {way}, and read nothing of the request body, or only after the first chunk ("echo")."""
    _, arguments = environ["wsgiorg.routing_args"]
    match arguments["way"]:
        case "generator":
            return stream(start_response, "text/plain", iter([b"the app's own"]))
        case "events":
            return stream(start_response, "text/event-stream", iter([b"data: the app's own\n\n"]))
        case "echo":
            body = environ["wsgi.input"]
            return stream(start_response, "application/octet-stream", iter(lambda: body.read(10_000), b""))
        case "write":
            start_response("200 OK", [("Content-Type", "text/plain")])(b"the app's own")
            return []
        case "raise":
            raise LookupError
        case "raise-in-generator":
            return stream(start_response, "text/plain", fail())
        case "refuse":
            start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic")])
        case "redirect":
            start_response("303 See Other", [("Content-Type", "text/plain"), ("Location", "/login")])
        case _:
            start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the app's own"]


def stream(start_response: StartResponse, media_type: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks; start the response with the first one."""
    start_response("200 OK", [("Content-Type", media_type)])
    yield b""
    yield from chunks


def fail() -> Iterator[bytes]:
    """Raise LookupError in place of a chunk."""
    raise LookupError
    yield b""


def raises(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Raise the builtin exception that the path names, with the query as its argument."""
    _, arguments = environ["wsgiorg.routing_args"]
    raise getattr(builtins, arguments["exception"])(*filter(None, [environ["QUERY_STRING"]]))


# begin monitoring
def logs(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Put the text of the body into the log in each way that Python has, and fail."""
    text = body(environ).decode("latin-1")
    logging.getLogger("probe").info("%s", text)
    print(text, file=sys.stderr)
    print(text, flush=True)
    environ["wsgi.errors"].write(f"{text}\n")
    environ["wsgi.errors"].flush()
    warnings.warn(text, stacklevel=1)
    thread = threading.Thread(target=lambda: os.environ[text])
    thread.start()
    thread.join()
    raise LookupError(text)


def prints(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Write the bytes of the body to the log past Python, here and in a child; with the query ?die, be killed."""
    data = body(environ)
    for descriptor in (1, 2):
        os.write(descriptor, data)
    subprocess.run(["cat"], input=data, stdout=2, check=True)
    with suppress(ValueError):
        logging.getLogger("probe").info("%s", loads(data.decode("latin-1")))
    if environ["QUERY_STRING"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return json(start_response, len(data))


def outgoing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the headers that a request to another service gets."""
    from opentelemetry.propagate import inject  # noqa: PLC0415 (only a test with traces calls this)

    headers: dict[str, str] = {}
    inject(headers)
    return json(start_response, headers)


def loaded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the loaded modules that send reports, and with the threads of this process."""
    parts = ("opentelemetry", "sentry_sdk", "google.protobuf", "deploy.server.reports")
    threads = [each.name for each in threading.enumerate()]
    return json(start_response, {"modules": [each for each in parts if each in sys.modules], "threads": threads})


atexit.register(logging.getLogger("exit").info, "this worker exits")


# end monitoring
def returns(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return something that is no iterable of bytes."""
    _, arguments = environ["wsgiorg.routing_args"]
    wrong: dict[str, object] = {"text": "text", "bytes": b"bytes", "none": None, "texts": ["text"], "number": 7}
    start_response("200 OK", [("Content-Type", "text/plain")])
    return wrong[arguments["what"]]  # type: ignore[return-value] # that is the point


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, and count: /count tells how many requests there were before it, but for health checks."""
    if environ["PATH_INFO"] == "/readyz":
        return health.ready(environ, start_response)
    number = next(requests)
    if environ["PATH_INFO"] == "/count":
        return json(start_response, number)
    return routes(environ, start_response)


TABLE: dict[str, Target] = {
    "/environ/*": environ,
    "/answer/{status}": answer,
    "/bare": bare,
    "/document": document,
    # Paths that nginx once kept for itself.
    "/errors/*": environ,
    "/private/*": environ,
    "/static/app/*": environ,
    "/site.webmanifest": environ,
    "/large/{bytes}": large,
    "/cookies/{count}/{size}": cookies,
    "/download/{blocks}": download,
    "/cut": cut,
    "/page": page,
    "/end": end,
    "/length": length,
    "/file/{name}": private_file,
    "/think/{seconds}": think,
    "/surroundings": surroundings,
    "/ticks/{count}": ticks,
    "/deadlock": deadlock,
    "/die": die,
    "/unread/{way}": unread,
    "/raise/{exception}": raises,
    "/return/{what}": returns,
    # begin monitoring
    "/logs": logs,
    "/prints": prints,
    "/metrics/*": environ,  # as of an application that serves its own
    "/outgoing": outgoing,
    "/loaded": loaded,
    # end monitoring
}
routes = router(TABLE)
