"""The live release in .env, and the releases to roll back to in .releases."""

import os
import stat

import pytest

from deploy.docker import Release
from deploy.release import state


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


ONE, TWO = Release("1-rc.1", "gunicorn"), Release("2", "uwsgi")


def test_release_is_read_back_from_its_tag():
    assert ONE.tag == "1-rc.1-gunicorn"
    assert Release.from_tag(ONE.tag) == ONE
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
def test_write_live_sets_the_release_once_and_keeps_every_other_line(before, after):
    state.ENV.write_bytes(before.encode())
    state.write_live(TWO)
    assert state.ENV.read_bytes().decode() == after


def test_write_live_creates_env_and_no_other_file():
    state.write_live(TWO)
    assert state.ENV.read_text() == "BACKEND=uwsgi\nRELEASE=2\n"
    assert {path.name for path in state.ENV.parent.iterdir()} == {".env", ".releases"}


def test_env_keeps_its_permissions_and_stays_a_symlink(tmp_path):
    (tmp_path / "elsewhere").write_text("A=b\n")
    (tmp_path / "elsewhere").chmod(0o600)
    state.ENV.symlink_to("elsewhere")
    state.write_live(TWO)
    assert state.ENV.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o600


@pytest.fixture
def when_written(monkeypatch):
    """Return the os.stat results of the files that are written, taken once they have their text."""
    found = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(os.fstat(file)))
    return found


def test_env_is_never_readable_by_others_while_it_is_replaced(when_written):
    state.ENV.write_text("SECRET=1\n")
    state.ENV.chmod(0o600)
    # A deploy that is killed leaves this file.
    state.ENV.with_name(".env.new").write_text("")
    state.ENV.with_name(".env.new").chmod(0o644)
    state.write_live(TWO)
    assert stat.S_IMODE(when_written[0].st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_keeps_the_owner_of_env(when_written):
    state.ENV.write_text("A=b\n")
    os.chown(state.ENV, 1234, 2345)
    state.write_live(TWO)
    for found in (when_written[0], state.ENV.stat()):
        assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_env_is_replaced_even_if_its_owner_cannot_be_kept(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    state.ENV.write_text("A=b\n")
    state.ENV.chmod(0o640)
    state.write_live(TWO)
    assert stat.S_IMODE(state.ENV.stat().st_mode) == 0o640


def test_releases_are_listed_once_the_live_one_last():
    assert state.releases() == []
    for release in (ONE, TWO, ONE):
        state.write_live(release)
    assert state.releases() == [TWO, ONE]


def test_unfinished_releases_are_listed_until_none_is_written():
    assert state.unfinished() == []
    state.write_unfinished(ONE, TWO)
    assert state.unfinished() == [ONE, TWO]
    state.write_unfinished()
    assert state.unfinished() == []
