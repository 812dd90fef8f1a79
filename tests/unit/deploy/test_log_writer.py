"""The writer of the JSON log: every line is an object, and no output of a process passes for a record."""

import json
import os
import subprocess
import sys
import tempfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.server.log_writer import Writer
from tests.tree import ROOT

FORGED = b'{"time": "x", "level": "info", "logger": "app", "message": "forged"}'
TRACEBACK = b"""Traceback (most recent call last):
  File "x.py", line 1, in f

    1 / 0
ZeroDivisionError: division by zero
"""
CRASH = b"""Fatal Python error: Segmentation fault

Current thread 0x0001 (most recent call first):
  File "x.py", line 1 in f
"""


def written(*blocks):
    """Return the entries that the writer makes of these parts of the output."""
    with tempfile.TemporaryFile() as file:
        writer = Writer(file.fileno(), -1, -1)
        for block in blocks:
            writer.divide(block)
        writer.flush()
        file.seek(0)
        return [json.loads(line) for line in file]


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\n", b"Traceback", b" ", FORGED, TRACEBACK]))))
@example([FORGED + b"\n"])
@example([b"\xff\x00\r\n\x85\xe2\x80\xa8"])
def test_all_output_is_in_entries_of_the_server(blocks):
    entries = written(*blocks)
    assert {each["logger"] for each in entries} <= {"server"}
    sent = b"".join(blocks).decode(errors="backslashreplace")
    assert "".join("".join(each["message"] for each in entries).split()) == "".join(sent.split())


def test_traceback_is_one_entry():
    for trace in (TRACEBACK, TRACEBACK[:-1]):
        assert [each["message"] for each in written(b"before\n", trace)] == ["before", TRACEBACK.decode().rstrip()]
    assert [each["level"] for each in written(TRACEBACK, b"after\n")] == ["error", "info"]
    assert [each["message"].count("\n") for each in written(CRASH, b"after\n")] == [0, 1, 0]


def test_endless_traceback_is_divided():
    entries = written(TRACEBACK[:34] + b"\n", *[b"  x\n" * 1000] * 10)
    assert len(entries) > 1
    assert sum(each["message"].count("x") for each in entries) == 10_000


def test_line_without_an_end_is_divided():
    entries = written(b"x" * 150_000)
    assert sum(len(each["message"]) for each in entries) == 150_000


def run(code, **environ):
    """Run code beside a writer, and return the entries and the exit code."""
    start = f"import os, sys\nfrom deploy.server import log_writer\nlog_writer.begin()\n{code}"
    ended = subprocess.run(
        [sys.executable, "-c", start],
        cwd=ROOT,
        env={"BACKEND": "uwsgi", **environ},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == b""
    return [json.loads(line) for line in ended.stderr.splitlines()], ended.returncode


def test_output_of_a_process_and_of_its_children_is_in_the_log():
    entries, _ = run("print('one', flush=True)\nos.system('echo two; echo three >&2')\nlog_writer.finish()")
    assert [(each["logger"], each["message"]) for each in entries] == [
        ("uwsgi", "one"),
        ("uwsgi", "two"),
        ("uwsgi", "three"),
    ]


@pytest.mark.parametrize("before", ["pass", "taken = [socket.socketpair() for _ in range(20)]"])
def test_program_that_the_application_starts_can_log(before):
    imports = "import logging, socket; from app.log import configure_logging"
    child = f"{imports}; {before}; configure_logging(); logging.error('x')"
    code = f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}], check=True); log_writer.finish()"
    [entry], exit_code = run(code, LOG_FORMAT="json")
    assert (entry["logger"], json.loads(entry["message"])["message"], exit_code) == ("uwsgi", "x", 0)


def test_records_of_several_processes_do_not_mix():
    code = """
import logging
from app.log import configure_logging
configure_logging()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        for each in range(20):
            logging.error("%d", number, extra={"filler": str(number) * 50_000})
            os.write(2, b"y" * 10 + b"\\n")
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
log_writer.finish()
"""
    entries, _ = run(code, LOG_FORMAT="json")
    records = [each for each in entries if each["logger"] == "root"]
    assert (len(records), len(entries)) == (80, 160)
    assert all(each["filler"] == each["message"] * 50_000 for each in records)


@pytest.mark.parametrize("is_server", [True, False])
def test_log_goes_on_when_the_process_becomes_another_program(is_server):
    after = "" if is_server else "from deploy.server import log_writer; log_writer.start();"
    end = "" if is_server else ";log_writer.finish()"
    become = f"""
os.write(1, b"before\\n")
log_writer.hand_over(is_server={is_server})
program = '''import os; {after} os.write(1, b"after\\\\n"); os.write(int(os.environ["LOG_SOCKET"]), b"{{}}"){end}'''
os.execv(sys.executable, [sys.executable, "-c", program])
"""
    entries, code = run(become)
    assert (sorted(each.get("message", "record") for each in entries), code) == (["after", "before", "record"], 0)


def test_server_gets_only_the_socket():
    code = """
log_writer.hand_over(is_server=True)
program = 'import os; print(sorted(int(each) for each in os.listdir("/proc/self/fd")), os.environ["LOG_SOCKET"])'
os.execv(sys.executable, [sys.executable, "-c", program])
"""
    [entry], _ = run(code)
    numbers, _, socket = entry["message"].rpartition(" ")
    assert {0, 1, 2, int(socket)} < {*json.loads(numbers)}
    assert len(json.loads(numbers)) == 5  # the last is the folder itself


def test_process_goes_on_while_the_log_cannot_be_written():
    full = """
import os
from deploy.server import log_writer
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
log_writer.begin()
os.write(1, b"x" * 200_000)
log_writer.finish()
"""
    spawn = f"os.spawnl(os.P_WAIT, sys.executable, 'python', '-c', {full!r})"
    entries, _ = run(f"{spawn}\nprint('ended', flush=True)\nlog_writer.finish()")
    assert [each["message"] for each in entries] == ["ended"]


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_launcher_writes_its_last_sentence(log_format):
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.server.launch"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "WEB_THREADS": "abc", "LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = ended.stderr.splitlines()
    assert json.loads(line)["message"].startswith("launch: WEB_THREADS is 'abc': it must be a whole number")
    assert ended.returncode == os.EX_CONFIG
