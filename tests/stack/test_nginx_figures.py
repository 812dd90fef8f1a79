"""nginx's own figures, inside only, and its connections that wait for the app."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.scraping import scrape
from tests.stack.waiting import until


def test_figures_of_nginx_are_not_outside(probe):
    with edge(probe, NGINX_STATUS="on", NGINX_TLS="on") as secure:
        for path in ("/nginx-status", "/nginx-status?", "//nginx-status", "/static/../nginx-status", "/%6eginx-status"):
            for url in (probe.url, secure.url):
                assert httpx.get(url + path).status_code in (400, 404)
            sent = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            status = secure.ask(sent.encode(), "HTTP/1.1").split()[1]
            assert status in (b"400", b"404")


@pytest.mark.kind("processes")
@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("tls", ["off", "on"])
def test_figures_of_nginx_are_at_a_socket(tls, probe):
    with (
        edge(probe, NGINX_STATUS="on", NGINX_TLS=tls, CLIENT_REQUESTS="1") as nginx,
        httpx.Client(transport=httpx.HTTPTransport(uds=f"{nginx.prefix}/status/nginx.sock")) as inside,
    ):
        for _ in range(5):  # the limit is for each client
            httpx.get(f"{nginx.url}/nginx-health")
        found = inside.get("http://nginx/nginx-status").text
        assert int(found.split()[9]) >= 6, found  # accepts, handled, requests
        time.sleep(1.5)  # nginx writes its log within a second
        assert "/nginx-status" not in nginx.logs()


def test_connections_of_nginx_that_wait_are_counted(probe):
    threads = int(scrape(probe)["wsgi_threads",])
    with ThreadPoolExecutor(threads + 8) as pool:
        sent = [pool.submit(httpx.get, f"{probe.url}/think/1.5", timeout=30) for _ in range(threads + 8)]
        # uWSGI's first process may accept one more than it has threads.
        until(lambda: scrape(probe)["wsgi_listen_queue",] >= 5, "the others wait", 5)
    assert {each.result().status_code for each in sent} == {200}
