"""Each limit has its documented value in nginx, both servers and Compose. deploy/doctor compares further pairs."""

import re

import pytest

from app.settings import Settings
from deploy.doctor.configuration import seconds, size
from deploy.server import live, response_check
from tests.unit.configuration import (
    control,
    directives,
    gunicorn,  # only with gunicorn
    nginx,
    services,
    uwsgi,  # only with uwsgi
)
from tests.unit.documentation import table

documented = table("limits")  # empty in a fork that has removed the page
BUFFER = directives["nginx large_client_header_buffers"]
HEADER = directives["largest request header"]
# The documented name of a limit, and the values that must be equal to it.
SAME = {
    "request line": [BUFFER],
    "one request header field": [BUFFER],
    "all request header fields": [HEADER],
    "one response header field": [response_check.FIELD_SIZE],
    "all response header fields": [response_check.HEADERS_SIZE],
    "part of a response that waits on disk for its client": [directives["nginx proxy_max_temp_file_size"]],
    "time to receive all header fields": [directives["nginx client_header_timeout"]],
    "time between two parts of the body": [directives["nginx client_body_timeout"]],
    "time in which the client reads nothing": [directives["nginx send_timeout"]],
    "time until the app answers, and between two parts of its response": [
        directives["nginx proxy_read_timeout"],
        directives["nginx proxy_send_timeout"],
        gunicorn["timeout"],  # only with gunicorn
        gunicorn["graceful_timeout"],  # only with gunicorn
        int(uwsgi["worker-reload-mercy"]),  # only with uwsgi
        live.ANSWER_SECONDS,
    ],
    "requests that wait for a thread of the app": [
        gunicorn["backlog"],  # only with gunicorn
        int(uwsgi["listen"]),  # only with uwsgi
    ],
    "idle connection of a client": [directives["nginx keepalive_timeout"]],
    "requests per connection": [directives["nginx keepalive_requests"]],
    "connections per nginx worker, including those to the app": [directives["nginx worker_connections"]],
}


@pytest.mark.parametrize("limit", SAME)
def test_limit_is_the_documented_one_everywhere(limit):
    assert len(set(SAME[limit])) == 1
    if documented:
        read = size if documented[limit].endswith("B") else seconds
        assert set(SAME[limit]) == {read(documented[limit])}


def test_nginx_accepts_every_response_header_that_the_app_may_send():
    assert directives["nginx proxy_buffer_size"] >= response_check.HEADERS_SIZE + 2048


def test_every_limit_is_documented():
    assert not documented or documented.keys() == SAME.keys() | {"request body", "methods", "requests of one client"}


def test_largest_body_is_one_setting_with_one_default():
    assert documented.get("request body") in (None, "`MAX_BODY_BYTES`, 1 MiB")
    default = re.findall(r"\$\{MAX_BODY_BYTES:-(\d+)\}", control)
    assert default == [str(Settings().max_body_bytes)] == [str(1024**2)]
    assert 'echo "client_max_body_size $max_body_bytes;"' in control
    assert all("MAX_BODY_BYTES" in services[name]["environment"] for name in ("nginx", "app"))


def test_methods_are_documented():
    [named] = re.findall(r"map \$request_method \$is_known_method \{(.+?)\}", nginx, re.DOTALL)
    assert documented.get("methods") in (None, ", ".join(re.findall(r"(\w+) 1;", named)))


# begin gunicorn
def test_gunicorn_accepts_what_nginx_accepts_over_http_2():
    assert gunicorn["limit_request_line"] == 0
    assert gunicorn["limit_request_field_size"] >= BUFFER * 8 / 5  # HPACK's shortest code has 5 bits (RFC 7541, B)


# end gunicorn
