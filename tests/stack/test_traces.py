"""Traces: one span for each request, on both servers, also when a worker ends."""

import os
from collections import Counter

import httpx
import pytest

from tests.stack.receiver import EACH, RECYCLED, receiving, reporting
from tests.stack.waiting import until

UNSET, ERROR = 0, 2  # statuses of a span
SERVER = 2  # kind of a span
CALLER = "b7ad6b7169203331"
KINDS = [  # method, path, name of the span, status, error.type
    ("GET", "/answer/200?private", "GET /answer/{status}", 200, None),
    ("HEAD", "/answer/200", "HEAD /answer/{status}", 200, None),
    ("GET", "/nowhere/b%C3%A9", "GET", 404, None),
    ("POST", "/bare", "POST /bare", 200, None),
    ("GET", "/environ/a/b", "GET /environ/*", 200, None),
    ("GET", "/answer/503", "GET /answer/{status}", 503, "503"),
    ("GET", "/raise/LookupError?private", "GET /raise/{exception}", 500, "LookupError"),
    ("GET", "/raise/SystemExit", "GET /raise/{exception}", 500, "SystemExit"),
    ("GET", "/unread/raise-in-generator", "GET /unread/{way}", 500, "LookupError"),
    ("GET", "/unread/write", "GET /unread/{way}", 200, None),
    ("GET", "/download/3", "GET /download/{blocks}", 200, None),
    ("GET", "/cut", "GET /cut", 200, "ValueError"),
    ("GET", "/return/text", "GET /return/{what}", 500, "TypeError"),
]


@pytest.fixture(scope="module", params=EACH)
def site(request, tmp_path_factory):
    """Return a stack that sends traces, and their receiver."""
    with receiving() as receiver:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "shop"}
        with reporting(request.param, tmp_path_factory.mktemp("traces"), **given) as stack:
            yield stack, receiver


@pytest.fixture
def http(site):
    """Return an HTTP client for the stack."""
    with httpx.Client(base_url=site[0].url, timeout=30) as client:
        yield client


def traceparent(flags="01"):
    """Return the id of a new trace, and the header with which a client sends it."""
    trace = os.urandom(16).hex()
    return trace, {"traceparent": f"00-{trace}-{CALLER}-{flags}"}


def spans(receiver, trace):
    """Return the spans of a trace."""
    return [span for span in receiver.spans if span.trace == trace]


def workers(found):
    """Return the workers that have sent these spans: service.instance.id and process.pid."""
    return {(span.resource["service.instance.id"], span.resource["process.pid"]) for span in found}


def test_each_request_has_one_span_by_the_conventions(site, http):
    _, receiver = site
    sent = {}
    for method, path, *_ in KINDS:
        trace, header = traceparent()
        try:
            sent[trace] = http.request(method, path, headers=header).headers["X-Request-ID"]
        except httpx.RemoteProtocolError:  # the response is cut
            sent[trace] = None
    until(lambda: all(spans(receiver, trace) for trace in sent), "all spans")
    for (trace, request_id), (method, path, name, status, error) in zip(sent.items(), KINDS, strict=True):
        [span] = spans(receiver, trace)
        found = span.attributes
        assert (span.name, span.kind, span.parent) == (name, SERVER, CALLER)
        assert (found["http.request.method"], found["url.path"]) == (method, path.partition("?")[0])
        assert (found["http.response.status_code"], found.get("error.type")) == (status, error)
        assert (span.status, found.get("http.route", "")) == (ERROR if error else UNSET, name.partition(" ")[2])
        recorded = [attributes["exception.type"] for _, attributes in span.events]
        assert recorded == ([error] if error and not error.isdecimal() else [])
        assert request_id in (found["request_id"], None)
        assert "private" not in repr((found, span.events)).replace("[private]", "")
        assert (span.resource["service.name"], span.resource["service.version"]) == ("shop", "r7")


def test_span_ends_with_the_response(site, http):
    _, receiver = site
    (trace, header), (later, later_header) = traceparent(), traceparent()
    with http.stream("GET", "/page", headers=header) as page:
        parts = page.iter_raw()
        next(parts)
        httpx.get(f"{http.base_url}/answer/200", headers=later_header)
        until(lambda: spans(receiver, later), "the other request's span")
        assert spans(receiver, trace) == []
        httpx.get(f"{http.base_url}/end")
        assert list(parts)
    until(lambda: spans(receiver, trace), "the page's span")


def test_trace_of_a_client_is_continued_without_obeying_it(site, http):
    _, receiver = site
    trace, header = traceparent(flags="00")
    outgoing = http.get("/outgoing", headers=header).json()["traceparent"]
    until(lambda: spans(receiver, trace), "the span that the client did not want")
    _, same, parent, flags = outgoing.split("-")
    assert (same, parent == CALLER, int(flags, 16) & 1) == (trace, False, 1)


def test_malformed_trace_of_a_client_is_ignored(site, http):
    stack, _ = site
    trace, header = traceparent()
    values = ("", "00-0-0-01", f"ff-{trace}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01", f"00-{trace}-{'0' * 16}-01")
    values += (f"00-{trace}-{CALLER}-01-more", "é", "x" * 4000)
    fields = [[("traceparent", value.encode()), ("tracestate", b"?" * 1000)] for value in values]
    fields.append([*header.items()] * 2)
    for each in fields:
        answer = http.get("/outgoing", headers=each)
        assert answer.status_code == 200
        assert answer.json()["traceparent"].split("-")[1] not in (trace, "0" * 32)
    good = http.get("/outgoing", headers={**header, "tracestate": "a=1, ?"}).json()
    assert (good["traceparent"].split("-")[1], "tracestate" in good) == (trace, False)
    assert '"opentelemetry' not in stack.logs()


@pytest.mark.parametrize("how", ["recycle", "reload", "stop"])
def test_worker_that_ends_sends_its_last_spans(how, site, http):
    stack, receiver = site
    sent = dict(traceparent() for _ in range(3 * RECYCLED if how == "recycle" else 10))
    for header in sent.values():
        assert http.get("/answer/200", headers=header).status_code == 200
    if how == "reload":
        earlier = stack.workers()
        stack.reload_app()
        until(lambda: not earlier & stack.workers() and stack.is_up(), "the next worker")
    if how == "stop":
        stack.stop_app()
        assert Counter(span.trace for span in receiver.spans if span.trace in sent) == dict.fromkeys(sent, 1)
        stack.start_app()
        until(stack.is_up, "the app is up")
    until(lambda: all(spans(receiver, trace) for trace in sent), "all spans")
    trace, header = traceparent()
    http.get("/answer/200", headers=header)
    until(lambda: spans(receiver, trace), "the next worker's span")
    used = workers(span for span in receiver.spans if span.trace in sent)
    assert len(used) > 2 if how == "recycle" else not used & workers(spans(receiver, trace))
    identities, processes = (Counter(each) for each in zip(*workers(receiver.spans), strict=True))
    assert ({*identities.values()}, {*processes.values()}) == ({1}, {1})
    assert Counter(span.trace for span in receiver.spans if span.trace in sent) == dict.fromkeys(sent, 1)
    assert '"lost"' not in stack.logs()


def test_killed_worker_costs_only_its_own_spans(site, http):
    stack, receiver = site
    earlier = stack.workers()
    os.kill(next(iter(earlier)), 9)
    until(lambda: not earlier & stack.workers() and stack.is_up(), "the next worker")
    trace, header = traceparent()
    assert http.get("/answer/200", headers=header).status_code == 200
    until(lambda: spans(receiver, trace), "its span")
