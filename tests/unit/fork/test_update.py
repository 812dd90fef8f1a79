"""`make update`: three kinds of fork merge the template's next version."""

import subprocess
import sys

import pytest

from tests.tree import commit, copy_project
from tests.unit.fork.test_without import run

pytestmark = pytest.mark.nightly

ROUTE = '    "/s/{code}": {"GET": health.alive},\n'


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Return the folder of the template's repository: two commits."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")
    folder = tmp_path / "template"
    copy_project(folder)
    commit(folder)
    save(folder, "second")
    return folder


def save(folder, message):
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--allow-empty", f"--message={message}")


def fork(folder, name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"deploy.fork.{name}", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def change(path, old, new):
    text = path.read_text()
    assert old in text, f"{path}: {old}"
    path.write_text(text.replace(old, new, 1))


def own(folder):
    """Make the changes of a fork: a route, a setting, a dependency in a lock, and a README."""
    change(folder / "app/wsgi.py", '    "/version":', f'{ROUTE}    "/version":')
    change(folder / ".env.example", "#LOG_LEVEL=info\n", "#LOG_LEVEL=debug\n")
    change(folder / "requirements/gunicorn.txt", "jinja2==", "idna==3.1\njinja2==")
    (folder / "README.md").write_text("# Mine\n")
    save(folder, "own")


def release(template):
    """Make the template's next version: it changes app/wsgi.py, Compose, a lock, a test and two removable parts."""
    change(template / "app/wsgi.py", "    head,\n", "    head,\n    # next\n")
    change(template / "docker-compose.yml", "max-size: 10m", "max-size: 20m")
    change(template / "requirements/gunicorn.txt", "jinja2==", "jinja2==99.")
    change(template / "tests/wsgi.py", '"""', '"""Next. ')
    change(template / "LICENSE", "MIT License", "MIT licence")
    change(template / "recipes/cors.py", '"""', '"""Next. ')
    change(template / "app/handlers/api.py", '"""', '"""Next. ')
    (template / "docs/next.md").write_text("# wsgi-starter\n")
    save(template, "next")


def clone(template, tmp_path):
    folder = tmp_path / "fork"
    run(tmp_path, "git", "clone", "--quiet", str(template), str(folder))
    return folder


def test_fork_from_make_new_merges_without_conflict(template, tmp_path):
    folder = clone(template, tmp_path)
    assert fork(folder, "new", "shortener").returncode == 0
    own(folder)
    release(template)
    merged = fork(folder, "update", str(template))
    assert (
        merged.stderr == "fork: resolve the conflicts in README.md, then run `git commit` and `make lock`\n"
        or merged.returncode == 0
    )
    wsgi = (folder / "app/wsgi.py").read_text()
    assert ROUTE in wsgi
    assert "# next" in wsgi
    assert "max-size: 20m" in (folder / "docker-compose.yml").read_text()
    assert "jinja2==99." in (folder / "requirements/gunicorn.txt").read_text()
    assert "<<<<" not in (folder / "requirements/gunicorn.txt").read_text()
    assert (folder / "docs/next.md").read_text() == "# shortener\n"
    assert (folder / "README.md").read_text() == "# Mine\n"
    assert run(folder, "git", "status", "--porcelain") == ""
    # The next update follows this one.
    change(template / "docker-compose.yml", "max-size: 20m", "max-size: 30m")
    save(template, "after")
    assert fork(folder, "update", str(template)).returncode == 0
    assert "max-size: 30m" in (folder / "docker-compose.yml").read_text()
    assert fork(folder, "update", str(template)).returncode == 0


def test_fork_without_parts_from_one_commit_merges_without_conflict(template, tmp_path):
    folder = clone(template, tmp_path)
    run(folder, "git", "checkout", "--quiet", "--orphan", "mine")
    save(folder, "Initial commit")
    assert fork(folder, "new", "shortener").returncode == 0
    assert fork(folder, "without", "demo", "recipes").returncode == 0
    save(folder, "without")
    own(folder)
    release(template)
    merged = fork(folder, "update", str(template))
    assert merged.returncode == 0, merged.stderr
    assert not (folder / "recipes").exists()
    assert not (folder / "app/handlers/api.py").exists()
    assert ROUTE in (folder / "app/wsgi.py").read_text()
    assert '"""Next. ' in (folder / "tests/wsgi.py").read_text()
    assert run(folder, "git", "status", "--porcelain") == ""


def test_fork_with_the_history_of_the_template_merges_as_git_does(template, tmp_path):
    folder = clone(template, tmp_path)
    own(folder)
    release(template)
    merged = fork(folder, "update", str(template))
    assert merged.returncode == 0, merged.stderr
    assert "# next" in (folder / "app/wsgi.py").read_text()
    assert (folder / "docs/next.md").read_text() == "# wsgi-starter\n"


def test_conflict_is_named_and_left_to_the_user(template, tmp_path):
    folder = clone(template, tmp_path)
    assert fork(folder, "new", "shortener").returncode == 0
    change(folder / "docker-compose.yml", "max-size: 10m", "max-size: 5m")
    save(folder, "own")
    release(template)
    merged = fork(folder, "update", str(template))
    assert merged.returncode == 1
    assert merged.stderr == "fork: resolve the conflicts in docker-compose.yml, then run `git commit` and `make lock`\n"
    assert "<<<<<<<" in (folder / "docker-compose.yml").read_text()


@pytest.mark.parametrize("source", ["", "/nothing"])
def test_wrong_address_is_refused(source, template, tmp_path):
    folder = clone(template, tmp_path)
    ended = fork(folder, "update", source)
    assert ended.returncode == 1
    assert "nothing was changed" in ended.stderr
    assert run(folder, "git", "status", "--porcelain") == ""
