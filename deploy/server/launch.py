"""The launcher: check the settings, import the app once, choose the number of workers, and start the server.

    python -m deploy.server.launch            start the server
    python -m deploy.server.launch --check    only check that it can start

Every app container and `make local` run it. The servers check settings badly: gunicorn answers WEB_CONCURRENCY=abc with
a traceback, and uWSGI runs with zero workers if a variable in uwsgi.ini is unset. So the launcher checks them, and
passes them on the command line. Settings that never change are in gunicorn.conf.py and uwsgi.ini.
"""

import errno
import importlib
import os
import re
import shutil  # only with monitoring
import signal
import sys
import tempfile  # only with monitoring
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version  # only with monitoring
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
from threading import Timer
from types import FrameType
from typing import NoReturn
from zoneinfo import TZPATH

from app.log_format import is_json  # only with monitoring
from app.settings import environment, settings
from app.variables import SettingError, choice, integer
from deploy.server import log_writer  # only with monitoring
from deploy.server.drain import SIGNALS
from deploy.server.live import UNIX, own_address
from deploy.server.sizing import THREADS_PER_WORKER, cpu_limit, memory_limit, worker_count

HERE = Path(__file__).parent
REPORT_SECONDS = 5  # of importing, until the launcher says that it does
OPEN_FILES = 4096  # in each process; the application may raise the limit
BACKENDS = (  # the first is the default
    "gunicorn",  # only with gunicorn
    "uwsgi",  # only with uwsgi
)
APPLICATION = "deploy.server.wsgi:application"
# begin monitoring
PACKAGES = {  # settings, and the package and the dependency group that each needs
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("opentelemetry-exporter-otlp-proto-http", "traces"),
    "SENTRY_DSN": ("sentry-sdk", "errors"),
}
# end monitoring


def main() -> None:
    """Check that the server can start, and start it unless the option is --check."""
    signal.signal(signal.SIGTERM, stop)  # by default, process 1 ignores it
    is_start = sys.argv[1:] != ["--check"]
    # begin monitoring
    if is_start and is_json(os.environ.get("LOG_FORMAT", "")):
        log_writer.begin()
    # end monitoring
    arguments = check()
    if is_start:
        become(arguments)


def exit_after(command: Callable[[], None]) -> NoReturn:
    """Run the command, and exit at once: a thread that the app started when it was imported may never end."""
    code: object = 0
    try:
        command()
    except SystemExit as error:
        code = error.code or 0
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    log_writer.finish()  # only with monitoring
    os._exit(code if isinstance(code, int) else 1)


def stop(number: int, _frame: FrameType | None) -> None:
    """Exit, whatever the app's import is doing."""
    os._exit(128 + number)


def become(arguments: list[str]) -> None:
    """Replace this process by the server with this command line, or in a container by a process that drains it.

    `make local` names the socket in LISTEN: there is no other server that could take over, and supervisord needs none.
    """
    os.environ["SERVER_WORKERS"], os.environ["SERVER_THREADS"] = map(str, size(os.environ))  # for /version
    # gunicorn reads this variable too, and fails if it is empty.
    os.environ.pop("WEB_CONCURRENCY", None)
    # uWSGI allocates memory for each file that it may open. In a container the limit can mean gigabytes.
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (OPEN_FILES if hard == RLIM_INFINITY else min(OPEN_FILES, hard), hard))
    print("launch:", *arguments, file=sys.stderr, flush=True)
    # begin monitoring
    if settings().metrics_port:
        empty_metrics()
    # end monitoring
    # begin gunicorn
    if arguments[0] == "gunicorn":  # not by its name: a script's first line is a path, which cannot have any character
        arguments = [sys.executable, "-m", *arguments]
    # end gunicorn
    is_drained = not os.environ.get("LISTEN", "").startswith(UNIX)
    log_writer.hand_over(is_server=not is_drained)  # only with monitoring
    if is_drained:
        # A new program, because this one has imported the app. It unblocks the signals when it can handle them.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # -S: it needs the standard library only.
        drain = [sys.executable, "-S", "-m", "deploy.server.drain", own_address(os.environ)]
        os.execv(drain[0], [*drain, *arguments])
    os.execvp(arguments[0], arguments)


# begin monitoring
def empty_metrics() -> None:
    """Make an empty folder for the counts of this server, with its start time, and name it for workers and exporter."""
    folder = os.environ["METRICS_DIR"] = f"{os.environ.get('RUN_DIR') or tempfile.gettempdir()}/metrics"
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)  # noqa: PTH102 (as above)
    Path(folder, "started").touch()


# end monitoring
def check() -> list[str]:
    """Return the server's command line; exit with 78 for a bad setting, or with 1 if the app cannot be imported.

    A server would report a failed import once for each worker, and gunicorn would retry for ever.
    """
    report = Timer(REPORT_SECONDS, print, ["launch: still importing app.wsgi"], {"file": sys.stderr, "flush": True})
    report.daemon = True
    report.start()
    try:
        os.environ.update(environment())
        arguments = command(os.environ)
        settings()
        check_packages(os.environ)  # only with monitoring
        application = getattr(importlib.import_module("app.wsgi"), "application", None)
    except SettingError as error:
        print(f"launch: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    except BaseException as error:  # noqa: BLE001 (a module may call sys.exit())
        traceback.print_exception(error)
        sys.exit(f"launch: app.wsgi:application cannot be imported: {error!r}{remedy(error)}")
    finally:
        report.cancel()
    if not callable(application):
        sys.exit("launch: app/wsgi.py has no callable named application: assign your WSGI application to it")
    return arguments


def remedy(error: BaseException) -> str:
    """Return what to do about an exception of the import, as a clause of a sentence; nothing if that is unknown."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    match error:
        case ModuleNotFoundError(name=str(name)) if not name.startswith("app."):
            return (
                f": add the package that has {name} to dependencies in pyproject.toml, run make lock, and build again"
            )
        case KeyError(args=(name,)) if frames[-1].f_code is type(os.environ).__getitem__.__code__:
            return f": the environment variable {name} is not set: set it (docs/your-app.md, Environment variables)"
        case OSError(errno=errno.EROFS | errno.EACCES | errno.EPERM, filename=name):
            folder = settings().data_dir
            return f": the container cannot write to {name}: keep data in {folder} (DATA_DIR), temporary files in /tmp"
        case _:
            return ""


# begin monitoring
def check_packages(environ: Mapping[str, str]) -> None:
    """Raise SettingError if a setting needs a package that is not installed, or that has no support for the setting."""
    for name, (package, _) in PACKAGES.items():
        try:
            if environ.get(name):
                version(package)
        except PackageNotFoundError:
            raise SettingError(missing(name)) from None
    headers = environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")  # the SDK would log a malformed one, with its key
    if headers and not re.fullmatch(r"(?:[^=,\s]+=(?:(?!%0[aAdD])[^,\s])*,?)+", headers):
        raise SettingError("OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE,NAME=VALUE, with %20 for a space")
    choice(environ, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", ("http/protobuf",))


def missing(name: str) -> str:
    """Return one sentence about the package that a setting needs."""
    package, group = PACKAGES[name]
    remedy = f"uncomment {group!r} in the group monitoring in pyproject.toml, run make lock, and build again"
    return f"{name} is set, but {package} is not installed: {remedy}"


# end monitoring
def command(environ: Mapping[str, str], application: str = APPLICATION) -> list[str]:
    """Return the server's command line for these settings; raise SettingError for a bad one."""
    backend = choice(environ, "BACKEND", BACKENDS[0], BACKENDS)
    workers, threads = size(environ)
    listen = own_address(environ)
    if not re.fullmatch(r"unix:.{1,107}|[^:]+:\d+", listen):  # 107: sockaddr_un.sun_path, unix(7)
        raise SettingError(f"LISTEN is {listen!r}: it must be unix:PATH, 107 characters at most, or HOST:PORT")
    # begin monitoring
    if not listen.startswith(UNIX) and listen.endswith(f":{integer(environ, 'METRICS_PORT', 0, 0, 65_535)}"):
        raise SettingError(f"METRICS_PORT is {environ['METRICS_PORT']}: the server has this port: choose another one")
    # end monitoring
    check_time_zone(environ.get("TZ", ""))
    server = [backend, "--threads", f"{threads}"]
    # begin gunicorn
    if backend == "gunicorn":
        server += ["--config", f"{HERE}/gunicorn.conf.py", "--bind", listen, "--workers", f"{workers}"]
        # A worker accepts one connection for each thread. Further ones wait in the queue that all workers share.
        server += ["--worker-connections", f"{threads}", application]
    # end gunicorn
    # begin uwsgi
    if backend == "uwsgi":
        server += ["--ini", f"{HERE}/uwsgi.ini", "--http-socket", listen.removeprefix(UNIX)]
        server += ["--processes", f"{workers}", "--virtualenv", sys.prefix, "--module", application]
    # end uwsgi
    return server


def check_time_zone(zone: str) -> None:
    """Raise SettingError for an unknown time zone, which the C library treats as UTC (tzset(3), POSIX.1)."""
    is_rule = re.match(r":?(?:[A-Za-z]{3,}|<[^>]+>)[+-]?\d", zone)  # such as CET-1CEST
    folders = [Path(folder) for folder in TZPATH if Path(folder).is_dir()]
    if zone and not is_rule and folders and not any((folder / zone.removeprefix(":")).is_file() for folder in folders):
        raise SettingError(f"TZ is {zone!r}: it must be the name of a time zone, such as Europe/Zurich")


def size(environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of workers, and of threads in each; raise SettingError for one that is not allowed."""
    workers = integer(environ, "WEB_CONCURRENCY", worker_count(cpu_limit(), memory_limit()), 1, 1024)
    return workers, integer(environ, "WEB_THREADS", THREADS_PER_WORKER, 1, 1024)


if __name__ == "__main__":
    exit_after(main)
