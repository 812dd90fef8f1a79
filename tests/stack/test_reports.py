"""Error reports, and the losses of a receiver that refuses, or never answers."""

import re
import socket

import httpx
import pytest
import sentry_sdk

from deploy.server import error_reports, reports
from deploy.server.reports import Reports
from tests.stack.receiver import EACH, RECYCLED, lost, receiving, reporting
from tests.stack.waiting import free_port, until

REQUESTS = 2 * RECYCLED + 10


@pytest.fixture(scope="module", params=EACH)
def site(request, tmp_path_factory):
    """Return a stack that sends traces and error reports, and serves metrics, and the receiver."""
    with receiving() as receiver:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "SENTRY_DSN": receiver.dsn}
        given["METRICS_PORT"] = str(free_port())
        with reporting(request.param, tmp_path_factory.mktemp("reports"), **given) as stack:
            yield stack, receiver


@pytest.fixture
def http(site):
    """Return an HTTP client for the stack."""
    with httpx.Client(base_url=site[0].url, timeout=30) as client:
        yield client


def test_exception_is_reported_without_anything_private(site, http):
    _, receiver = site
    before = len(receiver.errors)
    fields = {"Cookie": "session=thecookie", "Authorization": "Bearer thetoken", "X-Forwarded-For": "192.0.2.77"}
    answers = [
        http.request("POST", f"/raise/ValueError?{query}", headers=fields, content="thebody")
        for query in ("thequery", "cause=thequery+2&session=thecookie", "thetoken%20thecookie")
    ]
    until(lambda: len(receiver.errors) == before + len(answers), "all reports")
    for answer, event in zip(answers, receiver.errors[before:], strict=True):
        assert answer.status_code == 500
        [error] = event["exception"]["values"]
        assert (error["type"], error["value"]) == ("ValueError", "[private]")
        assert error["mechanism"] == {"type": "wsgi", "handled": False}
        tags = {"request_id": answer.headers["X-Request-ID"], "method": "POST", "route": "/raise/{exception}"}
        assert {**event["tags"]} == tags
        assert (event["transaction"], event["release"]) == ("POST /raise/{exception}", "r7")
        frames = error["stacktrace"]["frames"]
        assert (frames[-1]["function"], [frame for frame in frames if "vars" in frame]) == ("raises", [])
        assert (event["breadcrumbs"]["values"], {"request", "user", "extra"} & event.keys()) == ([], set())
    traces = {event["contexts"]["trace"]["trace_id"] for event in receiver.errors[before:]}
    until(lambda: traces <= {span.trace for span in receiver.spans}, "the spans of the reports")
    assert len(traces) == len(answers)
    for word in ("thecookie", "thetoken", "thequery", "thebody", "192.0.2.77", '"127.0.0.1"'):
        assert [raw for raw in receiver.raw if word in raw] == []


def test_each_exception_is_reported_once(site, http):
    _, receiver = site
    before = len(receiver.errors)
    for path in ("/raise/SystemExit", "/unread/raise-in-generator", "/return/text", "/answer/503", "/nowhere", "/cut"):
        try:
            http.get(path)
        except httpx.RemoteProtocolError:
            assert path == "/cut"
    until(lambda: len(receiver.errors) >= before + 4, "the reports")
    found = [(event["tags"]["route"], event["exception"]["values"][-1]["type"]) for event in receiver.errors[before:]]
    assert found == [
        ("/raise/{exception}", "SystemExit"),
        ("/unread/{way}", "LookupError"),
        ("/return/{what}", "TypeError"),
        ("/cut", "ValueError"),
    ]


@pytest.mark.parametrize("how", ["recycle", "reload", "stop"])
def test_worker_that_ends_sends_its_last_reports(how, site, http):
    stack, receiver = site
    before = len(receiver.errors)
    number, receiver.seconds = (
        (REQUESTS, 0) if how == "recycle" else (3, 0.2)
    )  # it has not answered when the worker ends
    for _ in range(number):
        assert http.get("/raise/ValueError").status_code == 500
    if how == "reload":
        earlier = stack.workers()
        stack.reload_app()
        until(lambda: not earlier & stack.workers() and stack.is_up(), "the next worker")
    if how == "stop":
        stack.stop_app()
        assert len(receiver.errors) == before + number
        stack.start_app()
        until(stack.is_up, "the app is up")
    receiver.seconds = 0
    until(lambda: len(receiver.errors) == before + number, "all reports")
    assert lost(stack) == ({}, [])


def test_loss_is_logged_with_its_reason(site, http):
    stack, receiver = site
    receiver.status = 401
    try:
        http.get("/raise/ValueError")
        until(lambda: len(lost(stack)[1]) == 2, "the lines of the log")
    finally:
        receiver.status = 200
    errors, spans = sorted(lost(stack)[1])
    assert errors == "1 error reports lost: status_401"
    assert re.fullmatch(r"\d+ spans lost: Failed to export spans batch code: 401, reason: Unauthorized", spans)


@pytest.mark.parametrize("backend", EACH)
@pytest.mark.parametrize("is_there", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_receiver_that_is_no_use_costs_reports_only(is_there, backend, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:  # it accepts connections, and no more
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        if not is_there:
            silent.close()
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "SENTRY_DSN": f"http://key@{address}/7"}
        with reporting(backend, tmp_path, **given) as stack, httpx.Client(base_url=stack.url, timeout=5) as client:
            for number in range(REQUESTS):
                failing = number % 10 == 0
                assert client.get("/raise/ValueError" if failing else "/answer/200").status_code == 200 + 300 * failing
            stack.restart_app()
            until(stack.is_up, "the app is up")
            until(lambda: lost(stack)[0] == {"error": REQUESTS / 10, "spans": REQUESTS}, "all are counted")
            assert re.findall(r'"(?:urllib3|opentelemetry|sentry_sdk)[\w.]*"', stack.logs()) == []


def test_nothing_is_loaded_without_a_receiver(probe):
    found = httpx.get(f"{probe.url}/loaded").json()
    assert found["modules"] == []
    assert [name for name in found["threads"] if "sentry" in name or "Otel" in name] == []


@pytest.mark.parametrize("status", [401, 413, 429, 500])
def test_report_that_the_receiver_refuses_is_counted_once(status, monkeypatch, caplog):
    found = Reports("error reports", 2)
    monkeypatch.setattr(error_reports, "found", found)
    monkeypatch.setattr(reports, "LOG_SECONDS", 0)
    with receiving() as receiver:
        receiver.status = status
        client = sentry_sdk.Client(receiver.dsn, transport=error_reports.Transport, default_integrations=False)
        for number in (1, 2):  # after 429 the SDK does not send the second one
            client.capture_event({"message": "an error"})
            client.flush(5)
            assert found.waiting == 0
            assert [each.lost for each in caplog.records if each.name == reports.__name__] == [1] * number
        client.close()
