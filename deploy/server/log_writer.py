"""Writes the log of a container as JSON lines (LOG_FORMAT=json), whatever its processes print.

    python -S -m deploy.server.log_writer    write the log of the server of `make local`, until that has ended

The application's records arrive on a socket, each as one JSON object (app/log_format.py). All other output of the
processes arrives on a pipe: the messages of the launcher and of uWSGI, print(), tracebacks of a crash. This module
writes each of its lines as a JSON object, and a traceback as one. So no text can pass for a record of the application.

The launcher starts the writer in a thread. When it becomes another program, which keeps the pipe and the socket,
that program continues: drain.py, the first process of a container, or without a container a process of its own.
"""

import os
import re
import signal
import socket
import sys
import time
from select import select
from threading import Thread

from app.log_line import encode, timestamp

DESCRIPTORS = "LOG_DESCRIPTORS"  # the environment variable with the numbers of Writer's files
RECORDS = "LOG_SOCKET"  # the variable with the number of the socket to which the application sends records
BLOCK = 65_536  # bytes of a line, after which it is divided
RECORD = 262_144  # bytes of a record: more than the kernel accepts
END = b"\0"  # a record with which this module ends a writer
WAIT_SECONDS = 0.1  # for the rest of a traceback
END_SECONDS = 2.0  # for the last lines
LINES = 4000  # of a traceback
# Python begins a traceback with one of these. An indented or empty line continues it, and one further line ends it.
TRACEBACK = re.compile(r"(Traceback|Fatal Python error|Exception |Thread 0x|Current thread|\*\*\* backtrace|!!! )")


class Writer:
    """The pipe, the socket, and the thread that writes their content to the log."""

    def __init__(self, log: int, output: int, records: int) -> None:
        self.log = log
        self.output, self.records = output, records
        self.logger = os.environ.get("BACKEND") or "server"
        self.rest = b""  # of a line whose end has not arrived
        self.held: list[str] = []  # the lines of a traceback so far
        self.is_last = False  # whether the next line that is not indented belongs to it
        self.thread = Thread(target=self.run, daemon=True)

    def start(self) -> None:
        """Start to write. Signals remain with the main thread."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        """Write until all processes that could send have ended."""
        sources = {self.output, self.records}
        while sources:
            ready, _, _ = select(sources, [], [], WAIT_SECONDS if self.held or self.rest else None)
            if not ready:
                self.flush()
            if self.records in ready:
                record = os.read(self.records, RECORD)
                if record == END:
                    self.rest_of_output()
                    return
                if record:
                    self.write(record + b"\n")
                else:
                    sources.remove(self.records)
            if self.output in ready:
                if block := os.read(self.output, BLOCK):
                    self.divide(block)
                else:
                    sources.remove(self.output)
        self.flush()

    def rest_of_output(self) -> None:
        """Write what has arrived, and no more."""
        while select([self.output], [], [], 0)[0] and (block := os.read(self.output, BLOCK)):
            self.divide(block)
        self.flush()

    def divide(self, block: bytes) -> None:
        """Take the lines of a part of the output."""
        *lines, self.rest = (self.rest + block).split(b"\n")
        for line in lines:
            self.take(line.decode(errors="backslashreplace").rstrip("\r"))
        if len(self.rest) >= BLOCK:
            self.flush()

    def take(self, line: str) -> None:
        """Write a line of the output, or keep it as part of a traceback."""
        if self.held and (not line or line[0].isspace()) and len(self.held) < LINES:
            self.held.append(line)
        elif self.held and self.is_last:
            self.held.append(line)
            self.put()
        else:
            self.put()
            if TRACEBACK.match(line):
                self.is_last = line.startswith("Traceback")
                self.held.append(line)
            elif line.strip():
                self.entry("info", line)

    def put(self) -> None:
        """Write the traceback that is held, if there is one."""
        if self.held:
            self.entry("error", "\n".join(self.held).rstrip())
            self.held = []

    def flush(self) -> None:
        """Write what is held, although more of it may follow."""
        line, self.rest = self.rest, b""
        if line:
            self.take(line.decode(errors="backslashreplace"))
        self.put()

    def entry(self, level: str, message: str) -> None:
        """Write an entry of the log."""
        entry: dict[str, object] = {"time": timestamp(time.time()), "level": level, "logger": self.logger}
        self.write(encode(entry | {"message": message}).encode() + b"\n")

    def write(self, line: bytes) -> None:
        """Write to the log. Without a reader the line is lost, and the server goes on."""
        while line:
            try:
                line = line[os.write(self.log, line) :]
            except OSError:
                return


current: Writer | None = None  # this process's


def begin() -> None:
    """Send this process's output, and that of all programs that it becomes or starts, through a writer; start it."""
    output, into = os.pipe()
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    log = os.dup(2)
    for number in (1, 2):
        os.dup2(into, number)
    os.close(into)
    os.environ[RECORDS] = str(sender.detach())
    os.environ[DESCRIPTORS] = f"{log} {output} {receiver.detach()}"
    start()


def start() -> None:
    """Start the writer with the files that the environment names, if there are any."""
    global current  # noqa: PLW0603 (a process has one log)
    if DESCRIPTORS in os.environ:
        let_inherit(is_inherited=False)
        current = Writer(*map(int, os.environ[DESCRIPTORS].split()))
        current.start()


def finish() -> None:
    """Write all that has arrived, and end the writer, if there is one."""
    if current:
        os.write(int(os.environ[RECORDS]), END)
        current.thread.join(END_SECONDS)


def hand_over(*, is_server: bool) -> None:
    """End the writer, if there is one, because this process becomes another program.

    That program calls start(). A server cannot, and it knows all of its children: so another process writes its log.
    """
    if not current:
        return
    finish()
    let_inherit(is_inherited=True)
    os.set_inheritable(int(os.environ[RECORDS]), True)  # noqa: FBT003 (a function of os)
    if is_server:
        line = [sys.executable, "-S", "-m", "deploy.server.log_writer"]
        os.waitpid(os.posix_spawn(line[0], line, os.environ), 0)
        let_inherit(is_inherited=False)


def let_inherit(*, is_inherited: bool) -> None:
    """Let the programs that this process becomes or starts have the files of the writer, or not."""
    for number in os.environ[DESCRIPTORS].split():
        os.set_inheritable(int(number), is_inherited)


def main() -> None:
    """Write the log in a process whose parent has ended, until all processes that could send have ended."""
    if os.fork():
        return
    os.setsid()  # a terminal sends its signals to the server
    writer = Writer(*map(int, os.environ[DESCRIPTORS].split()))
    for number in (1, 2):  # otherwise this process could send, too
        os.dup2(writer.log, number)
    os.close(int(os.environ[RECORDS]))
    writer.run()


if __name__ == "__main__":
    main()
