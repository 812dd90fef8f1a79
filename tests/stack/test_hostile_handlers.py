"""Handlers that leave the request body unread, raise or return anything: each response arrives, on every stack."""

import socket
import time
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.waiting import until

SIZES = [3_000, 30_000, 60_000, 120_000, 200_000, 300_000, 1_000_000]
REPEATS = 20  # the race is won now and then


@pytest.fixture
def http(probe):
    with httpx.Client(base_url=probe.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/unread/list", 200),
        ("/unread/generator", 200),
        ("/unread/events", 200),
        ("/unread/write", 200),
        ("/unread/redirect", 303),
        ("/unread/refuse", 401),
        ("/unread/raise", 500),
        ("/unread/raise-in-generator", 500),
        ("/nothing", 404),
    ],
)
def test_response_arrives_though_the_body_is_unread(path, status, size, http):
    body = bytes(size)
    assert {http.post(path, content=body).status_code for _ in range(REPEATS)} == {status}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_unread_body_of_any_method_runs_the_handler_once(method, http):
    before = http.get("/count").json()
    statuses = {http.request(method, "/unread/list", content=bytes(500_000)).status_code for _ in range(REPEATS)}
    assert statuses == {200}
    assert http.get("/count").json() == before + REPEATS + 1


def test_handler_can_answer_while_it_reads(http):
    body = bytes(range(256)) * 4000
    assert http.post("/unread/echo", content=body).content == body


@pytest.mark.parametrize("path", ["/unread/list", "/unread/generator", "/nothing"])
def test_response_arrives_at_a_client_that_sends_slowly(path, probe):
    address = urlsplit(probe.url)
    with socket.create_connection((address.hostname, address.port), 10) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n".encode())
        for _ in range(10):
            client.sendall(bytes(30_000))
            time.sleep(0.1)
        assert client.recv(100).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))


def test_response_arrives_at_a_client_that_expects_100_continue(probe):
    address = urlsplit(probe.url)
    with socket.create_connection((address.hostname, address.port), 10) as client:
        head = "POST /unread/list HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(bytes(300_000))
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "exception", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "MemoryError"]
)
def test_any_exception_is_500_and_harms_no_worker(exception, probe, http):
    workers = probe.workers()
    for _ in range(3):
        response = http.get(f"/raise/{exception}?3")
        assert response.status_code == 500
        line = f"GET /raise/{exception} failed, request {response.headers['X-Request-ID']}"
        until(lambda line=line: line in probe.logs("app"), "the exception is logged")
    assert http.get("/unread/list").status_code == 200
    assert probe.workers() == workers


@pytest.mark.parametrize("what", ["text", "bytes", "none", "texts", "number"])
def test_wrong_body_is_500(what, probe, http):
    response = http.get(f"/return/{what}")
    assert response.status_code == 500
    assert response.json()["status"] == 500
    until(lambda: f"GET /return/{what} failed" in probe.logs("app"), "the exception is logged")


@pytest.mark.parametrize(
    "query",
    [
        f"Location={quote(chr(13) + chr(10))}Set-Cookie:+a=b",
        f"Location=/{quote(chr(10))}Set-Cookie:+a=b",
        f"X-Nul={quote(chr(0))}",
        f"X-Text={quote(chr(0x20AC))}",
        "X+Name=a",
        "Content-Length=six",
    ],
)
def test_header_that_cannot_be_sent_is_500(query, http):
    response = http.get(f"/answer/200?{query}")
    assert response.status_code == 500
    assert "Set-Cookie" not in response.headers


def test_exchange_over_a_second_nginx(probe):
    """An nginx of its own sees the same: nothing is due to a connection that is kept."""
    with edge(probe) as found, httpx.Client(base_url=found.url) as client:
        assert {client.put("/unread/list", content=bytes(300_000)).status_code for _ in range(REPEATS)} == {200}
