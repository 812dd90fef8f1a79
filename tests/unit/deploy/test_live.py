"""live.sock: which container claims it, and when; which servers the health check ends."""

import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.server import live


@contextmanager
def server(path, answer=b"HTTP/1.1 200 OK\r\n\r\n"):
    """Listen at `path`, giving every request the same answer, or none where it is None."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(1024):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """Return a folder for sockets, in which the container that runs the test is called `mine`."""
    monkeypatch.setenv("LISTEN", f"unix:{tmp_path}/mine.sock")
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("deploy.server.live.SERVED", str(tmp_path_factory.mktemp("tmp") / "has-served"))
    return tmp_path


def run(word, monkeypatch):
    monkeypatch.setattr("sys.argv", ["live", word])
    live.main()


def is_live(folder):
    return str((folder / "live.sock").readlink())


def test_check_claims_an_unclaimed_live_sock(folder, monkeypatch):
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    assert is_live(folder) == "mine.sock"
    assert {path.name for path in folder.iterdir()} == {"live.sock", "mine.sock"}


def test_check_claims_live_sock_of_a_server_that_has_exited(folder, monkeypatch):
    (folder / "live.sock").symlink_to("gone.sock")
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    assert is_live(folder) == "mine.sock"


def test_only_promote_takes_live_sock_from_a_server_that_listens(folder, monkeypatch):
    (folder / "live.sock").symlink_to("other.sock")
    with server(folder / "mine.sock"), server(folder / "other.sock"):
        run("check", monkeypatch)
        assert is_live(folder) == "other.sock"
        run("promote", monkeypatch)
        assert is_live(folder) == "mine.sock"


def test_wait_keeps_check_from_claiming_until_promote(folder, monkeypatch):
    (folder / "live.sock").symlink_to("gone.sock")
    with server(folder / "mine.sock"):
        run("wait", monkeypatch)
        run("check", monkeypatch)
        assert is_live(folder) == "gone.sock"
        run("promote", monkeypatch)
        assert is_live(folder) == "mine.sock"
        assert {path.name for path in folder.iterdir()} == {"live.sock", "mine.sock"}


def test_check_leaves_live_sock_with_a_server_that_does_not_answer(folder, monkeypatch):
    (folder / "live.sock").symlink_to("busy.sock")
    with server(folder / "mine.sock"), server(folder / "busy.sock", answer=None):
        run("check", monkeypatch)
    assert is_live(folder) == "busy.sock"


@pytest.mark.parametrize("word", ["check", "promote"])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"", b"nonsense", None])
def test_a_server_that_is_not_ready_claims_nothing(word, answer, folder, monkeypatch):
    with server(folder / "mine.sock", answer), pytest.raises(SystemExit, match="answers /readyz with"):
        run(word, monkeypatch)
    assert not os.path.lexists(folder / "live.sock")


def test_check_leaves_live_sock_with_a_server_whose_queue_is_full(folder, monkeypatch):
    (folder / "live.sock").symlink_to("busy.sock")
    with server(folder / "mine.sock"), socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(folder / "busy.sock"))
        busy.listen(0)
        with live.connect(f"unix:{folder}/busy.sock", 0):
            run("check", monkeypatch)
    assert is_live(folder) == "busy.sock"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"])
def test_drain_accepts_any_status_and_moves_nothing(answer, folder, monkeypatch):
    with server(folder / "mine.sock", answer):
        run("drain", monkeypatch)
    assert not os.path.lexists(folder / "live.sock")


@pytest.fixture
def ended(folder, monkeypatch):
    """Return the processes that the check would end, of a server that has served before."""
    ended = []
    monkeypatch.setattr("deploy.server.live.end_server", ended.append)
    monkeypatch.setattr("deploy.server.live.RETRY_SECONDS", 0.01)
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    (folder / "mine.sock").unlink()
    return ended


def test_check_ends_a_server_that_stopped_answering(ended, folder, monkeypatch):
    with server(folder / "mine.sock", answer=None), pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert ended == [1]


def test_check_ends_a_server_whose_socket_is_missing(ended, folder, monkeypatch):
    with pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert ended == [1]


def test_check_ends_a_server_that_refuses_connections(ended, folder, monkeypatch):
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(folder / "mine.sock"))  # bound, and nothing listens
        with pytest.raises(SystemExit):
            run("check", monkeypatch)
    assert ended == [1]


def test_check_waits_for_a_socket_that_returns_in_time(ended, folder, monkeypatch):
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 30)
    with socket.socket(socket.AF_UNIX) as late:

        def listen():
            late.bind(str(folder / "mine.sock"))
            late.listen()
            connection, _ = late.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        threading.Timer(0.2, listen).start()
        run("check", monkeypatch)
    assert ended == []


def test_check_leaves_a_server_that_has_not_served_yet(ended, folder, monkeypatch):
    Path(live.SERVED).unlink()
    with server(folder / "mine.sock", answer=None), pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert not ended


@pytest.mark.parametrize(("word", "answer"), [("drain", None), ("promote", None), ("check", b""), ("check", b"x")])
def test_nothing_else_ends_a_server(word, answer, ended, folder, monkeypatch):
    with server(folder / "mine.sock", answer), pytest.raises(SystemExit):
        run(word, monkeypatch)
    assert not ended


def test_on_tcp_there_is_no_live_sock(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("LISTEN", f"127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        run("check", monkeypatch)
    assert list(folder.iterdir()) == []


def test_on_tcp_check_waits_for_room_in_the_queue(monkeypatch):
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 0.9)  # the kernel by itself asks again after a second
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()

        def serve():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        with socket.create_connection(address):  # all that there is room for
            later = threading.Timer(0.4, serve)
            later.daemon = True
            later.start()
            assert live.answer("{}:{}".format(*address)) == b"200"


def test_on_tcp_a_queue_that_stays_full_times_out(monkeypatch):
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), pytest.raises(TimeoutError):
            live.answer("{}:{}".format(*address))


def test_an_unknown_command_is_refused(monkeypatch):
    with pytest.raises(SystemExit, match="usage: "):
        run("demote", monkeypatch)
