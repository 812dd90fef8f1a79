"""The changes that README.md and docs/ describe, each made as a person makes it, with the places that it touches."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

from app.settings import settings


def team_header(handler: WSGIApplication) -> WSGIApplication:
    """Return the handler with the header X-Team on every response."""

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        team = ("X-Team", settings().team_name)
        return handler(environ, lambda status, headers, *more: start_response(status, [*headers, team], *more))

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
    project = fork / "pyproject.toml"
    project.write_text(re.sub(r"(?m)^(dependencies = \[)", r'\1"segno", ', project.read_text(), count=1))


def package(fork: Path) -> None:
    (fork / "app/links").mkdir()
    (fork / "app/links/__init__.py").write_text('"""Short links."""\n')


def readiness(fork: Path) -> None:
    health = fork / "app/handlers/health.py"
    text = health.read_text()
    health.write_text(
        text.replace(
            "CHECKS: dict[str, Callable[[], bool]] = {}",
            'CHECKS: dict[str, Callable[[], bool]] = {"self": lambda: True}',
        )
    )


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
    Change("a package in app/", 1, package),
    Change("a readiness check", 1, readiness),
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


def apply(change: Change, fork: Path) -> tuple[int, int]:
    """Make the change and commit it; return the places touched by hand, and the files that the command wrote."""
    change.make(fork)
    touched = changed(fork)
    if change.command:
        ended = subprocess.run(change.command, cwd=fork, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    written = changed(fork) - touched
    subprocess.run(["git", "add", "--all"], cwd=fork, check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", f"--message={change.name}"], cwd=fork, check=True)
    return len(touched), len(written)


def changed(fork: Path) -> set[str]:
    """Return the files that differ from the last commit."""
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    lines = subprocess.run(command, cwd=fork, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line[3:] for line in lines}
