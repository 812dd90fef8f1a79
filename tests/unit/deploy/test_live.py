"""live.sock: which container claims it, and when; which servers the health check ends."""

import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.server import health, live

LOG: list[tuple[int, str]] = []


@contextmanager
def server(path, answer=b"HTTP/1.1 200 OK\r\n\r\n"):
    """Listen at `path`. `answer` is the response to every request, the status of each path, or None for no response."""
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
                    if request := connection.recv(1024):
                        response = answer
                        if isinstance(answer, dict):
                            response = b"HTTP/1.1 " + answer[request.split()[1]]
                        connection.sendall(response)

        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """Return a folder for sockets, in which the container that runs the test is called `mine`."""
    monkeypatch.setenv("LISTEN", f"unix:{tmp_path}/mine.sock")
    monkeypatch.setattr("deploy.server.live.FOLDER", str(tmp_path))
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("deploy.server.live.HAND_OVER_SECONDS", 0.2)
    monkeypatch.setattr("deploy.server.health.children", lambda _: [])  # those of process 1 are this machine's
    monkeypatch.setattr("deploy.server.health.SERVED", str(tmp_path_factory.mktemp("tmp") / "has-served"))
    monkeypatch.setattr("deploy.server.health.SPARE", str(tmp_path_factory.mktemp("tmp") / "is-spare"))
    monkeypatch.setattr("deploy.server.health.REPORTED", f"{health.SERVED}-not")
    monkeypatch.setattr("deploy.server.health.log", lambda *line: LOG.append(line))  # not the log of process 1
    LOG.clear()
    return tmp_path


def run(word, monkeypatch, *arguments):
    """Run a command; those of a deploy name the container `mine`."""
    words = [] if word == "check" else arguments or ["mine"]
    monkeypatch.setattr("sys.argv", ["live", word, *words])
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


def test_spare_container_says_so_once(folder, monkeypatch):
    (folder / "live.sock").symlink_to("other.sock")
    said = []
    monkeypatch.setattr("deploy.server.health.log", lambda _, text: said.append(text))
    with server(folder / "mine.sock"), server(folder / "other.sock"):
        run("wait", monkeypatch)
        run("check", monkeypatch)
        assert said == []  # a candidate
        (folder / "mine.sock.waits").unlink()
        run("check", monkeypatch)
        run("check", monkeypatch)
        assert said == ["another container of the app is live: it gets all requests, and this one is a spare"]


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
    with server(folder / "mine.sock", answer), pytest.raises(SystemExit, match="answers /readyz with "):
        run(word, monkeypatch)
    assert not os.path.lexists(folder / "live.sock")


@pytest.mark.parametrize(
    ("hosts", "host"),
    [("", "localhost"), ("example.org,example.com", "example.org"), (" *.example.org", "www.example.org")],
)
def test_request_is_like_one_of_nginx_for_the_first_allowed_host(hosts, host):
    lines = live.request("/readyz", {"ALLOWED_HOSTS": hosts}).decode().split("\r\n")
    assert lines[0] == "GET /readyz HTTP/1.1"
    assert {f"Host: {host}", f"X-Forwarded-Host: {host}", "X-Forwarded-Proto: https"} <= set(lines)
    assert lines[-2:] == ["", ""]


def test_a_wrong_status_is_logged_once_until_it_changes(folder, monkeypatch):
    for status in (b"400", b"400", b"503"):
        path = folder / "mine.sock"
        path.unlink(missing_ok=True)
        with server(path, {b"/readyz": status}), pytest.raises(SystemExit):
            run("check", monkeypatch)
    start = f"unix:{path} answers /readyz with"
    assert [(1, f"{start} {status}: {live.REMEDY}") for status in (400, 503)] == LOG


def test_check_leaves_live_sock_with_a_server_whose_queue_is_full(folder, monkeypatch):
    (folder / "live.sock").symlink_to("busy.sock")
    with server(folder / "mine.sock"), socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(folder / "busy.sock"))
        busy.listen(0)
        with live.connect(f"unix:{folder}/busy.sock", 0):
            run("check", monkeypatch)
    assert is_live(folder) == "busy.sock"


def test_promote_asks_each_path(folder, monkeypatch):
    with server(folder / "mine.sock", {b"/readyz": b"200", b"/": b"404", b"/broken": b"500"}):
        run("promote", monkeypatch, "mine", "/")
        assert is_live(folder) == "mine.sock"
        with pytest.raises(SystemExit, match="answers /broken with 500"):
            run("promote", monkeypatch, "mine", "/", "/broken")


def test_promote_replaces_a_directory_in_place_of_live_sock(folder, monkeypatch):
    (folder / "live.sock").mkdir()
    (folder / "live.sock" / "file").touch()
    with server(folder / "mine.sock"):
        run("promote", monkeypatch)
    assert is_live(folder) == "mine.sock"


def test_show_prints_the_live_container(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["live", "show"])
    live.main()
    (folder / "live.sock").symlink_to("0123.sock")
    live.main()
    assert capsys.readouterr().out == "0123\n"


def test_clean_removes_what_other_containers_left(folder, monkeypatch):
    for name in ("mine.sock", "mine.sock.waits", "gone.sock", "gone.sock.waits", ".gone.sock.7"):
        (folder / name).touch()
    (folder / "live.sock").symlink_to("mine.sock")
    (folder / "empty").mkdir()
    run("clean", monkeypatch, "mine", "other")
    assert {path.name for path in folder.iterdir()} == {"live.sock", "mine.sock", "mine.sock.waits"}


def test_hand_over_prefers_a_ready_container_that_no_deploy_watches(folder):
    (folder / "live.sock").symlink_to("mine.sock")
    (folder / "a-candidate.sock.waits").touch()
    with (
        server(folder / "mine.sock"),
        server(folder / "a-candidate.sock"),
        server(folder / "hung.sock", answer=None),
        server(folder / "sick.sock", {b"/readyz": b"503"}),
    ):
        assert live.hand_over(str(folder / "mine.sock"))
        assert is_live(folder) == "a-candidate.sock"
        (folder / "live.sock").unlink()
        (folder / "live.sock").symlink_to("mine.sock")
        (folder / "a-candidate.sock.waits").touch()
        with server(folder / "previous.sock"):
            assert live.hand_over(str(folder / "mine.sock"))
            assert is_live(folder) == "previous.sock"


def test_without_another_ready_container_hand_over_moves_nothing(folder):
    (folder / "live.sock").symlink_to("mine.sock")
    (folder / "gone.sock").touch()
    with server(folder / "mine.sock"), server(folder / "sick.sock", {b"/readyz": b"503"}):
        assert not live.hand_over(str(folder / "mine.sock"))
    assert is_live(folder) == "mine.sock"


def test_hand_over_leaves_live_sock_of_another_container(folder):
    (folder / "live.sock").symlink_to("other.sock")
    assert live.hand_over(str(folder / "mine.sock"))
    assert is_live(folder) == "other.sock"


def test_two_containers_with_one_hostname_have_two_sockets(monkeypatch, tmp_path):
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("socket.gethostname", lambda: "fixed")
    monkeypatch.setattr("builtins.open", lambda _: mounts.open())
    found = set()
    for number in "12":
        folder = f"/volumes/{'0' * 64}/containers/{number * 64}"  # as for an engine in a container
        mounts.write_text(f"30 28 8:1 {folder}/hostname /etc/hostname rw - ext4 /dev/x rw\n")
        found.add(live.own_address({}))
    assert found == {"unix:/run/app/111111111111.sock", "unix:/run/app/222222222222.sock"}
    mounts.write_text("30 28 8:1 / /etc/hostname rw - ext4 /dev/x rw\n")
    assert live.own_address({}) == "unix:/run/app/fixed.sock"


@pytest.fixture
def ended(folder, monkeypatch):
    """Return the processes that the check would end, of a server that has served before."""
    ended = []
    monkeypatch.setattr("deploy.server.health.end_server", ended.append)
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
    Path(health.SERVED).unlink()
    with server(folder / "mine.sock", answer=None), pytest.raises(SystemExit):
        run("check", monkeypatch)
    assert not ended


@pytest.mark.parametrize(("word", "answer"), [("promote", None), ("check", b""), ("check", b"x")])
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


@pytest.mark.parametrize("word", ["check", "promote"])
def test_failed_readiness_checks_are_named(word, folder, monkeypatch):
    body = b'{"status": "unavailable", "checks": {"cache": true, "the database": false, "queue": false}}\n'
    response = b"HTTP/1.1 503 Service Unavailable\r\n\r\n" + body
    sentence = r"/readyz with 503: these readiness checks fail: the database, queue$"
    with server(folder / "mine.sock", response), pytest.raises(SystemExit, match=sentence):
        run(word, monkeypatch)
