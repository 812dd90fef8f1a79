"""Publishing a release's static files beside those of earlier releases, and removing the outdated ones."""

import json
import os
import shutil

import pytest

from app.assets import MANIFEST, Asset
from deploy.server.publish_static import KEPT_SECONDS, RELEASES, mark, publish, publish_ahead

DAY = 86400


@pytest.fixture
def release(tmp_path):
    """Return a function that creates a release's static files, each also compressed, and a manifest."""

    def made(name, **files):
        folder = tmp_path / name
        (folder / "root").mkdir(parents=True)
        (folder / "root" / "robots.txt").write_text(name)
        for stem, text in files.items():
            (folder / f"{stem}.css").write_text(text)
            (folder / f"{stem}.css.gz").write_bytes(b"compressed")
        manifest = {f"{stem}.css": Asset(f"/static/{stem}.css", "") for stem in files}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return folder

    return made


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_are_added_to_those_of_earlier_releases(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    assert publish(release("one", a="a", b="b"), target, now=0) == 6
    publish(release("two", b="b", c="c"), target, now=DAY)
    assert names(target) == {
        MANIFEST, "root/robots.txt", "a.css", "a.css.gz", "b.css", "b.css.gz", "c.css", "c.css.gz",
    }  # fmt: skip
    assert (target / "root" / "robots.txt").read_text() == "two"
    assert json.loads((target / MANIFEST).read_text()).keys() == {"b.css", "c.css"}


def test_files_are_kept_for_a_time_after_their_last_release(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    one, two = release("one", a="a"), release("two", b="b")
    publish(one, target, now=0)
    publish(two, target, now=KEPT_SECONDS + DAY)
    assert {"a.css", "a.css.gz", "b.css"} <= names(target)
    publish(two, target, now=2 * KEPT_SECONDS)
    assert "a.css" in names(target)
    publish(two, target, now=2 * KEPT_SECONDS + 2 * DAY)
    assert names(target) == {MANIFEST, "root/robots.txt", "b.css", "b.css.gz"}


def test_publish_ahead_adds_only_fingerprinted_files(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    publish(release("one", a="a"), target, now=0)
    before = (target / MANIFEST).read_text()
    assert publish_ahead(release("refused", b="b"), target, now=DAY) == 2
    assert {"b.css", "b.css.gz"} <= names(target)
    assert (target / MANIFEST).read_text() == before
    assert (target / "root" / "robots.txt").read_text() == "one"
    # The next release keeps the files of the live one, not those of the refused one.
    publish(release("three", c="c"), target, now=2 * KEPT_SECONDS)
    assert "a.css" in names(target)
    assert "b.css" not in names(target)


def test_files_at_the_root_are_only_those_of_this_release(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    one, two = release("one"), release("two")
    (one / "root" / "robots.txt.gz").write_bytes(b"compressed")
    (one / "root" / "favicon.ico").write_bytes(b"an icon")
    publish(one, target, now=0)
    publish(two, target, now=1)
    assert names(target / "root") == {"robots.txt"}


def test_temporary_file_of_an_interrupted_copy_is_removed(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    (target / ".a.css.17").write_text("half")
    os.utime(target / ".a.css.17", (0, 0))
    publish(release("one", a="a"), target, now=KEPT_SECONDS + 1)
    assert ".a.css.17" not in names(target)


def test_copy_keeps_its_modification_time_for_the_etag(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    one = release("one", a="a")
    os.utime(one / "a.css", (5, 5))
    for now in (10, 20):
        publish(one, target, now)
        assert (target / "a.css").stat().st_mtime == 5


def test_mark_of_a_release_is_not_older_than_its_files(release, tmp_path):
    target = tmp_path / "volume"
    target.mkdir()
    one, two = release("one", a="a"), release("two", b="b")
    publish(one, target, now=0)
    mark(target, "one-gunicorn", now=0)
    publish(two, target, now=KEPT_SECONDS)
    mark(target, "two-gunicorn", now=KEPT_SECONDS)
    assert {"a.css", f"{RELEASES}/one-gunicorn"} <= names(target)
    publish(two, target, now=KEPT_SECONDS + DAY)
    assert "a.css" in names(target)  # the files are kept for longer than the mark
    assert names(target / RELEASES) == {"two-gunicorn"}


def test_two_releases_can_publish_the_same_file_at_once(release, tmp_path, monkeypatch):
    target = tmp_path / "volume"
    target.mkdir()
    one, two = release("one", a="a" * 9), release("two", a="a" * 9)
    copy2 = shutil.copy2

    def interrupted(source, temporary):  # the other release publishes its copy meanwhile
        monkeypatch.setattr(shutil, "copy2", copy2)
        copy2(source, temporary)
        publish_ahead(two, target, now=1)

    monkeypatch.setattr(shutil, "copy2", interrupted)
    publish_ahead(one, target, now=0)
    assert names(target) == {"a.css", "a.css.gz"}
