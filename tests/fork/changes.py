"""The changes that README.md and docs/ describe, each made as a person makes it, with the places that it touches."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.server.launch import BACKENDS

HANDLERS = '''

def team(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Show the team."""
    return html(start_response, render("team.html", people=["Ada", "Grace"]))


def member(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Show the member with the {nickname} in the path."""
    return html(start_response, environ["wsgiorg.routing_args"][1]["nickname"])


def leave(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Confirm that the member has left."""
    return html(start_response, "gone")
'''
PAGE = """{% extends "base.html" %}
{% set here = "team" %}
{% block title %}Our team{% endblock %}
{% block main %}
    <h1>Our team</h1>
    <ul>{% for person in people %}<li>{{ person }}</li>{% endfor %}</ul>
{% endblock %}
{% block footer %}{% endblock %}
"""
PLAIN = """{% extends "base.html" %}
{% set here = "about-us" %}
{% block main %}
    <h1>About us</h1>
{% endblock %}
"""
MIDDLEWARE = '''"""Names the team in a header."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.headers import change_headers
from app.settings import settings


def team_header(handler: WSGIApplication) -> WSGIApplication:
    """Return the handler with the header X-Team on every response."""

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        team = ("X-Team", settings().team_name)
        return handler(environ, change_headers(start_response, lambda headers: [*headers, team]))

    return named
'''
TEST = '''"""The team's pages."""

from app.wsgi import application
from tests.wsgi import call


def test_team_pages():
    assert "Grace" in call(application, "/team").text
    assert call(application, "/team/ada").text == "ada"
    assert call(application, "/team/ada", "DELETE").text == "gone"
    assert call(application, "/team").headers["X-Team"] == "Ours"
'''


@dataclass(frozen=True)
class Change:
    """One change: the most places that it may touch, how to make it, and the command that follows."""

    name: str
    most: int
    make: Callable[[Path], None]
    command: tuple[str, ...] = ()


def insert(path: Path, after: str, text: str) -> None:
    """Insert the text below the first line that matches the pattern."""
    before = path.read_text()
    found = re.search(rf"(?m)^.*{after}.*\n", before)
    assert found, f"{path.name} has no {after}"
    path.write_text(before[: found.end()] + text + before[found.end() :])


def page(fork: Path) -> None:
    (fork / "app/templates/about-us.html").write_text(PLAIN)
    insert(fork / "app/wsgi.py", "^ROUTES", '    "/about-us": {"GET": pages.shows("about-us.html")},\n')


def handler(fork: Path) -> None:
    with (fork / "app/handlers/pages.py").open("a") as file:
        file.write(HANDLERS)
    insert(fork / "app/wsgi.py", "^ROUTES", '    "/team": {"GET": pages.team},\n')
    (fork / "app/templates/team.html").write_text(PAGE)


def parameter(fork: Path) -> None:
    insert(fork / "app/wsgi.py", "^ROUTES", '    "/team/{nickname}": {"GET": pages.member, "DELETE": pages.leave},\n')


def setting(fork: Path) -> None:
    insert(fork / "app/settings.py", "^    log_level: ", '    team_name: str = "Ours"\n')
    insert(
        fork / "app/settings.py", "^ +log_level=", '        team_name=environ.get("TEAM_NAME") or default.team_name,\n'
    )
    insert(fork / ".env.example", "^#LOG_LEVEL", "\n# The name of the team.\n#TEAM_NAME=Ours\n")


def middleware(fork: Path) -> None:
    (fork / "app/middleware/team_header.py").write_text(MIDDLEWARE)
    wsgi = fork / "app/wsgi.py"
    insert(wsgi, "import request_id$", "from app.middleware.team_header import team_header\n")
    insert(wsgi, "^MIDDLEWARES", "    team_header,\n")


def static_file(fork: Path) -> None:
    (fork / "app/static/logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')


def image(fork: Path) -> None:
    line = """    <img src="{{ static('logo.svg').url }}" alt="Our logo" width="64" height="64">\n"""
    insert(fork / "app/templates/team.html", "<h1>", line)


def dependency(fork: Path) -> None:
    project, names = fork / "pyproject.toml", '"segno", "sqlalchemy", "alembic", "psycopg[binary]", '
    project.write_text(re.sub(r"(?m)^(dependencies = \[)", rf"\1{names}", project.read_text(), count=1))


def database(fork: Path) -> None:
    """Copy the recipe without what follows "A copy ends here", set its migrations, and its address as a secret."""
    target = fork / "app/database"
    shutil.copytree(fork / "recipes/database", target, ignore=shutil.ignore_patterns("__main__.py", "__pycache__"))
    for path in target.rglob("*.*"):
        text = re.split(r"(?m)^# --- .* A copy ends here", path.read_text())[0].rstrip() + "\n"
        text = re.sub(r"(?m)^from recipes import .*\n", "", text)
        path.write_text(text.replace("recipes.", "app.").replace("recipes/", "app/"))
    (fork / ".env").write_text("RELEASE_COMMAND=alembic -c app/database/alembic.ini upgrade head\n")
    (fork / ".secrets").write_text(f"DATABASE_URL=sqlite:///{fork}/data/links.sqlite3\n")
    (fork / ".secrets").chmod(0o600)


def database_route(fork: Path) -> None:
    wsgi = fork / "app/wsgi.py"
    insert(wsgi, "^from wsgiref.*\n", "from app import database\n")
    insert(wsgi, "^ROUTES", '    "/entries": {"GET": database.entries, "POST": database.add},\n')


def package(fork: Path) -> None:
    (fork / "app/links").mkdir()
    (fork / "app/links/__init__.py").write_text('"""Short links."""\n')


def readiness(fork: Path) -> None:
    health = fork / "app/handlers/health.py"
    insert(health, "^from wsgiref.*\n", "from app.database.pool import database_answers\n")
    text = health.read_text()
    assert "bool]] = {}" in text
    health.write_text(text.replace("bool]] = {}", 'bool]] = {"database": database_answers}'))


def load(fork: Path) -> None:
    insert(fork / "loadtest/scenarios.py", "^PAGES", '    Page(2, "/team", "Grace"),\n')


def papers(fork: Path) -> None:
    (fork / "README.md").write_text("# Shortener\n\nShort links.\n")
    (fork / "LICENSE").write_text("All rights reserved.\n")
    for each in (fork / "docs").iterdir():
        each.unlink()
    (fork / "docs/links.md").write_text("# Links\n")


def test(fork: Path) -> None:
    (fork / "tests/app/unit/test_team.py").write_text(TEST)


def nothing(_fork: Path) -> None:
    pass


FORK = (sys.executable, "-m", "deploy.fork.without")
CHANGES = [
    Change("rename", 0, nothing, (sys.executable, "-m", "deploy.fork.new", "shortener")),
    Change("a route with a page", 2, page),
    Change("a handler with a route and a page", 3, handler),
    Change("a parameter and a method", 1, parameter),
    Change("a setting", 2, setting, ("make", "settings")),
    Change("a middleware", 2, middleware),
    Change("a static file", 1, static_file),
    Change("an image in a page", 1, image),
    Change("a dependency", 1, dependency, ("make", "lock")),
    Change("a database with migrations and a secret", 3, database),
    Change("a route to it", 1, database_route),
    Change("a readiness check", 1, readiness),
    Change("a package in app/", 1, package),
    Change("a page in the load test", 1, load),
    Change("a test", 1, test),
    Change("remove the drills", 0, nothing, (*FORK, "drills")),
    Change("remove the comparison", 0, nothing, (*FORK, "compare")),
    Change("remove the benchmarks", 0, nothing, (*FORK, "bench")),
    Change("remove Swarm", 0, nothing, (*FORK, "swarm")),
    Change("remove the recipes", 0, nothing, (*FORK, "recipes")),
    Change("remove the demo", 0, nothing, (*FORK, "demo")),
    Change("its own README, licence and docs", 0, papers),
]
LAST = {server: Change(f"remove {server}", 0, nothing, (*FORK, server)) for server in BACKENDS}


def apply(change: Change, fork: Path) -> tuple[int, int]:
    """Make the change and commit it; return the places touched by hand, and the files that the command wrote."""
    before = changed(fork)
    change.make(fork)
    touched = changed(fork)
    if change.command:
        ended = subprocess.run(change.command, cwd=fork, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    written = changed(fork) - touched
    subprocess.run(["git", "add", "--all"], cwd=fork, check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", f"--message={change.name}"], cwd=fork, check=True)
    return len(touched - before), len(written)


def changed(fork: Path) -> set[str]:
    """Return the files, and the new folders, that differ from the last commit, and the files that git ignores."""
    command = ["git", "status", "--porcelain", "--ignored"]
    lines = subprocess.run(command, cwd=fork, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line[3:] for line in lines if not re.search(r"[ /](\.venv|\.local/|__pycache__/|\.\w+_cache/)$", line)}
