"""recipes/jobs.py: a request starts a job, and a consumer runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import yaml

from recipes import jobs
from recipes.jobs import application, queue, report_job
from tests.stack.waiting import until
from tests.tree import ROOT
from tests.wsgi import call


@pytest.fixture(autouse=True)
def own_queue(data_dir, monkeypatch):
    monkeypatch.setattr(jobs, "WORK", 0)
    queue.cache_clear()
    report_job.cache_clear()
    yield
    queue().storage.close()
    queue.cache_clear()
    report_job.cache_clear()


@contextmanager
def consumer(work=0):
    """Run a consumer; `work` is the seconds that a job takes."""
    script = f"from recipes import jobs; jobs.WORK = {work}; jobs.consume()"
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def start():
    answer = call(application, "/reports", "POST")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/reports/{json.loads(answer.body)['id']}"
    return answer.headers["Location"]


def is_written(location):
    return call(application, location).status == 200


def test_consumer_that_stops_completes_its_job_and_leaves_the_others():
    locations = [start() for _ in range(3)]
    assert not any(map(is_written, locations))
    with consumer(work=0.5) as process:
        until(lambda: queue().pending_count() < 3, "the first job runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [is_written(location) for location in locations] == [True, False, False]
    with consumer():
        until(lambda: all(map(is_written, locations)), "the next consumer runs the others")


def test_failed_job_is_run_again(monkeypatch):
    def fail(identity):
        raise OSError(identity)

    monkeypatch.setattr(jobs, "write_report", fail)
    report_job()("one")
    queue().execute(queue().dequeue())
    [again] = queue().scheduled()
    assert (again.args, again.retries) == (("one",), 1)


def test_full_queue_gets_503(monkeypatch):
    monkeypatch.setattr(jobs, "WAITING", 1)
    start()
    answer = call(application, "/reports", "POST")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert queue().pending_count() == 1


@pytest.mark.parametrize(
    "identity", ["", "..", "../x", "x", "0" * 32, "0" * 31 + "\n", "\u0660" * 32, "n" * 300, "a\0"]
)
def test_other_identity_gets_404(identity, data_dir):
    (data_dir / "reports").mkdir(parents=True)
    (data_dir / "reports" / "x.json").write_text("{}")
    assert call(application, f"/reports/{identity}").status == 404


def test_described_service_fits_the_compose_file():
    service = re.search(r"^    jobs:\n(?:      .*\n)+", jobs.__doc__, re.MULTILINE)
    text = (ROOT / "docker-compose.yml").read_text()
    composed = yaml.safe_load(text.replace("services:\n", "services:\n" + re.sub("(?m)^  ", "", service[0]), 1))
    found, release = composed["services"]["jobs"], composed["services"]["release"]
    assert {*found["networks"]} == {*release["networks"]} <= {*composed["networks"]}
    assert found["volumes"] == release["volumes"]
