"""What `make swarm-deploy` asks the managers, with a stub for `docker`: leaders, the lock, secrets, rollouts."""

import re
from types import SimpleNamespace

import pytest

from deploy.docker import DeployError
from deploy.release.lock import LockedError
from deploy.swarm import engine as managers
from deploy.swarm import rollout, secret
from tests.swarm.unit.descriptions import NEW, NODES, OLD, described, refuses

# --- The managers -----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock of the modules by one that only sleep() moves."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(rollout, "time", clock)
    monkeypatch.setattr(managers, "time", clock)
    return clock


@pytest.mark.parametrize(
    "output",
    [
        "Error response from daemon: rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        "rpc error: code = Unknown desc = The swarm does not have a leader.",
        "rpc error: code = Unknown desc = update out of sequence",
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    ],
)
def test_command_is_repeated_while_the_managers_have_no_leader(output, clock, monkeypatch):
    answers = [DeployError(output), DeployError(output), "done"]

    def docker(*arguments):
        answer = answers.pop(0)
        if isinstance(answer, DeployError):
            raise answer
        return answer

    monkeypatch.setattr(managers, "docker", docker)
    assert managers.ask("service", "ls") == "done"
    monkeypatch.setattr(managers, "docker", refuses(output))
    with pytest.raises(DeployError, match=re.escape(output)):
        managers.ask("service", "ls")
    assert clock.now > managers.RETRY_SECONDS


@pytest.mark.parametrize("sentence", ["No such task: 2", "Error response from daemon: task 2 not found"])
def test_task_that_the_engine_removes_meanwhile_is_left_out(sentence, monkeypatch):
    listed = ["1 2", "1"]

    def ask(*arguments):
        if "ps" in arguments:
            return listed.pop(0)
        if "2" in arguments:
            raise DeployError(sentence)
        return "[1]"

    monkeypatch.setattr(managers, "ask", ask)
    monkeypatch.setattr(managers, "service", lambda name: described())
    assert managers.tasks("site_app") == [1]


def test_other_errors_of_a_command_are_not_repeated(clock, monkeypatch):
    monkeypatch.setattr(managers, "docker", refuses("rpc error: code = InvalidArgument desc = invalid mount"))
    with pytest.raises(DeployError, match="invalid mount"):
        managers.ask("stack", "deploy")
    assert clock.now == 0


def test_second_deploy_is_refused_and_leaves_the_lock(monkeypatch):
    commands, holders = [], []

    def ask(*arguments, stdin=""):
        commands.append(" ".join(arguments[:2]))
        if "create" in arguments:
            holders.append(stdin)
            if len(holders) > 1:
                raise DeployError("rpc error: code = AlreadyExists desc = config site_deploy already exists")
        return holders[0] if "inspect" in arguments else ""

    monkeypatch.setattr(managers, "ask", ask)
    with managers.held("site"):
        monkeypatch.setattr(managers.socket, "gethostname", lambda: "another-machine")
        with (
            pytest.raises(LockedError, match=r"another deploy is running \(.*process \d+\): try again"),
            managers.held("site"),
        ):
            pass
    assert commands == ["config create", "config create", "config inspect", "config rm"]
    assert "another-machine" not in holders[0]


@pytest.fixture
def secrets_file(tmp_path, monkeypatch):
    path = tmp_path / ".secrets"
    monkeypatch.setattr(secret, "SECRETS", path)
    return path


def test_missing_secrets_are_refused_if_the_live_release_has_some(secrets_file):
    assert secret.check("site", {}) == secret.NONE
    assert secret.check("site", described(secrets=[secret.name("site", secret.NONE)])) == secret.NONE
    with pytest.raises(DeployError, match=r"does not exist here, but the live release has secrets: .* empty one"):
        secret.check("site", described())
    secrets_file.write_text("# nothing\n")
    assert secret.check("site", described()) == secret.NONE
    secrets_file.write_text("A=b\n")
    assert secret.check("site", described()) == "A=b\n"


def test_secrets_are_removed_but_those_of_the_current_and_the_previous_specification(monkeypatch):
    removed = []

    def ask(*arguments):
        removed.extend(arguments[2:] if arguments[1] == "rm" else [])
        return "site_app_1\nsite_app_2\nsite_app_3\nsite_application_4\nother_app_5\n"

    monkeypatch.setattr(secret, "ask", ask)
    monkeypatch.setattr(
        secret,
        "service",
        lambda name: described(secrets=["site_app_3"], PreviousSpec=described(secrets=["site_app_2"])["Spec"]),
    )
    secret.prune("site")
    assert removed == ["site_app_1"]


# --- The rollout ------------------------------------------------------------------------------------------------------


def task(number, image, state="running", desired="running", **more):
    node, error = more.get("node", "1"), more.get("error", "")
    status = {"State": state} | ({"Err": error} if error else {})
    container = described(image)["Spec"]["TaskTemplate"]["ContainerSpec"]
    return {"ID": str(number), "NodeID": node, "Spec": {"ContainerSpec": container}} | {
        "Status": status,
        "DesiredState": desired,
    }


@pytest.fixture
def update(clock, monkeypatch):
    """Return an update from OLD to NEW, whose states and tasks a test provides."""
    found = SimpleNamespace(tasks=[task(number, OLD) for number in range(3)], service=described(OLD))
    monkeypatch.setattr(rollout, "tasks", lambda name: found.tasks)
    monkeypatch.setattr(rollout, "service", lambda name: found.service)
    monkeypatch.setattr(rollout, "nodes", lambda: NODES)
    monkeypatch.setattr(rollout, "last_logs", lambda *arguments: f"log of {arguments[-1]}")
    found.rollout = rollout.Rollout("site_app")
    found.service = described(NEW)
    found.rollout.begin()
    return found


@pytest.mark.parametrize("state", ["completed", "rollback_completed"])
def test_update_that_was_rolled_back_is_a_failure_whatever_its_state_is(state, update):
    update.service = described(OLD, UpdateStatus={"State": state, "Message": "done"})
    update.tasks += [task(3, NEW, "failed", "shutdown", error="unhealthy container")]
    with pytest.raises(DeployError) as raised:
        update.rollout.wait(NEW)
    assert str(raised.value) == ("site_app has one-two-uwsgi, not two-uwsgi: done: n1: unhealthy container\nlog of 3")


def test_update_is_complete_when_every_replica_runs_the_new_image(update, clock, monkeypatch):
    update.service["UpdateStatus"] = {"State": "completed"}
    update.tasks = [task(0, OLD), *(task(number, NEW) for number in (3, 4))]
    monkeypatch.setattr(clock, "sleep", lambda seconds: update.tasks.__setitem__(0, task(5, NEW)))
    update.rollout.wait(NEW)
    assert {each["ID"] for each in update.tasks} == {"3", "4", "5"}


def test_reasons_are_those_of_the_new_tasks_on_their_nodes(update):
    update.tasks[0] |= {"Status": {"State": "failed", "Err": "power cut"}}
    update.tasks += [
        task(3, NEW, "failed", error="no disk"),
        task(4, NEW, "failed", error="no disk"),
        task(5, NEW, "rejected", node="2", error="No such image: x"),
    ]
    assert update.rollout.reasons(update.tasks) == (
        ": n1: no disk; n2: No such image: x (the node could not pull it: is its disk full, or the registry away?)"
        "\nlog of 3"  # the log of a node that is down cannot be read
    )


def test_rollout_fails_only_if_no_further_replica_runs_in_time(update, clock, monkeypatch):
    # One more runs every 200 seconds, five in all; the sixth never runs.
    monkeypatch.setattr(
        rollout,
        "tasks",
        lambda name: [
            task(number, NEW, "running" if number < min(5, clock.now // 200) else "preparing") for number in range(6)
        ],
    )
    with pytest.raises(DeployError, match="site_app: no further replica after 300 seconds"):
        list(update.rollout.polls(rollout.REPLICA_SECONDS))
    assert 1300 <= clock.now < 1303
