"""The commands that read the logs, and the dashboard."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from deploy.monitoring.__main__ import OVERLAY, is_about
from deploy.monitoring.lines import readable
from tests.tree import ROOT

TIME = "2026-11-29T06:54:24.120+00:00"
RECORD = {"time": TIME, "level": "error", "logger": "app", "message": "failed", "request_id": "5f0c"}
DASHBOARD = json.loads((ROOT / "deploy" / "monitoring" / "grafana" / "dashboard.json").read_text())
# grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model
FIELDS = {
    *("id", "uid", "title", "tags", "timezone", "editable", "graphTooltip", "panels", "time", "timepicker"),
    *("templating", "annotations", "refresh", "schemaVersion", "version", "links"),
}
ACCESS = {
    "time": "2026-11-29T06:54:24+00:00",
    "request_id": "5f0c",
    "method": "GET",
    "path": "/about",
    "status": 404,
    "seconds": 0.003,
    "error": "",
}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (json.dumps(RECORD), "06:54:24.120 error app: failed 5f0c"),
        ("app-1  | " + json.dumps(RECORD), "app-1  | 06:54:24.120 error app: failed 5f0c"),
        (
            json.dumps(RECORD | {"traceback": "Traceback\nE"}),
            "06:54:24.120 error app: failed\n    Traceback\n    E 5f0c",
        ),
        (json.dumps(ACCESS), "06:54:24 404 GET /about 0.003s 5f0c"),
        (json.dumps(ACCESS | {"error": "no response"}), "06:54:24 404 GET /about 0.003s no response 5f0c"),
        ("release: alembic upgrade head", "release: alembic upgrade head"),
        ('{"a": 1}', '{"a": 1}'),
        ("{" * 99_999, "{" * 99_999),
        ("\x1b[2J\r\x9b", "\\x1b[2J\\r\\x9b"),
    ],
)
def test_line_is_readable(line, text):
    assert readable(line) == text


def test_lines_of_the_standard_input_are_shown():
    lines = b"site_app.1.0abc@n1    | " + json.dumps(RECORD).encode() + b"\n\xff\x1b\n"
    line = [sys.executable, "-m", "deploy.monitoring", "show"]
    shown = subprocess.run(line, cwd=ROOT, input=lines, capture_output=True, check=True).stdout
    assert shown == b"site_app.1.0abc@n1    | 06:54:24.120 error app: failed 5f0c\n\\xff\\x1b\n"


def test_colour_is_the_only_control_sequence():
    hostile = {key: "\x1b[2J\n06:54:24 200" if isinstance(value, str) else value for key, value in RECORD.items()}
    text = readable(json.dumps(hostile | {"time": TIME, "level": "error"}), is_coloured=True)
    assert text.startswith("06:54:24.120 \x1b[31merror\x1b[0m ")
    assert text.count("\x1b") == 4
    assert all(line.startswith("    ") for line in text.split("\n")[1:])


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        (json.dumps(RECORD), True),
        (json.dumps(RECORD | {"request_id": "other", "message": "5f0c"}), False),
        (json.dumps(ACCESS | {"request_id": "other", "path": "/5f0c"}), False),
        (json.dumps({"time": TIME, "message": "5f0c failed"}), True),  # of a thread that a handler started
        ("[error] upstream of 5f0c", True),
        ("nothing", False),
    ],
)
def test_line_is_about_a_request_unless_it_is_of_another(line, is_found):
    assert is_about(f"{line}\n", "5f0c") is is_found


@pytest.mark.parametrize("identifier", ["", "short", "a b c d e f g", "../../etc/passwd", "x" * 129, "--follow=$(id)"])
def test_malformed_id_is_refused_with_one_sentence(identifier):
    line = [sys.executable, "-m", "deploy.monitoring", "trace", identifier]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"trace: ID is {identifier!r}: it must be a request id, as in the X-Request-ID header of a response\n"
    )


def test_logs_leave_out_the_services_of_the_overlay():
    services = yaml.safe_load((ROOT / "deploy" / "monitoring" / "monitoring.yml").read_text())["services"]
    assert {name for name, service in services.items() if "image" in service} == OVERLAY


KEEP = """
from deploy.docker import Container
from deploy.monitoring import __main__ as monitoring, kept
kept.docker = lambda *_, **__: "caf\\xe9 \\ufffd\\n"  # the log of a container
monitoring.docker = lambda *_: ""  # there are no containers
kept.keep_log(Container("0" * 64, "site-app:1-gunicorn", "", "exited", "none", 0))
for name, lines in monitoring.logs():
    print(name, ascii("".join(lines)))
"""


def test_log_is_kept_in_any_locale(tmp_path):
    environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", KEEP]
    ended = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"1-gunicorn-{'0' * 12} 'caf\\xe9 \\ufffd\\n'\n", "")


@pytest.mark.parametrize("identifier", ["$(shell touch made)", "`touch made`", "$$(touch made)", "'; touch made; '"])
def test_make_runs_nothing_of_an_id(identifier, tmp_path):
    line = ["make", "--makefile", f"{ROOT}/Makefile", "trace", f"ID={identifier}", f"PYTHON={sys.executable}"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert f"trace: ID is {identifier!r}: it must be" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_configuration_of_the_shipper_is_yaml_and_uses_a_parser_that_it_has():
    text = re.search(r"```yaml\n(parsers:.*?)```", (ROOT / "docs" / "observability.md").read_text(), re.DOTALL)[1]
    found = yaml.safe_load(text)
    [parser], [source], [step] = found["parsers"], found["pipeline"]["inputs"], found["pipeline"]["filters"]
    assert (step["name"], step["parser"], step["key_name"]) == ("parser", parser["name"], "log")
    assert source["multiline.parser"] == "docker"


def test_dashboard_has_the_fields_that_grafana_documents():
    assert DASHBOARD.keys() == FIELDS
    assert DASHBOARD["id"] is None  # of a dashboard that is not saved yet
    assert 8 <= len(DASHBOARD["uid"]) <= 40
    assert {*DASHBOARD["time"]} == {"from", "to"}
    [variable] = DASHBOARD["templating"]["list"]
    source = {"type": variable["query"], "uid": f"${{{variable['name']}}}"}
    for panel in DASHBOARD["panels"]:
        assert {"id", "type", "title", "datasource", "gridPos", "fieldConfig", "targets"} <= panel.keys()
        assert panel["datasource"] == source
        assert [target["refId"] for target in panel["targets"]] == [*"ABCD"[: len(panel["targets"])]]
    for note in DASHBOARD["annotations"]["list"]:
        assert {"name", "enable", "iconColor", "datasource", "expr"} <= note.keys()
        assert note["datasource"] == source


def test_panels_of_the_dashboard_are_side_by_side():
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len({*taken})
    assert {x for x, _ in taken} == {*range(24)}  # the width of Grafana's grid
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len({*ids})
