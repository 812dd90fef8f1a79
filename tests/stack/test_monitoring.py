"""deploy/monitoring: the rules with promtool, and a real Prometheus that scrapes the site."""

import re
import subprocess
import urllib.parse

import httpx
import pytest
import yaml

from deploy.server.metrics import SECONDS
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require
from tests.stack.waiting import until
from tests.tree import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
RULES = FOLDER / "prometheus" / "rules.yml"
FILES = ("docker-compose.yml", "deploy/monitoring/monitoring.yml")


def rules():
    """Return the rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments):
    image = yaml.safe_load((FOLDER / "monitoring.yml").read_text())["services"]["prometheus"]["image"]
    mount = f"--volume={FOLDER}/prometheus:/etc/prometheus:ro"
    line = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        mount,
        "--workdir=/etc/prometheus",
        "--entrypoint=promtool",
        image,
    ]
    ended = subprocess.run([*line, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_each_alert_fires_and_clears_in_the_tests_of_the_rules():
    require("docker", "gunicorn")
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "tests.yml")
    tests = yaml.safe_load((FOLDER / "prometheus" / "tests.yml").read_text())["tests"]
    expected = [each for test in tests for each in test.get("alert_rule_test", [])]
    for name in {rule["alert"] for rule in rules() if "alert" in rule}:
        fires = [bool(each["exp_alerts"]) for each in expected if each["alertname"] == name]
        assert True in fires, f"{name} never fires in tests.yml"
        assert fires[-1] is False or name == "ScrapeFails", f"{name} does not clear in tests.yml"


def test_objective_of_the_time_is_a_limit_of_the_histogram():
    limits = set(re.findall(r'le="([\d.]+)"', RULES.read_text()))
    assert limits <= {f"{seconds:g}" for seconds in SECONDS}


@pytest.mark.nightly
def test_prometheus_finds_the_site_and_an_alert_fires():
    require("docker", "gunicorn")
    stack = ComposeStack("gunicorn", "-prometheus", files=FILES, WEB_CONCURRENCY="2")

    def query(expression):
        answer = httpx.get("http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["result"]

    def alerts():
        found = httpx.get("http://127.0.0.1:9090/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}

    try:
        stack.up()
        until(lambda: [each["value"][1] for each in query('up{job="app"}')] == ["1"], "the app is scraped", 60)
        for _ in range(20):
            assert httpx.get(f"{stack.url}/").status_code == 200
        until(lambda: query('http_requests_total{route="/"} >= 20'), "the requests are counted", 60)
        for rule in rules():
            query(rule["expr"])
        for _ in range(5):
            stack.execute("app", "sh", "-c", f"kill -9 {min(stack.workers())}")
            until(lambda: len(stack.workers()) == 2 and stack.is_up(), "the next worker is ready")
        until(lambda: "WorkersAreKilled" in alerts(), "the alert fires", 60)
        stack.compose("stop", "app")
        until(lambda: "ScrapeFails" in alerts(), "the alert fires", 150)
        stack.compose("start", "app")
        until(lambda: "ScrapeFails" not in alerts(), "the alert clears", 60)
    finally:
        stack.compose("down", "--volumes", "--timeout", "1")
        stack.files = FILES[:1]  # the image of Prometheus stays
        stack.down()
