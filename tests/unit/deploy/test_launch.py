"""The launcher: the command line for each setting, and the errors that stop it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.variables import SettingError
from deploy.server import launch

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=launch.BACKENDS)
def backend(request):
    return request.param


def option(line, name):
    """Return the value that follows `name` on a command line."""
    return line[line.index(name) + 1]


def test_settings_reach_server(backend):
    line = launch.command({"BACKEND": backend, "WEB_CONCURRENCY": "3", "WEB_THREADS": "5", "LISTEN": "0.0.0.0:8000"})
    assert line[0] == backend
    assert option(line, {"gunicorn": "--workers", "uwsgi": "--processes"}[backend]) == "3"
    assert option(line, "--threads") == "5"
    assert option(line, {"gunicorn": "--bind", "uwsgi": "--http-socket"}[backend]) == "0.0.0.0:8000"


def test_default_is_the_first_server_on_its_own_socket(monkeypatch):
    monkeypatch.setattr("deploy.server.live.container_id", lambda: "0123")
    line = launch.command({"WEB_CONCURRENCY": ""})
    assert line[0] == launch.BACKENDS[0]
    assert option(line, *{"--bind", "--http-socket"} & {*line}).removeprefix("unix:") == "/run/app/0123.sock"
    assert int(option(line, *{"--workers", "--processes"} & {*line})) >= 2


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("BACKEND", "waitress", f"one of {', '.join(launch.BACKENDS)}"),
        *(("WEB_CONCURRENCY", value, "a whole number from 1 to 1024") for value in ("abc", "0", "-1", "2.5", "1025")),
        ("WEB_THREADS", "many", "a whole number from 1 to 1024"),
        *(("LISTEN", value, "unix:PATH") for value in ("8000", "unix:", "unix:" + "x" * 108, "localhost:http")),
    ],
)
def test_invalid_setting_is_named_in_error(name, value, allowed):
    with pytest.raises(SettingError) as refusal:
        launch.command({name: value})
    assert str(refusal.value).startswith(f"{name} is {value!r}: it must be {allowed}")


# begin monitoring
def test_metrics_port_that_the_server_has_is_refused():
    with pytest.raises(SettingError, match="METRICS_PORT is 8000: the server has this port"):
        launch.command({"LISTEN": "0.0.0.0:8000", "METRICS_PORT": "8000"})
    assert launch.command({"LISTEN": "unix:/a:8000", "METRICS_PORT": "8000"})


# end monitoring
@pytest.mark.parametrize("then", ["", "raise ValueError"])
def test_thread_of_the_app_does_not_keep_a_one_shot_running(then, tmp_path):
    (tmp_path / "app").mkdir()
    for path in (ROOT / "app").glob("*.py"):
        (tmp_path / "app" / path.name).write_text(path.read_text())
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\napplication = print\n"
    (tmp_path / "app" / "wsgi.py").write_text(thread + then)
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.server.launch", "--check"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == bool(then), ended.stderr
    assert ("launch: app.wsgi:application cannot be imported" in ended.stderr) == bool(then)


def start(environ, folder=ROOT):
    """Run a launcher that must fail before it starts a server, and return the finished process."""
    environ = {"PATH": "/nowhere", "PYTHONPATH": f"{folder}:{ROOT}", **environ}
    environ["LOG_FORMAT"] = "text"  # only with monitoring
    return subprocess.run(
        [sys.executable, "-m", "deploy.server.launch"],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    "setting",
    [
        *("WEB_CONCURRENCY=abc", "LOG_LEVEL=loud", "MAX_BODY_BYTES=1m"),
        # begin monitoring
        *("METRICS_PORT=http", "METRICS_PORT=65536"),
        *(
            f"OTEL_EXPORTER_OTLP_ENDPOINT={each}"
            for each in ("collector:4318", "on", "http://", "http://a:99999", "grpc://a")
        ),
        *(f"OTEL_TRACES_SAMPLER_ARG={each}" for each in ("1.1", "-0.1", "half", "nan", "10%")),
        *("OTEL_TRACES_SAMPLER=always_on", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        *(f"SENTRY_DSN={each}" for each in ("on", "https://sentry.example.org/1", "http://", "a/1")),
        # end monitoring
    ],
)
def test_invalid_setting_stops_launcher_with_one_sentence(setting, backend):
    name, _, value = setting.partition("=")
    ended = start({name: value, "BACKEND": backend})
    assert ended.returncode == os.EX_CONFIG
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"launch: {name} is {value!r}: it must be ")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "import nowhere",
            "ModuleNotFoundError(\"No module named 'nowhere'\"): add the package that has nowhere to depend",
        ),
        ("import app.nowhere", "ModuleNotFoundError(\"No module named 'app.nowhere'\")"),
        ("raise SystemExit(0)", "SystemExit(0)"),
        ("1 / 0", "ZeroDivisionError('division by zero')"),
        ("{}['a']", "KeyError('a')"),
        (
            "import os; os.environ['SECRET_KEY']",
            "KeyError('SECRET_KEY'): the environment variable SECRET_KEY is not set: ",
        ),
        ("raise OSError(30, 'Read-only file system', '/srv/x')", "(DATA_DIR), temporary files in /tmp"),
        ("no_application = 1", "launch: app/wsgi.py has no callable named application: assign"),
        ("application = 1", "launch: app/wsgi.py has no callable named application: assign"),
        ("syntax error", "SyntaxError("),
    ],
)
def test_import_error_of_app_is_reported_once_with_a_remedy(fault, sentence, backend, tmp_path):
    (tmp_path / "app").mkdir()
    modules = ["__init__", "settings", "variables"]
    modules += ["log", "log_format", "log_line"]  # only with monitoring
    for module in modules:
        (tmp_path / "app" / f"{module}.py").write_text((ROOT / "app" / f"{module}.py").read_text())
    (tmp_path / "app" / "wsgi.py").write_text(fault)
    ended = start({"BACKEND": backend}, tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") <= 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(("launch: app.wsgi:application cannot be imported: ", sentence))
    assert sentence in last
