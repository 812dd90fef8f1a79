"""Each limit is what docs/settings.md says it is, in nginx, in both servers and in docker-compose.yml."""

import re

import pytest

from app.settings import Settings
from deploy.server import live, response_check
from tests.unit.configuration import control, directive, gunicorn, nginx, number, services, uwsgi
from tests.unit.documentation import table

documented = table("limits")


BUFFERS, BUFFER = (number(text) for text in directive("large_client_header_buffers").split())
# What docs/settings.md calls it, and what each program has that is to be the same.
SAME = {
    "request line": [BUFFER],
    "one request header field": [BUFFER],
    "all request header fields": [BUFFERS * BUFFER],
    "one response header field": [response_check.FIELD_SIZE],
    "all response header fields": [response_check.HEADERS_SIZE],
    "part of a response that waits on disk for its client": [directive("proxy_max_temp_file_size")],
    "time to receive all header fields": [directive("client_header_timeout")],
    "time between two parts of the body": [directive("client_body_timeout")],
    "time in which the client reads nothing": [directive("send_timeout")],
    "time until the app answers, and between two parts of its response": [
        directive("proxy_read_timeout"),
        directive("proxy_send_timeout"),
        gunicorn["timeout"],
        gunicorn["graceful_timeout"],
        uwsgi["worker-reload-mercy"],
        live.ANSWER_SECONDS,
    ],
    "requests that wait for a thread of the app": [gunicorn["backlog"], uwsgi["listen"]],
    "idle connection of a client": [directive("keepalive_timeout")],
    "requests per connection": [directive("keepalive_requests")],
    "connections per nginx worker, those to the app included": [directive("worker_connections")],
}


@pytest.mark.parametrize("limit", SAME)
def test_limit_is_the_documented_one_everywhere(limit):
    assert {number(value) for value in SAME[limit]} == {number(documented[limit])}


def test_nginx_takes_every_response_header_that_the_app_may_send():
    assert number(directive("proxy_buffer_size")) >= response_check.HEADERS_SIZE + 2048


def test_every_limit_is_documented():
    assert documented.keys() == SAME.keys() | {"request body", "methods", "requests of one client"}


def test_the_largest_body_is_one_setting_with_one_default():
    assert documented["request body"] == "`MAX_BODY_BYTES`, 1 MiB"
    default = re.findall(r"\$\{MAX_BODY_BYTES:-(\d+)\}", control)
    assert default == [str(Settings().max_body_bytes)] == [str(number("1 MiB"))]
    assert 'echo "client_max_body_size $max_body_bytes;"' in control
    assert all("MAX_BODY_BYTES" in services[name]["environment"] for name in ("nginx", "app"))


def test_the_methods_are_those_that_nginx_lets_through_and_names():
    [allowed] = re.findall(r"if \(\$request_method !~ \"\^\(\?:(.+?)\)\$\"\) \{\s*return 405;", nginx)
    [named] = re.findall(r"map \$request_uri \$methods \{\s*default \"(.+?)\";", nginx)
    assert allowed.split("|") == named.split(", ") == documented["methods"].split(", ")


def test_gunicorn_takes_what_nginx_lets_through_over_http_2_as_well():
    assert gunicorn["limit_request_line"] == 0
    assert gunicorn["limit_request_field_size"] >= BUFFER * 8 / 5  # HPACK's shortest code has 5 bits (RFC 7541, B)


def test_what_nginx_lets_through_fits_into_uwsgis_buffer_with_what_is_added():
    assert int(uwsgi["buffer-size"]) >= BUFFERS * BUFFER + 4096
    assert int(uwsgi["max-vars"]) > gunicorn["limit_request_fields"]


def test_who_waits_for_a_request_waits_longer_than_it_may_take():
    request = number(directive("proxy_read_timeout"))
    assert number(services["app"]["stop_grace_period"]) > request
    assert number(services["app"]["healthcheck"]["timeout"]) > request
    assert number(services["nginx"]["stop_grace_period"]) > number(directive("worker_shutdown_timeout")) > request


def test_a_connection_to_the_app_and_one_to_the_client_have_files_enough():
    assert number(directive("worker_rlimit_nofile")) >= 2 * number(directive("worker_connections"))
