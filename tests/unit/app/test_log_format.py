"""The lines of the log: one JSON object or one short text for each record, whatever it contains."""

import json
import logging
import socket
import subprocess
import sys
import threading
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import log_format
from app.log_format import CUT, LONGEST, JsonFormatter, TextFormatter, is_json
from app.log_line import CONTROL
from app.settings import settings
from deploy.server.wsgi import serve
from tests.tree import ROOT

TEXTS = st.text(st.characters(), max_size=60)
FORGED = '\n{"time": "x", "level": "info", "logger": "forged", "message": "forged"}\n'
ENVIRON = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_REQUEST_ID": "the-id"}


def record(message, error=None, **more):
    """Return a record with this message; with `error`, the traceback of an exception with this text."""
    made = logging.makeLogRecord({"name": "app", "levelno": 20, "levelname": "INFO", "msg": "%s", "args": (message,)})
    if error is not None:
        try:
            raise ValueError(error)  # noqa: TRY301
        except ValueError:
            made.exc_info = sys.exc_info()
    vars(made).update(more)
    return made


def entry(*arguments, **more):
    line = JsonFormatter().format(record(*arguments, **more))
    assert len(line.splitlines()) == 1
    found = json.loads(line, parse_constant=pytest.fail)
    json.dumps(found, ensure_ascii=False).encode()  # fails for half of a pair of surrogates, as many parsers do
    return found


def whole_characters(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(TEXTS, TEXTS)
@example(FORGED, FORGED)
@example("\r\x85\u2028\ud800", "\0")
@example("\ud800\udc00 \udc00 \ud800\ud800\udc00 \\ud800 \\\ud800", "\ud800")
def test_record_is_one_json_object(message, error):
    found = entry(message, error)
    assert (found["message"], found["level"], found["logger"]) == (whole_characters(message), "info", "app")
    assert found["traceback"].endswith(f"ValueError: {whole_characters(error)}" if error else "ValueError")


@given(TEXTS, TEXTS)
@example(FORGED, FORGED)
@example("\x1b[2J\x9b\x7f\r\u202e\u2066", "\u2028")
def test_text_cannot_begin_a_line_or_control_the_terminal(message, error):
    first, *rest = TextFormatter().format(record(message, error)).split("\n")
    assert first.count("\x1b[") == 2
    assert all(line.startswith("    ") for line in rest)
    assert not CONTROL.search("".join((first, *rest)).replace("\x1b[", ""))
    assert not {"\x9b", "\u202e", "\u2066"} & {*first, *"".join(rest)}


def test_values_of_extra_are_fields_and_replace_no_other():
    found = entry("paid", user="ada", amount=3, time="forged", logger="forged")
    assert (found["user"], found["amount"], found["logger"]) == ("ada", 3, "app")
    assert found["time"] != "forged"


def test_value_that_json_lacks_is_text():
    endless = {}
    endless["self"] = endless
    assert entry("x", value=float("nan"))["value"] == "nan"
    assert entry("x", value={1, 2})["value"] == "{1, 2}"
    assert entry("x", value=endless)["value"] == "{'self': {...}}"


def test_long_line_is_cut_and_keeps_the_end_of_the_traceback():
    found = entry("é" * LONGEST, "x" * LONGEST + "the end", more="y" * LONGEST)
    assert found["message"] == "é" * CUT
    assert (len(found["traceback"]), found["traceback"][-7:]) == (CUT, "the end")
    assert "more" not in found


def test_stack_is_part_of_the_traceback():
    assert entry("x", stack_info="Stack (most recent call last):")["traceback"].startswith("Stack")
    assert "Stack" in TextFormatter().format(record("x", stack_info="Stack (most recent call last):"))


def serve_once(handler):
    """Run one request through the server's callable, and return the identifiers that the handler found."""
    found = []

    def observed(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return handler(found)

    response = serve(observed)(dict(ENVIRON), lambda *_: None)
    list(response)
    getattr(response, "close", lambda: None)()
    return found


def whole(found):
    found.append(entry("x")["request_id"])
    found.append(TextFormatter().format(record("x")).split()[-1].strip("\x1b[2m0"))
    return []


def generated(found):
    found.append(entry("x")["request_id"])
    yield b"x"
    found.append(entry("x")["request_id"])


@pytest.mark.parametrize("handler", [whole, generated])
def test_record_of_a_request_has_its_id(handler):
    assert serve_once(handler) == ["the-id", "the-id"]


def test_object_that_refuses_to_be_inspected_has_no_id():
    class Refusing:
        @property
        def __dict__(self):
            raise LookupError

        def log(self):
            return entry("x")

    assert "request_id" not in Refusing().log()


def test_no_line_of_the_log_runs_in_a_request_that_logs_nothing():
    files = {log_format.__file__, log_format.encode.__code__.co_filename, logging.__file__}
    seen = set()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code.co_filename))
    try:
        serve_once(lambda _: [b"x"])
        serve_once(lambda _: iter([b"x"]))
    finally:
        sys.setprofile(None)
    assert any(name.endswith("deploy/server/wsgi.py") for name in seen)
    assert not files & seen


@pytest.mark.parametrize(
    ("chosen", "is_terminal", "expected"),
    [("json", True, True), ("text", False, False), ("auto", True, False), ("auto", False, True), ("", False, True)],
)
def test_format_is_text_in_a_terminal_unless_chosen(chosen, is_terminal, expected, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    assert is_json(chosen) is expected


PRINTED = """
import sys, threading, warnings
from app.log import configure_logging
from app.log_format import log_everything
configure_logging()
log_everything()
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
ended = threading.Thread(target=sys.exit)
ended.start()
ended.join()
class Unraisable:
    def __del__(self):
        raise LookupError("in a destructor")
Unraisable()
raise ValueError("at the end")
"""


def run(**environ):
    line = [sys.executable, "-W", "default", "-c", PRINTED]
    return subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False).stderr


def test_warnings_and_unhandled_exceptions_are_records():
    found = [json.loads(line) for line in run(LOG_FORMAT="json").splitlines()]
    assert [each["logger"] for each in found] == ["py.warnings", "python", "python", "python"]
    assert [each["level"] for each in found] == ["warning", "error", "error", "error"]
    assert "a warning" in found[0]["message"]
    last = [each["traceback"].splitlines()[-1] for each in found[1:]]
    assert last == ["ZeroDivisionError: division by zero", "LookupError: in a destructor", "ValueError: at the end"]


def test_text_has_the_same_records():
    found = [line for line in run(LOG_FORMAT="text").splitlines() if not line.startswith(" ")]
    assert len(found) == 4
    assert "\x1b[33mwarning\x1b[0m py.warnings: " in found[0]


def test_records_go_to_the_socket_that_the_launcher_names(monkeypatch):
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_SOCKET", str(sender.fileno()))
    settings.cache_clear()
    try:
        handler = log_format.handler()
        handler.emit(record("to the socket"))
        assert json.loads(receiver.recv(1000))["message"] == "to the socket"
        receiver.close()
        monkeypatch.setattr(handler, "handleError", lambda failed: failed.__setattr__("msg", "not sent"))
        lost = record("lost")
        handler.emit(lost)
        assert lost.msg == "not sent"
    finally:
        settings.cache_clear()
        handler.socket.close()
        sender.close()


def test_program_whose_socket_is_another_one_logs_to_stderr(monkeypatch, capsys):
    receiver, sender = socket.socketpair()
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_SOCKET", str(sender.fileno()))
    settings.cache_clear()
    with receiver, sender:
        try:
            log_format.handler().emit(record("to stderr"))
        finally:
            settings.cache_clear()
        sender.close()
        assert receiver.recv(1000) == b""
    assert json.loads(capsys.readouterr().err)["message"] == "to stderr"


@pytest.mark.parametrize(("chosen", "formatter"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_format_of_the_handler_is_the_setting(chosen, formatter, monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", chosen)
    settings.cache_clear()
    try:
        assert type(log_format.handler().formatter) is formatter
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_what_nothing_handles_is_logged(monkeypatch, caplog):
    for owner, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    log_format.log_everything()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)  # catch_warnings has put back what log_everything() replaced
            warnings.warn("careful", stacklevel=1)

        def fail(error):
            raise error

        for error in (LookupError("lost"), SystemExit()):
            thread = threading.Thread(target=fail, args=(error,))
            thread.start()
            thread.join()
        sys.excepthook(ValueError, ValueError("main"), None)
    finally:
        logging.captureWarnings(capture=False)
    assert "careful" in caplog.text
    assert [each.exc_info[0] for each in caplog.records if each.name == "python"] == [LookupError, ValueError]
