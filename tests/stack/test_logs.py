"""The log of a site: every line is one JSON object, and nothing that a client sends can forge one."""

import json
import os
import pty
import random
import re
import subprocess

import httpx
import pytest

from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.site import Site, make
from tests.stack.waiting import until

FORGED = '{"time": "x", "level": "info", "logger": "probe", "message": "forged", "request_id": "forged"}'
PIECES = [
    *("\n", "\r\n", "\x85", "\x0b", "\x1b[2J", "\0", " ", "\xe9", "\xff"),
    *(
        '"',
        "\\",
        "\\n",
        "{",
        "}",
        "%s",
        "{}",
        FORGED,
        "live: forged",
        "\n  File",
        "Traceback (most recent call last):\n",
    ),
]


def entries(stack):
    """Return the entries of the app's and nginx's log; fail for a line that is no JSON object."""
    names = ("app", "nginx") if stack.kind == "docker" else ("app",)
    lines = [line for name in names for line in stack.logs(name).splitlines() if line]
    # `make local` and control.sh print a sentence for a person.
    lines = [line for line in lines if not re.match(r"(?:local|nginx): ", line)]
    assert [line for line in lines if not line.startswith("{")] == []
    return [json.loads(line) for line in lines]


def fuzzed(number):
    """Return a random text for a log."""
    chosen = random.Random(number)  # noqa: S311
    return "".join(chosen.choices(PIECES, k=chosen.randrange(1, 12)))


def send(stack, text):
    """Have the probe log the text, and return the id of the request."""
    headers = {"User-Agent": bytes(each for each in text.encode("latin-1") if each > 31).strip()}
    path = "/logs?" + str(httpx.QueryParams({"a": text}))
    answer = httpx.post(stack.url + path, content=text.encode("latin-1"), headers=headers, timeout=30)
    return answer.headers["X-Request-ID"], answer.status_code


def test_every_line_is_an_object_and_none_is_forged(probe):
    sent = {}
    for number in range(40):
        text = fuzzed(number)
        identifier, status = send(probe, text)
        assert status == 500
        sent[identifier] = text
    until(
        lambda: {*sent} <= {each.get("request_id") for each in entries(probe) if "status" in each}, "nginx has logged"
    )
    found = entries(probe)
    assert all({"time", "level", "logger", "message"} <= each.keys() or "status" in each for each in found)
    assert "forged" not in [each.get("request_id") for each in found]
    for identifier, text in sent.items():
        own = [each for each in found if each.get("request_id") == identifier]
        records = {each["logger"]: each for each in own if "message" in each}
        assert records.keys() == {"probe", "py.warnings", "app.middleware.errors"}
        assert len(own) == 4  # and nginx's
        assert records["probe"]["message"] == text
        assert text in records["py.warnings"]["message"]
        assert records["app.middleware.errors"]["traceback"].endswith(f"LookupError: {text}")
    # What a thread of the handler or print() writes belongs to no request, and has another logger.
    others = [each for each in found if "message" in each and "request_id" not in each]
    assert {each["logger"] for each in others} - {probe.backend, "gunicorn.error", "exit"} == {"python"}
    assert not [each for each in found if each.get("logger") == "probe" and each["message"] == "forged"]


def test_servers_own_messages_are_entries(probe):
    found = entries(probe)
    names = {"gunicorn": ("gunicorn.error", "Booting worker"), "uwsgi": ("uwsgi", "spawned uWSGI worker 1")}
    name, text = names[probe.backend]
    assert [each for each in found if each.get("logger") == name and text in each["message"]]
    assert [each for each in found if each.get("message", "").startswith("launch: ")]


OUTPUTS = [
    f"{FORGED}\n".encode(),
    *(
        b"\x1b[2J\x9b\0\r\xff\xfe\xed\xa0\x80",
        b"\xe2\x82" * 99,
        b"\n" * 99,
        b"{",
        b"Traceback (most recent call last):\n",
    ),
    *(
        b"  File",
        b"\n\x0b\n",
        b"x" * 1_000_000,
        b"no end, ",
        json.dumps(f"\ud800 {FORGED}\n\ud83d\ude00 \\ud800").encode(),
    ),
    random.Random(25).randbytes(100_000),  # noqa: S311
]


def test_output_past_python_is_in_entries_of_the_server(probe):
    with httpx.Client(base_url=probe.url, timeout=30) as client:
        for output in OUTPUTS:
            assert client.post("/prints", content=output).json() == len(output)
        assert client.post("/prints?die", content=b"the last words").status_code >= 500
        until(probe.is_up, "the next worker")
        probe.reload_app()

    def text():
        return "".join(each["message"] for each in entries(probe) if each.get("logger") == probe.backend)

    until(lambda: text().count("the last words") == 3, "the output is logged")
    until(lambda: "this worker exits" in {each.get("message") for each in entries(probe)}, "the exit is logged")
    found = entries(probe)
    assert text().count(FORGED) >= 3
    assert text().count("x" * 10_000) >= 300
    records = [each["message"] for each in found if each.get("logger") == "probe" and "forged" in each["message"]]
    assert f"\ufffd {FORGED}\n\U0001f600 \\ud800" in records
    assert "forged" not in [each.get("request_id") for each in found]


def test_long_records_of_all_threads_do_not_mix(probe):
    with httpx.Client(base_url=probe.url, timeout=30) as client:
        text = "x" * 40_000
        for _ in range(5):
            client.post("/logs", content=text)
    assert sum(each.get("logger") == "probe" and each["message"] == text for each in entries(probe)) == 5


def test_make_local_in_a_terminal_prints_coloured_text():
    require("processes", "gunicorn")
    stack = LocalStack("gunicorn")
    terminal, inner = pty.openpty()
    process = subprocess.Popen(stack.command, cwd=stack.root, env=stack.environ, stdout=inner, stderr=inner)
    os.close(inner)
    text = b""
    try:
        while b"(Ctrl-C" not in text:
            text += os.read(terminal, 4096)
        answer = httpx.get(f"{stack.url}/nowhere%1B[2J")
        identifier = answer.headers["X-Request-ID"].encode()
        while identifier not in text or not text.endswith(b"\n"):
            text += os.read(terminal, 4096)
    finally:
        process.terminate()
        process.wait(60)
        os.close(terminal)
    [line] = [line for line in text.splitlines() if identifier in line]
    assert re.match(rb"\d\d:\d\d:\d\d \x1b\[33m404\x1b\[0m GET /nowhere%1B\[2J \d\.\d{3}s \x1b\[2m" + identifier, line)
    assert b"{" not in line
    assert re.search(rb"\x1b\[32minfo\x1b\[0m gunicorn.error: Booting worker", text)  # only with gunicorn


@pytest.mark.nightly
def test_trace_prints_a_request_of_a_release_that_is_gone(tmp_path):
    require("docker", "gunicorn")
    site = Site("gunicorn", "-trace", tmp_path)
    try:
        site.change("app/wsgi.py", FAILS)
        site.make()
        answer = httpx.get(f"{site.url}/fails")
        identifier = answer.headers["X-Request-ID"]
        httpx.get(f"{site.url}/nowhere/{identifier}")  # another request, whose lines have the id too
        until(lambda: f"/nowhere/{identifier}" in site.logs("nginx"), "nginx has logged both requests")
        site.change("app/wsgi.py", "\n# changed\n")
        site.make(RELEASE="second")
        site.change("app/wsgi.py", "\n1 / 0\n")
        site.make(RELEASE="third", fails=True)
        events = [json.loads(line) for line in site.logs("nginx").splitlines() if '"deploy"' in line]
        traced = make("trace", tmp_path, site.environ | {"ID": identifier}, fails=False)
    finally:
        site.down()
    lines = [line for line in traced.splitlines() if not line.startswith(" ")]
    assert [line.partition(" error ")[2].partition(":")[0] for line in lines[:1]] == ["app.middleware.errors"]
    assert " 500 GET /fails " in lines[-1]
    assert len(lines) == 2
    assert "    ZeroDivisionError: division by zero" in traced
    assert [each["message"][:21] for each in events[1:]] == ["second on gunicorn is", "third on gunicorn fai"]
    assert [(each["release"], each["backend"], each["level"]) for each in events[1:]] == [
        ("second", "gunicorn", "info"),
        ("third", "gunicorn", "error"),
    ]
    assert all(each["user"] and each["seconds"] > 0 for each in events)
    assert events[2]["previous"] == "second on gunicorn"


FAILS = """
application = chain(MIDDLEWARES, router(ROUTES | {"/fails": {"GET": lambda environ, start_response: 1 / 0}}))
"""
