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
    if found and found[0].config_hash != wanted:
        command = "docker compose up --detach --no-deps nginx"
        log(f"nginx keeps its settings, which have changed. `{command}` applies them: the site is down for seconds")


def check_site(project: Project) -> None:
    """Raise DeployError unless nginx answers PATHS, and a static file that the first page names, without an error."""
    nginx = containers(project, "nginx")[0]
    page = ask(nginx, PATHS[0])
    for path in [*PATHS[1:], *re.findall(r"""["'](/static/[^"'?#]+)""", page)[:1]]:
        ask(nginx, path)


def ask(nginx: Container, path: str) -> str:
    """Return nginx's response to a request for `path`; raise DeployError if its status is 500 or above."""
    has_tls = nginx.environ.get("NGINX_TLS") == "on"
    options = ["--silent", "--insecure", f"--max-time={ANSWER_SECONDS}", "--write-out=\n%{http_code}"]
    if nginx.environ.get("PROXY_PROTOCOL") == "on":
        options.append("--haproxy-protocol")
    if host := nginx.environ.get("ALLOWED_HOSTS", "").replace(",", " ").split():
        options.append(f"--header=Host: {host[0].replace('*', 'www')}")
    # Without a certificate nginx answers HTTP only.
    urls = [f"https://127.0.0.1:8443{path}"] * has_tls + [f"http://127.0.0.1:8080{path}"]
    body, status = "", "000"
    while urls and status == "000":
        script = 'curl "$@" || [ $? -eq 7 ]'  # 7: it does not listen
        body, _, status = docker("exec", nginx.id, "sh", "-c", script, "sh", *options, urls.pop(0)).rpartition("\n")
    if not "100" < status < "500":
        raise DeployError(f"nginx answers {path} with {status}")
    return body
