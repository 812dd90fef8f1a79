"""The site as nginx serves it: start nginx, and check the important pages."""

import re

from deploy.docker import LONG, Container, DeployError, Project, Release, compose, containers, docker, log
from deploy.release.candidate import PATHS

ANSWER_SECONDS = 35  # nginx answers 504 after 30


def start_nginx(project: Project, release: Release) -> None:
    """Start nginx if it is not running. Build it only if it has no container, so that a deploy never replaces it."""
    found = containers(project, "nginx")
    if not found:
        compose("build", "nginx", release=release, is_shown=True, seconds=LONG)
    if not any(each.state == "running" for each in found):
        compose("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--wait", "nginx", release=release)
    wanted = compose("config", "--hash", "nginx", release=release).split()[-1]
    if found and found[0].found["Config"]["Labels"]["com.docker.compose.config-hash"] != wanted:
        command = "docker compose up --detach --no-deps nginx"
        log(f"nginx keeps its settings, which have changed. `{command}` applies them: the site is down for seconds")


def check_site(project: Project, live: Container) -> None:
    """Raise DeployError unless nginx is connected to this container, and answers PATHS and a static file of a page."""
    nginx = containers(project, "nginx")[0]
    found = docker("exec", nginx.id, "sh", "-c", "readlink run/live.sock; true").strip()
    if found != f"{live.id[:12]}.sock":
        raise DeployError(f"nginx is connected to {found or 'nothing'}, not to the new container {live.id[:12]}")
    page = ask(nginx, PATHS[0])
    for path in [*PATHS[1:], *re.findall(r"""["'](/static/[^"'?#]+)""", page)[:1]]:
        ask(nginx, path)


def ask(nginx: Container, path: str) -> str:
    """Return nginx's response to a request for `path`; raise DeployError if its status is 500 or above."""
    options = ["--silent", "--insecure", "--noproxy=*", f"--max-time={ANSWER_SECONDS}", "--write-out=\n%{http_code}"]
    if nginx.environ.get("PROXY_PROTOCOL") == "on":
        options.append("--haproxy-protocol")
    if host := nginx.environ.get("ALLOWED_HOSTS", "").replace(",", " ").split():
        options.append(f"--header=Host: {host[0].replace('*', 'www')}")
    # 7: nothing listens there, because TLS is off or has no certificate.
    script = 'curl "$@" "https://127.0.0.1:8443$0" || [ $? != 7 ] || curl "$@" "http://127.0.0.1:8080$0"; true'
    body, _, status = docker("exec", nginx.id, "sh", "-c", script, path, *options).rpartition("\n")
    if not "100" < status < "500":
        failing = re.findall(r'"([^"]+)": ?false', body) if path == "/readyz" else []
        reason = f": these readiness checks fail: {', '.join(failing)}" * bool(failing)
        raise DeployError(f"nginx answers {path} with {status}{reason}")
    return body
