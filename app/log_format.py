"""The lines of the log: one JSON object each, or short coloured text for a terminal (LOG_FORMAT).

Nothing here runs during a request that logs nothing: the request's id is looked up when a record is written.
"""

import errno
import logging
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from inspect import currentframe
from types import FrameType, TracebackType
from typing import cast

from app.log_line import encode, printable, texts, timestamp
from app.settings import settings

LONGEST = 100_000  # bytes of a line; the socket accepts twice as many
CUT = 8_000  # characters that remain of the message and of the traceback in a longer one
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}  # ECMA-48, SGR


def handler() -> logging.Handler:
    """Return the handler that writes the records in LOG_FORMAT."""
    made: logging.Handler = logging.StreamHandler()
    if not is_json(settings().log_format):
        made.setFormatter(TextFormatter())
        return made
    if settings().log_socket:
        with suppress(OSError):  # a program that the application starts has the variable, and may not have the socket
            made = RecordHandler(settings().log_socket)
    made.setFormatter(JsonFormatter())
    return made


def is_json(chosen: str) -> bool:
    """Return whether the log has JSON lines, with this LOG_FORMAT. By default stderr decides."""
    return chosen != "text" and (chosen == "json" or not sys.stderr.isatty())


class RecordHandler(logging.Handler):
    """Sends each record in one piece. Lines of several workers in a pipe mix if they are longer than 4 kB (pipe(7))."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.socket = socket.socket(fileno=os.dup(number))
        if self.socket.type != socket.SOCK_SEQPACKET:
            self.socket.close()
            raise OSError(errno.EPROTOTYPE, "another file has the descriptor")

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record."""
        try:
            self.socket.send(self.format(record).encode())
        except Exception:  # noqa: BLE001 (as logging's own handlers)
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the traceback and the values of `extra` as fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        entry: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request_id():
            entry["request_id"] = identifier
        trace = "\n".join(part for part in (self.trace(record), record.stack_info) if part)
        if trace:
            entry["traceback"] = trace
        more = {key: value for key, value in vars(record).items() if key not in OWN and key not in entry}
        line = encode(entry | more)
        if len(line) > LONGEST:
            cut = {key: value[-CUT:] if key == "traceback" else value[:CUT] for key, value in texts(entry).items()}
            line = encode(cut)
        return line

    def trace(self, record: logging.LogRecord) -> str:
        """Return the traceback, or an empty string."""
        return self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


class TextFormatter(logging.Formatter):
    """Formats a record for a terminal: the time, the level in colour, the logger, the message and the request's id."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines. Text of a client cannot begin a line, or control the terminal."""
        lines = [record.getMessage()]
        if record.exc_info and record.exc_info[0]:
            lines.append(self.formatException(record.exc_info))
        if record.stack_info:
            lines.append(record.stack_info)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"\x1b[{COLOURS.get(record.levelname, '0')}m{record.levelname.lower()}\x1b[0m"
        text = printable("\n".join(lines))
        return f"{clock} {level} {printable(record.name)}: {text} \x1b[2m{request_id()}\x1b[0m"


def request_id() -> str:
    """Return the id of the request that this thread handles, or an empty string.

    Each handler and middleware has the request's environ as a local variable. To keep it elsewhere would cost time at
    each request.
    """
    frame: FrameType | None = currentframe()
    while frame:
        for environ in environs(frame.f_locals):
            if type(environ) is dict and (identifier := cast("dict[str, str]", environ).get("HTTP_X_REQUEST_ID")):
                return identifier
        frame = frame.f_back
    return ""


def environs(variables: dict[str, object]) -> tuple[object, object]:
    """Return what may be the request's environ among the local variables of a function, or in its object."""
    try:
        attributes: dict[str, object] = object.__getattribute__(variables.get("self"), "__dict__")
        return variables.get("environ"), attributes.get("environ")
    except Exception:  # noqa: BLE001 (an object may refuse, and then has no environ)
        return variables.get("environ"), None


def log_everything() -> None:
    """Send what Python itself would print to the log: warnings, and exceptions that nothing handles."""
    logging.captureWarnings(capture=True)
    sys.excepthook = uncaught
    sys.unraisablehook = lambda found: uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    threading.excepthook = lambda found: uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log an exception that nothing handles."""
    if kind is not SystemExit:  # it only ends a thread
        logging.getLogger("python").error("an exception was not handled", exc_info=(kind, error or kind(), trace))
