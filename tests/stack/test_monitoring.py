"""The rules and configurations of deploy/monitoring, with the programs that read them. test_alerts.py runs them all."""

import re
import subprocess

import yaml

from deploy.server.metrics import SECONDS
from tests.stack.conftest import require
from tests.tree import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
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
