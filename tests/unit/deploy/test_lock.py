"""The lock of a deploy, where Docker's answers come in an order that a real engine gives seldom."""

import pytest

from deploy.docker import Project, Release
from deploy.release.lock import LockedError, held

DOCKER = """#!/bin/sh
case "$1 $2" in
  "image ls") echo 0123456789ab ;;
  "run --rm") echo 'The container name "/site-deploy" is already in use by container "ab"'; exit 125 ;;
  "container ls") echo "$HOLDER" ;;
  *) echo "Error response from daemon: No such container: site-deploy" >&2; exit 1 ;;
esac
"""


PROJECT = Project("site", Release("dev", "gunicorn"), {}, {}, "site-app")


@pytest.mark.parametrize(("holder", "by"), [("me@here", "me@here"), ("", "it is ending")])
def test_lock_names_its_holder_or_says_that_it_is_ending(holder, by, tmp_path, monkeypatch):
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("HOLDER", holder)
    with pytest.raises(LockedError, match=rf"another deploy is running \({by}\): "), held(PROJECT):
        pass
