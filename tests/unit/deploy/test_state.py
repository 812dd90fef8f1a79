"""What is live and what can be returned to: .env and .releases."""

import os
import stat

import pytest

from deploy.docker import Release
from deploy.release import state


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


ONE, TWO = Release("1-rc.1", "gunicorn"), Release("2", "uwsgi")


def test_a_release_is_its_tag_and_back():
    assert ONE.tag == "1-rc.1-gunicorn"
    assert Release.of_tag(ONE.tag) == ONE
    assert str(ONE) == "1-rc.1 on gunicorn"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "BACKEND=uwsgi\nRELEASE=2\n"),
        ("A=b", "A=b\nBACKEND=uwsgi\nRELEASE=2\n"),
        ("# mine\n\nRELEASE=1\nA=b\n", "# mine\n\nRELEASE=2\nA=b\nBACKEND=uwsgi\n"),
        ("#RELEASE=dev\nMY_RELEASE=3\n", "#RELEASE=dev\nMY_RELEASE=3\nBACKEND=uwsgi\nRELEASE=2\n"),
        ("RELEASE=1\nA=b\nRELEASE=0\nBACKEND=x", "RELEASE=2\nA=b\nBACKEND=uwsgi\n"),
        ("export RELEASE = '1'\n  BACKEND: x\n", "RELEASE=2\nBACKEND=uwsgi\n"),
    ],
)
def test_what_is_live_stands_in_env_once_and_everything_else_is_as_it_was(before, after):
    state.ENV.write_bytes(before.encode())
    state.write_live(TWO)
    assert state.ENV.read_bytes().decode() == after


def test_without_env_there_is_one_then_and_nothing_else_is_left():
    state.write_live(TWO)
    assert state.ENV.read_text() == "BACKEND=uwsgi\nRELEASE=2\n"
    assert {path.name for path in state.ENV.parent.iterdir()} == {".env", ".releases"}


def test_env_keeps_its_permissions_and_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").write_text("A=b\n")
    (tmp_path / "elsewhere").chmod(0o600)
    state.ENV.symlink_to("elsewhere")
    state.write_live(TWO)
    assert state.ENV.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o600


@pytest.fixture
def when_written(monkeypatch):
    """Return what files are like, as os.stat says it, at the moments when they have got their text."""
    found = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(os.fstat(file)))
    return found


def test_env_is_never_readable_by_others_while_it_is_replaced(when_written):
    state.ENV.write_text("SECRET=1\n")
    state.ENV.chmod(0o600)
    # What a run that was killed has left.
    state.ENV.with_name(".env.new").write_text("")
    state.ENV.with_name(".env.new").chmod(0o644)
    state.write_live(TWO)
    assert stat.S_IMODE(when_written[0].st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_what_root_replaces_stays_its_owners(when_written):
    state.ENV.write_text("A=b\n")
    os.chown(state.ENV, 1234, 2345)
    state.write_live(TWO)
    for found in (when_written[0], state.ENV.stat()):
        assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_whoever_may_not_choose_the_owner_replaces_the_file_all_the_same(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    state.ENV.write_text("A=b\n")
    state.ENV.chmod(0o640)
    state.write_live(TWO)
    assert stat.S_IMODE(state.ENV.stat().st_mode) == 0o640


def test_the_last_release_is_live_and_none_is_listed_twice():
    assert state.releases() == []
    for release in (ONE, TWO, ONE):
        state.write_live(release)
    assert state.releases() == [TWO, ONE]


def test_what_is_unfinished_is_known_until_it_is_finished():
    assert state.unfinished() == []
    state.write_unfinished(ONE, TWO)
    assert state.unfinished() == [ONE, TWO]
    state.write_unfinished()
    assert state.unfinished() == []
