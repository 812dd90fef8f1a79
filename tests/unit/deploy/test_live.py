"""The switch: who takes live.sock, and when."""

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
    monkeypatch.setattr("deploy.server.live.PATIENCE", 0.2)
    monkeypatch.setattr("deploy.server.live.SERVED", str(tmp_path_factory.mktemp("tmp") / "has-served"))
    return tmp_path


def run(word, monkeypatch):
    monkeypatch.setattr("sys.argv", ["live", word])
    live.main()


def is_live(folder):
    return str((folder / "live.sock").readlink())


def test_the_first_to_be_ready_takes_what_is_nobodys(folder, monkeypatch):
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    assert is_live(folder) == "mine.sock"
    assert {path.name for path in folder.iterdir()} == {"live.sock", "mine.sock"}


def test_a_check_takes_over_from_the_dead(folder, monkeypatch):
    (folder / "live.sock").symlink_to("gone.sock")
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    assert is_live(folder) == "mine.sock"


def test_a_check_leaves_the_living_alone_and_a_promotion_does_not(folder, monkeypatch):
    (folder / "live.sock").symlink_to("other.sock")
    with server(folder / "mine.sock"), server(folder / "other.sock"):
        run("check", monkeypatch)
        assert is_live(folder) == "other.sock"
        run("promote", monkeypatch)
        assert is_live(folder) == "mine.sock"


def test_one_that_a_deploy_watches_takes_nothing_until_it_is_promoted(folder, monkeypatch):
    (folder / "live.sock").symlink_to("gone.sock")
    with server(folder / "mine.sock"):
        run("wait", monkeypatch)
        run("check", monkeypatch)
        assert is_live(folder) == "gone.sock"
        run("promote", monkeypatch)
        assert is_live(folder) == "mine.sock"
        assert {path.name for path in folder.iterdir()} == {"live.sock", "mine.sock"}


def test_one_that_is_too_busy_to_answer_is_not_dead(folder, monkeypatch):
    (folder / "live.sock").symlink_to("busy.sock")
    with server(folder / "mine.sock"), server(folder / "busy.sock", answer=None):
        run("check", monkeypatch)
    assert is_live(folder) == "busy.sock"


@pytest.mark.parametrize("word", ["check", "promote"])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"", b"nonsense", None])
def test_one_that_is_not_ready_takes_nothing(word, answer, folder, monkeypatch):
    with server(folder / "mine.sock", answer), pytest.raises(SystemExit, match="no answer that it is ready from unix:"):
        run(word, monkeypatch)
    assert not os.path.lexists(folder / "live.sock")


def test_one_whose_queue_is_full_is_not_dead(folder, monkeypatch):
    (folder / "live.sock").symlink_to("busy.sock")
    with server(folder / "mine.sock"), socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(folder / "busy.sock"))
        busy.listen(0)
        with live.connect(f"unix:{folder}/busy.sock", 0):
            run("check", monkeypatch)
    assert is_live(folder) == "busy.sock"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"])
def test_draining_is_an_answer_of_any_kind_and_moves_nothing(answer, folder, monkeypatch):
    with server(folder / "mine.sock", answer):
        run("drain", monkeypatch)
    assert not os.path.lexists(folder / "live.sock")


@pytest.fixture
def ended(folder, monkeypatch):
    """Return a list that gets an item when the check would end this container, which has served before."""
    ended = []
    monkeypatch.setattr("deploy.server.live.end_this_container", lambda: ended.append(True))
    with server(folder / "mine.sock"):
        run("check", monkeypatch)
    (folder / "mine.sock").unlink()
    return ended


def test_a_check_ends_a_server_that_answers_no_more(ended, folder, monkeypatch):
    with server(folder / "mine.sock", answer=None), pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert ended


def test_a_check_leaves_a_server_that_has_yet_to_answer_for_the_first_time(ended, folder, monkeypatch):
    Path(live.SERVED).unlink()
    with server(folder / "mine.sock", answer=None), pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert not ended


@pytest.mark.parametrize(("word", "answer"), [("drain", None), ("promote", None), ("check", b""), ("check", b"x")])
def test_nothing_else_ends_it(word, answer, ended, folder, monkeypatch):
    with server(folder / "mine.sock", answer), pytest.raises(SystemExit):
        run(word, monkeypatch)
    assert not ended


def test_on_tcp_nothing_is_switched(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("LISTEN", f"127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        run("check", monkeypatch)
    assert list(folder.iterdir()) == []


def test_on_tcp_too_one_whose_queue_is_full_for_a_moment_is_only_busy(monkeypatch):
    monkeypatch.setattr("deploy.server.live.PATIENCE", 0.9)  # the kernel by itself asks again after a second
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


def test_on_tcp_a_queue_that_stays_full_is_no_answer(monkeypatch):
    monkeypatch.setattr("deploy.server.live.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), pytest.raises(TimeoutError):
            live.answer("{}:{}".format(*address))


def test_another_word_is_refused(monkeypatch):
    with pytest.raises(SystemExit, match="usage: "):
        run("demote", monkeypatch)
