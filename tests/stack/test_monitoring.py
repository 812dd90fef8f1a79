"""The rules and configurations of deploy/monitoring, with the programs that read them. test_alerts.py runs them all."""

import json
import re
import subprocess
import time

import httpx
import pytest
import yaml

from deploy.server.metrics import SECONDS
from tests.drills.load import KINDS, load
from tests.stack.conftest import require
from tests.stack.site import Site
from tests.stack.waiting import free_port, until
from tests.tree import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = FOLDER / "grafana" / "dashboard.json"
RULES = FOLDER / "prometheus" / "rules.yml"


def rules():
    """Return the rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def tool(service, program, *arguments):
    """Run a program of the service's image on its configuration; fail the test if it fails."""
    found = yaml.safe_load((FOLDER / "monitoring.yml").read_text())["services"][service]
    source, target = found["volumes"][0].split(":")[:2]
    mount = [f"--volume={ROOT / source}:{target}:ro", f"--workdir={target}"]
    line = ["docker", "run", "--rm", "--network=none", *mount, *([f"--entrypoint={program}"] if program else [])]
    ended = subprocess.run([*line, found["image"], *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_alert_fires_and_clears_in_the_tests_of_the_rules():
    require("docker", "gunicorn")
    tool("prometheus", "promtool", "test", "rules", "tests.yml")
    tests = yaml.safe_load((FOLDER / "prometheus" / "tests.yml").read_text())["tests"]
    expected = [each for test in tests for each in test.get("alert_rule_test", [])]
    for name in {rule["alert"] for rule in rules() if "alert" in rule}:
        fires = [bool(each["exp_alerts"]) for each in expected if each["alertname"] == name]
        assert True in fires, f"{name} never fires in tests.yml"
        assert fires[-1] is False or name == "ScrapeFails", f"{name} does not clear in tests.yml"


def test_every_configuration_is_valid():
    require("docker", "gunicorn")
    tool("prometheus", "promtool", "check", "config", "prometheus.yml")
    tool("alertmanager", "amtool", "check-config", "alertmanager.yml")
    tool("blackbox-exporter", "", "--config.file=blackbox.yml", "--config.check")


def test_objective_of_the_time_is_a_limit_of_the_histogram():
    limits = set(re.findall(r'le="([\d.]+)"', RULES.read_text()))
    assert limits <= {f"{seconds:g}" for seconds in SECONDS}


@pytest.mark.nightly
def test_deploys_with_monitoring_lose_no_request_and_fire_no_alert(tmp_path):
    require("docker", "gunicorn")
    site = Site("gunicorn", "-monitoring", tmp_path)
    ports = {name: str(free_port()) for name in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT")}
    prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/api/v1"
    page = (ROOT / "docs" / "observability.md").read_text()
    [files] = re.findall(r"^COMPOSE_FILE=(.+)$", page, re.MULTILINE)
    [command] = re.findall(r"^\$ docker compose (up .*nginx prometheus .*)$", page, re.MULTILINE)
    [releases] = [each["expr"] for each in json.loads(DASHBOARD.read_text())["annotations"]["list"]]

    def started():
        span = {"start": f"{time.time() - 300:.0f}", "end": f"{time.time():.0f}", "step": "5"}
        found = httpx.get(f"{prometheus}/query_range", params={"query": releases, **span}).json()["data"]["result"]
        return {each["metric"]["release"] for each in found}

    try:
        site.make(RELEASE="one")
        site.change(".env", "".join(f"{name}={value}\n" for name, value in {**ports, "COMPOSE_FILE": files}.items()))
        site.files = (*files.split(":"),)
        site.compose(*command.split())
        until(site.is_up, "nginx is back")
        with load(site.url, kinds=KINDS[:2], counts=False) as busy:
            for release in ("two", "three"):
                site.make(RELEASE=release)
                until(lambda release=release: release in started(), "the dashboard shows the release")
        assert busy.failed() == []
        assert busy.answers != []
        assert started() == {"two", "three"}
        alerts = httpx.get(f"{prometheus}/alerts").json()["data"]["alerts"]
        assert [each["labels"] for each in alerts if each["state"] == "firing"] == []
    finally:
        site.compose("down", "--volumes", "--timeout", "1")
        site.files = site.files[:1]  # the images of the overlay stay
        site.down()
