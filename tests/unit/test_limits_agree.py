"""Each limit is the documented one in nginx, in both servers and in Compose. deploy/doctor compares further pairs."""

import re

import pytest

from app.settings import Settings
from deploy.doctor.configuration import seconds, size, tmpfs
from deploy.server import live
from tests.unit.configuration import control, directives, gunicorn, nginx, readme, services, uwsgi

table = readme.partition("| Limit |")[2].partition("\n\n")[0]
documented = dict(re.findall(r"^\| ([^|`]+) \| ([^|]+) \|", table, re.MULTILINE))
BUFFER = directives["nginx large_client_header_buffers"]
HEADER = directives["largest request header"]
# The documented name of a limit, and the values that must be equal to it.
SAME = {
    "the request line": [BUFFER],
    "one header field": [BUFFER],
    "all header fields": [HEADER],
    "the time for the whole header": [directives["nginx client_header_timeout"]],
    "between two pieces of the body": [directives["nginx client_body_timeout"]],
    "between two pieces of the answer that the client takes": [directives["nginx send_timeout"]],
    "until the app answers, and between two pieces of what it answers": [
        directives["nginx proxy_read_timeout"],
        directives["nginx proxy_send_timeout"],
        gunicorn["timeout"],
        gunicorn["graceful_timeout"],
        int(uwsgi["worker-reload-mercy"]),
        live.ANSWER_SECONDS,
    ],
    "requests that wait for a thread of the app": [gunicorn["backlog"], int(uwsgi["listen"])],
    "an idle connection of a client": [directives["nginx keepalive_timeout"]],
    "requests on one connection": [directives["nginx keepalive_requests"]],
    "connections at a time, those to the app included": [directives["nginx worker_connections"]],
    "bodies and answers on their way, in nginx's container": [dict(tmpfs(services["nginx"]))["/run/nginx"]],
}


@pytest.mark.parametrize("limit", SAME)
def test_limit_is_the_documented_one_everywhere(limit):
    read = size if documented[limit].endswith("B") else seconds
    assert set(SAME[limit]) == {read(documented[limit])}


def test_every_limit_is_documented():
    assert documented.keys() == SAME.keys() | {"the body", "methods", "requests of one client", "---"}


def test_largest_body_is_one_setting_with_one_default():
    assert documented["the body"] == "`MAX_BODY_BYTES`, 1 MiB"
    default = re.findall(r"\$\{MAX_BODY_BYTES:-(\d+)\}", control)
    assert default == [str(Settings().max_body_bytes)] == [str(1024**2)]
    assert 'echo "client_max_body_size $max_body_bytes;"' in control
    assert all("MAX_BODY_BYTES" in services[name]["environment"] for name in ("nginx", "app"))


def test_methods_are_those_that_nginx_accepts_and_names():
    [allowed] = re.findall(r"if \(\$request_method !~ \"\^\(\?:(.+?)\)\$\"\) \{\s*return 405;", nginx)
    [named] = re.findall(r"map \$request_uri \$methods \{\s*default \"(.+?)\";", nginx)
    assert allowed.split("|") == named.split(", ") == documented["methods"].split(", ")


def test_gunicorn_accepts_what_nginx_accepts_over_http_2():
    assert gunicorn["limit_request_line"] == 0
    assert gunicorn["limit_request_field_size"] >= BUFFER * 8 / 5  # HPACK's shortest code has 5 bits (RFC 7541, B)
