"""Traces and error reports in process: the counts of lost ones, the private values, and the choice of the requests."""

import base64
import gc
import re
import threading
import weakref
from importlib.metadata import PackageNotFoundError
from urllib.parse import parse_qs

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span, set_span_in_context
from werkzeug.http import parse_cookie

from app.settings import Settings
from app.variables import SettingError
from deploy.server import launch, reports, spans, tracing
from deploy.server.private import without_private
from deploy.server.reports import Reports
from deploy.server.wsgi import serve

PARENT = "00-{trace}-b7ad6b7169203331-{flags}"
RATIO = "parentbased_traceidratio"


def test_no_more_reports_wait_than_the_limit(caplog):
    waiting = Reports("spans", 2)
    assert [waiting.accept() for _ in range(4)] == [True, True, False, False]
    waiting.leave(1)
    assert (waiting.accept(), waiting.accept()) == (True, False)
    assert (waiting.waiting, caplog.messages) == (2, ["1 spans lost: 2 wait already"])


def test_losses_are_logged_once_a_minute_and_add_up(caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(reports, "monotonic", lambda: now[0])
    waiting = Reports("spans", 1)
    for seconds in (0, 1, 58, 2, 1, 60):
        now[0] += seconds
        waiting.lose(5, "refused")
    assert [record.lost for record in caplog.records] == [5, 15, 10]
    waiting.lose(1, "refused")
    waiting.log("the worker ends")
    assert caplog.messages[-1] == "1 spans lost: the worker ends"


def test_worker_that_ends_sends_and_counts_the_rest(caplog, monkeypatch):
    ends, given, now = [], [], [1000.0]
    monkeypatch.setattr("atexit.register", ends.append)
    monkeypatch.setattr(Reports, "worker_ends", threading.Event())
    monkeypatch.setattr(Reports, "deadline", 0.0)
    monkeypatch.setattr(reports, "monotonic", lambda: now[0])
    waiting, others = Reports("spans", 9), Reports("errors", 9)
    waiting.at_worker_end(lambda seconds: given.append(seconds) or waiting.leave(1))
    others.at_worker_end(given.append)
    for _ in range(3):
        waiting.accept()
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: 0)
        ends[0]()
    assert (waiting.waiting, caplog.messages) == (3, [])
    for end in ends:
        end()
        now[0] += 0.75 * reports.END_SECONDS
    assert caplog.messages == ["2 spans lost: the worker ends"]
    assert given == [reports.END_SECONDS, 0.25 * reports.END_SECONDS]  # both kinds share the time
    ends[1]()
    assert given[2:] == [0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no value of 'query text'", "no value of '[private]'"),
        ("query+text", "[private]"),
        ("name=query+text&n=7 is wrong", "[private] is wrong"),
        ("7 names: name, n, session, Bearer", "7 names: name, n, session, Bearer"),
        ("the cookie abcdef of 192.0.2.7", "the cookie [private] of [private]"),
        ("abcdef; theme=dark", "[private]"),
        ("token of Bearer the-token", "token of [private]"),
        ("the-token", "[private]"),
    ],
)
def test_private_values_are_removed_from_a_text(text, shown):
    environ = {
        "QUERY_STRING": "name=query+text&n=7",
        "HTTP_COOKIE": "session=abcdef; theme=dark",
        "HTTP_AUTHORIZATION": "Bearer the-token",
        "REMOTE_ADDR": "192.0.2.7",
    }
    assert without_private(text, environ) == shown
    assert without_private(text, {}) == text


@pytest.mark.parametrize(
    ("query", "cookie"),
    [
        ("v=first%0Asecond", ""),
        ("v=back%5Cslash", ""),
        ("v=hello;secret", ""),
        ("", "s=first&second"),
        ("", 's="quoted text"'),
        ("", r's="A\054BCD"'),
    ],
)
@pytest.mark.parametrize("quote", [str, repr])
def test_private_value_is_removed_however_it_is_written(quote, query, cookie):
    environ = {"QUERY_STRING": query, "HTTP_COOKIE": cookie}
    value = parse_qs(query)["v"][0] if query else parse_cookie(cookie)["s"]
    text = without_private(quote(value), environ)
    assert text.replace("[private]", "").strip("'\n") in ("", "\\n")


def test_password_is_removed_from_a_text():
    environ = {"HTTP_AUTHORIZATION": f"Basic {base64.b64encode(b'anna:hunter2').decode()}"}
    assert (
        without_private("hunter2 is not the password of anna", environ) == "[private] is not the password of [private]"
    )
    assert without_private("malformed", {"HTTP_AUTHORIZATION": "Basic ="}) == "malformed"


def sampled(sampler, rate, parent):
    """Return the share of requests with this `traceparent` that have a span, and that of their children."""
    provider = TracerProvider(spans.sampler(Settings(traces_sampler=sampler, traces_rate=rate)))
    tracer = provider.get_tracer("test")
    context = tracing.PROPAGATOR.extract({"traceparent": parent})
    found = [tracer.start_span("GET", context, SpanKind.SERVER) for _ in range(400)]
    children = [tracer.start_span("SELECT", set_span_in_context(span)) for span in found]
    assert [span.is_recording() for span in found] == [child.is_recording() for child in children]
    return sum(span.is_recording() for span in found) / len(found)


@pytest.mark.parametrize("trace", ["f" * 32, "1".rjust(32, "0")])
@pytest.mark.parametrize("flags", ["00", "01"])
def test_client_decides_nothing_unless_it_is_trusted(trace, flags):
    parent = PARENT.format(trace=trace, flags=flags)
    assert sampled("traceidratio", 0, parent) == 0
    assert sampled("traceidratio", 1, parent) == 1
    assert 0.1 < sampled("traceidratio", 0.5, parent) < 0.9
    for rate in (0, 0.5, 1):
        assert sampled(RATIO, rate, parent) == int(flags)
        assert abs(sampled(RATIO, rate, "") - rate) < 0.4


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_trace_is_left_in_the_thread(is_stream, fails, monkeypatch):
    monkeypatch.setattr(spans, "start", lambda _: TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    monkeypatch.setattr(tracing.errors, "observers", [])
    found = []

    def handler(environ, start_response):
        found.extend((weakref.ref(environ[tracing.TRACE]), get_current_span().is_recording()))
        if fails:
            raise LookupError
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"a"]) if is_stream else [b"a"]

    application = tracing.traced(serve(handler))
    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    gc.disable()
    try:
        body = application(environ, lambda *_: None)
        assert b"".join(body)
        getattr(body, "close", lambda: None)()
        del body, environ
        assert (found[1], get_current_span()) == (True, INVALID_SPAN)
        assert fails or found[0]() is None  # pytest keeps the traceback
    finally:
        gc.enable()


def test_response_that_is_cut_has_a_span(monkeypatch):
    ended = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ended))
    monkeypatch.setattr(spans, "start", lambda _: provider.get_tracer("test"))
    monkeypatch.setattr(tracing.errors, "observers", [])

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])(b"a")
        raise LookupError

    application = tracing.traced(serve(handler))
    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    with pytest.raises(ConnectionResetError):  # gunicorn's sign to cut it
        application(environ, lambda *_: lambda _: None)
    [span] = ended.get_finished_spans()
    found = span.attributes["http.response.status_code"], span.attributes["error.type"], span.status.is_ok
    assert (found, get_current_span()) == ((200, "LookupError", False), INVALID_SPAN)


@pytest.mark.parametrize("name", launch.PACKAGES)
def test_setting_whose_package_is_missing_is_refused_with_the_remedy(name, monkeypatch):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(launch, "version", missing)
    launch.check_packages({name: ""})
    with pytest.raises(SettingError) as refusal:
        launch.check_packages({name: "http://key@localhost/1"})
    package, group = launch.PACKAGES[name]
    assert re.fullmatch(
        f"{name} is set, but {package} is not installed: uncomment '{group}' in .*, run make lock, and build again",
        str(refusal.value),
    )


@pytest.mark.parametrize("headers", ["Authorization: Bearer secret", "key=a%0Asecret", "secret"])
def test_malformed_headers_are_refused_and_not_shown(headers):
    with pytest.raises(SettingError, match=r"^OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE") as refusal:
        launch.check_packages({"OTEL_EXPORTER_OTLP_HEADERS": headers})
    assert "secret" not in str(refusal.value)
    launch.check_packages({"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20YTpi,X-Scope=7"})
