"""`make without PART=demo`: remove an optional part of the project, with its tests and its documentation.

    python -m deploy.fork.without PART...

PARTS lists the files and folders of each part. In other files, comments mark its lines: "begin demo" and "end demo" a
block, "only with demo" one line. "only with demo, drills" marks a line that needs both parts.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.fork import settings

ROOT = Path(__file__).parents[2]
DRILLS = (  # kills.py and load.py stay: the tests of a deploy use them
    *(f"tests/drills/{name}.py" for name in ("__main__", "drills", "misbehave", "site", "test_drills")),
    *("tests/swarm/__main__.py", "tests/swarm/drills.py"),
)
PARTS = {
    "bench": ("bench", "docs/performance.md", "requirements/bench.txt"),
    "compare": ("loadtest/compare", "tests/stack/test_compare.py", "tests/unit/loadtest/compare"),
    "demo": (*("app/handlers/api.py", "app/static/app.js", "app/templates/about.html", "app/templates/hello.html"),),
    "drills": ("docs/drills.md", *DRILLS),
    "gunicorn": (
        *("deploy/server/gunicorn.conf.py", "requirements/gunicorn.txt", "bench/reference/gunicorn.conf.py"),
        *("requirements/thirdparty.txt", "tests/thirdparty", "docs/backends.md"),
        *("recipes/epoll_worker.py", "tests/recipes/test_epoll_worker.py"),
        "deploy/server/gunicorn_log.py",
    ),
    "monitoring": (
        *("deploy/monitoring", "docs/observability.md", "nginx/status.conf", "app/log_format.py", "app/log_line.py"),
        *("deploy/server/gunicorn_log.py", "deploy/server/log_writer.py", "tests/stack/test_logs.py"),
        *("tests/unit/app/test_log_format.py", "tests/unit/deploy/test_log_writer.py"),
        *("tests/unit/deploy/test_monitoring.py", "deploy/server/exporter.py", "deploy/server/metrics.py"),
        "deploy/server/listen_queue.py",
        *("tests/unit/deploy/test_metrics.py", "tests/stack/test_metrics.py", "tests/stack/test_monitoring.py"),
        *("tests/stack/scraping.py", "tests/stack/test_metrics_kept.py"),
        *(f"deploy/server/{name}.py" for name in ("tracing", "spans", "error_reports", "reports", "private")),
        *("tests/unit/deploy/test_reports.py", "tests/stack/test_reports.py", "tests/stack/test_traces.py"),
        *("tests/stack/receiver.py", "tests/stack/test_reports_compose.py"),
        *("tests/stack/monitored.py", "tests/stack/test_alerts.py", "tests/stack/test_nginx_figures.py"),
    ),
    "postgres": ("deploy/postgres", "docs/database.md", "tests/stack/test_postgres.py"),
    "recipes": ("recipes", "requirements/recipes.txt", "tests/recipes"),
    "template": (
        *("deploy/fork/new.py", "tests/fork", "tests/unit/fork/test_new.py", "tests/unit/fork/test_update.py"),
        *("tests/unit/test_fork.py", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        *(".github/ISSUE_TEMPLATE", ".github/pull_request_template.md", "docs/pictures", "tests/pictures.py"),
    ),
    "swarm": ("deploy/swarm", "deploy/doctor/swarm.py", "docs/several-machines.md", "tests/swarm"),
    "uwsgi": ("deploy/server/uwsgi.ini", "requirements/uwsgi.txt", "bench/reference/uwsgi.ini", "docs/backends.md"),
}
SERVERS = {"gunicorn", "uwsgi"}  # one of them must stay
# Without a part, other lines change: in each file, these expressions and their replacements.
CHANGES = {
    "gunicorn": (
        (r"gunicorn or uwsgi\. .*", "uwsgi."),
        (r"(BACKEND:-|#BACKEND=|ARG BACKEND=|BACKEND )gunicorn", r"\1uwsgi"),
        (r"BACKEND=uwsgi, (?=[A-Z])", ""),
        (r'(\b(?:backend|require|LocalStack|ComposeStack|Site|Cluster|__init__)\((?:.*, )?)"gunicorn"', r'\1"uwsgi"'),
        (r"app:dev-gunicorn", "app:dev-uwsgi"),
    ),
    "uwsgi": ((r"gunicorn or uwsgi\. .*", "gunicorn."), (r"BACKEND=uwsgi, (?=[A-Z])", "")),
}
MARK = r"^.*(?:#|//|/\*|<!--)-? {}\b[\w, -]*(?:\*/|-->|#\}})?(?: \|)?$\n"  # a line that ends with such a comment


def remove(part: str, root: Path) -> None:
    """Remove the part's files and folders, and its lines from all other files."""
    for name in PARTS[part]:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in tracked(root):
        text = read(path)
        kept = without(part, text)
        for old, new in CHANGES.get(part, ()):
            kept = re.sub(old, new, kept)
        if kept != text:
            path.write_text(kept)


def without(part: str, text: str) -> str:
    """Return the text without the lines that are marked with the part."""
    begin, end, only = (
        MARK.format(words) for words in (f"begin {part}", f"end {part}", f"only with (?:[\\w-]+, )*{part}")
    )
    for marked in (rf"{begin}(?:.*\n)*?{end}", only):
        text = re.sub(marked, "", text, flags=re.MULTILINE)
    return re.sub(r"\n+\Z", "\n", text)


def tracked(root: Path) -> list[Path]:
    """Return the files of the project, but none that git ignores."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [path for name in listed.split("\0") if (path := root / name).is_file()]


def read(path: Path) -> str:
    """Return the text of a file, or an empty string for a file that is not text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def git(root: Path, *arguments: str, input: str | None = None) -> str:  # noqa: A002 (subprocess's name)
    """Return the output of git; exit with one sentence if it fails."""
    ended = subprocess.run(["git", *arguments], cwd=root, input=input, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"fork: git {arguments[0]} failed, and nothing was changed: {ended.stderr.strip()}")
    return ended.stdout


def refuse_changes(root: Path) -> None:
    """Exit with one sentence if git could not restore the project as it is."""
    if changed := git(root, "status", "--porcelain").splitlines():
        sys.exit(
            f"fork: commit or remove your changes first, {changed[0].split()[-1]} for example; nothing was changed"
        )


def main() -> None:
    """Remove the parts on the command line; exit with one sentence if that is not possible."""
    names = sys.argv[1:]
    present = [part for part, (first, *_) in PARTS.items() if (ROOT / first).exists() and part != "template"]
    wrong = [name for name in names if name not in present]
    if wrong or not names:
        found = f"PART is {wrong[0]!r}" if wrong else "PART is empty"
        sys.exit(f"fork: {found}: it must be one of {', '.join(present)}; nothing was changed")
    servers = SERVERS & {*present}
    if servers and servers <= {*names}:
        sys.exit("fork: PART names every server: one must stay; nothing was changed")
    refuse_changes(ROOT)
    for part in names:
        remove(part, ROOT)
    settings.write(ROOT)
    print(
        f"fork: removed {', '.join(names)}: see `git diff HEAD`. `make lock` removes packages that nothing needs now."
    )


if __name__ == "__main__":
    main()
