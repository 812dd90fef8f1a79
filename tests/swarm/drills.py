"""Drills on a cluster under load. They run in this order, and each restores what the next one needs."""

import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from subprocess import Popen

from deploy.server.drain import DNS_DELAY, QUIET_SECONDS
from tests.drills.drills import NOTHING_FAILS, Drill, Goal
from tests.drills.load import KINDS, Load
from tests.engines import Engine
from tests.stack.site import other
from tests.stack.waiting import until
from tests.swarm.cluster import Cluster

# The load of the drills on one machine, sent to each node.
LOAD = KINDS
# Code in app/wsgi.py that a server executes, and the launcher does not.
IN_SERVER = 'import os, sys, threading\nif {"gunicorn", "uwsgi"} & sys.modules.keys():\n    '
# The registry goes away when the deploy prints this; whether the release is then live. Later, every node has its image.
REGISTRY_PHASES = {"building": False, "publishing": False, "checking its settings": True, "updating to": True}
# Ctrl-C when the deploy prints this, and its answer.
INTERRUPTED_PHASES = {
    "building": "nothing was updated",
    "publishing": "nothing was updated",
    "checking its settings": "No replica was updated",
    "updating to": "the engine continues.",
}


def deploy(cluster: Cluster, clients: Load) -> None:
    before = named = cluster.static_files()
    with cluster.changed("app/static/style.css", "/* second */"), ThreadPoolExecutor() as pool:
        deploy = pool.submit(cluster.make, RELEASE="second")
        # Every node has the files of both releases, whichever page names them.
        while not deploy.done():
            named = named | cluster.static_files()
            assert not cluster.missing(named)
            time.sleep(0.2)
        deploy.result()
    wait_until_live(cluster, "second")
    assert len(cluster.static_files() - before) == 1
    assert not cluster.missing(before)


def roll_back(cluster: Cluster, clients: Load) -> None:
    nginx = cluster.service("nginx")["Version"]
    with cluster.without_registry():
        for release, previous in (("first", "second"), ("second", "first")):
            assert f"  {release} on" in cluster.make("releases")
            cluster.make("rollback")
            wait_until_live(cluster, release)
            assert f"* {release} on" in (output := cluster.make("releases"))
            assert f"  {previous} on" in output
    assert cluster.service("nginx")["Version"] == nginx
    assert "the engine keeps only first" in cluster.make("rollback", RELEASE="zeroth", fails=True)


def scale(cluster: Cluster, clients: Load) -> None:
    for count in (6, 3):
        cluster.manager("service", "scale", f"site_app={count}")  # returns when that many replicas run
        assert len(cluster.replicas()) == count


def switch(cluster: Cluster, clients: Load) -> None:
    cluster.make(BACKEND=other(cluster.backend), RELEASE="third")
    wait_until_live(cluster, "third")
    assert cluster.releases() == {f"third-{other(cluster.backend)}"}
    assert len(cluster.replicas()) == 3  # the scale is kept


def broken(cluster: Cluster, clients: Load) -> None:
    # The launcher can import it, but a server cannot. So only the rollout detects it.
    before, robots = cluster.live(), cluster.get("/robots.txt")
    with (
        cluster.changed("app/wsgi.py", f"{IN_SERVER}raise RuntimeError\n"),
        cluster.changed("app/static/root/robots.txt", "Disallow: /fourth"),
    ):
        output = cluster.make(RELEASE="fourth", fails=True)
    assert "rollback completed" in output
    assert re.search(r"n\d: task: non-zero exit", output)
    wait_until_live(cluster, before)
    assert cluster.get("/robots.txt") == robots
    assert f"* {before} on" in cluster.make("releases")


def crash(cluster: Cluster, clients: Load) -> None:
    before = cluster.live()
    kill = "threading.Timer(8, os.kill, (os.getppid(), 9)).start()\n"
    with cluster.changed("app/wsgi.py", f"{IN_SERVER}{kill}"):
        output = cluster.make(RELEASE="crash", fails=True)
    assert "rollback completed" in output
    wait_until_live(cluster, before)
    tasks = cluster.manager("service", "ps", "--format", "{{.Name}} {{.Image}}", "site_app").splitlines()
    assert len({line.split()[0] for line in tasks if ":crash-" in line}) == 1  # no other replica was replaced
    clients.event = min((each.begun for each in clients.failed()), default=0)  # the crash


def two_deploys(cluster: Cluster, clients: Load) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(cluster.make, RELEASE="fifth")
        until(lambda: "site_deploy" in cluster.manager("config", "ls"), "the first deploy holds the lock")
        output = cluster.make(RELEASE="sixth", node=1, fails=True)
        assert "another deploy is running" in output
        assert first.result().count("is live") == 1
    wait_until_live(cluster, "fifth")
    assert "site_deploy" not in cluster.manager("config", "ls")


def registry_away(cluster: Cluster, clients: Load) -> None:
    before, nginx = cluster.live(), cluster.tasks("nginx")
    with cluster.without_registry():
        assert "is live" not in cluster.make(RELEASE="seventh", fails=True)
    for number, (phase, is_live) in enumerate(REGISTRY_PHASES.items()):
        with ExitStack() as stack:

            def act(process: Popen[str], stack: ExitStack = stack) -> None:
                os.killpg(process.pid, signal.SIGSTOP)  # until the registry is away
                stack.enter_context(cluster.without_registry())
                os.killpg(process.pid, signal.SIGCONT)

            code, output = cluster.deploy(phase, act, RELEASE=f"away{number}")
        assert (code == 0) == is_live, output
        before = f"away{number}" if is_live else before
        wait_until_live(cluster, before)
    assert cluster.tasks("nginx") == nginx


def interrupted(cluster: Cluster, clients: Load) -> None:
    before = cluster.live()

    def act(process: Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGINT)

    def act_during_update(process: Popen[str]) -> None:
        until(lambda: cluster.updating() == "updating", "the update has begun", 60)
        act(process)

    for number, (phase, sentence) in enumerate(INTERRUPTED_PHASES.items()):
        code, output = cluster.deploy(
            phase, act_during_update if phase == "updating to" else act, RELEASE=f"interrupted{number}"
        )
        assert (code, sentence in output, "Traceback" in output) == (130, True, False), output
        assert "site_deploy" not in cluster.manager("config", "ls")
        if phase == "updating to":
            until(lambda: cluster.updating() == "completed", "the engine has updated the app", 120)
            before = f"interrupted{number}"
        wait_until_live(cluster, before)


def missing_secret(cluster: Cluster, clients: Load) -> None:
    with cluster.changed(".secrets", "MAX_BODY_BYTES=600000"):
        cluster.make(RELEASE="secret")
    before = cluster.service("app")["Version"]
    output = cluster.make(RELEASE="without", fails=True)
    assert "the live release has secrets" in output
    assert "building" not in output
    assert cluster.service("app")["Version"] == before
    with cluster.changed(".secrets", ""):
        cluster.make(RELEASE="secret")
    # `docker service rollback` returns to the previous one. The older ones are removed.
    assert cluster.manager("secret", "ls", "--format", "{{.Name}}").count("site_app_") == 2


def missed_drained(cluster: Cluster, clients: Load) -> None:
    engine, before = cluster.engines[2], cluster.static_files()
    take_out(cluster, clients, engine)
    cluster.manager("node", "update", "--availability", "drain", "n3")
    until(lambda: not cluster.is_up(engine), "the node does not serve", 90)
    with cluster.changed("app/static/style.css", "/* eighth */"):
        assert "n3 (Ready, Drain)" in cluster.make(RELEASE="eighth")
    cluster.manager("node", "update", "--availability", "active", "n3")
    ready_with_files(cluster, clients, engine, before)
    spread(cluster)


def missed_down(cluster: Cluster, clients: Load) -> None:
    engine, before = cluster.engines[2], cluster.static_files()
    take_out(cluster, clients, engine)
    engine.cut(cluster.name)
    until(lambda: run_elsewhere(cluster, "n3"), "three replicas run on other nodes", 120)
    with cluster.changed("app/static/style.css", "/* ninth */"):
        assert "n3 (Down, Active)" in cluster.make(RELEASE="ninth")
    engine.restore(cluster.name)
    ready_with_files(cluster, clients, engine, before)
    spread(cluster)


def join_and_leave(cluster: Cluster, clients: Load) -> None:
    before = cluster.static_files()
    with cluster.changed("app/static/style.css", "/* tenth */"):
        cluster.make(RELEASE="tenth")
    engine = cluster.start(4)
    until(engine.is_up, "the engine is up", 60)
    cluster.engines.append(engine)
    cluster.join(engine, "worker")
    ready_with_files(cluster, clients, engine, before)
    cluster.engines.remove(engine)
    cluster.manager("node", "update", "--availability", "drain", "n4")
    engine.docker("swarm", "leave")
    until(lambda: "Down" in cluster.manager("node", "ls", "--filter", "name=n4"), "the node is down", 120)
    cluster.manager("node", "rm", "n4")
    assert "n4" not in cluster.make("status")
    cluster.make("rollback")


def leader_dies(cluster: Cluster, clients: Load) -> None:
    if cluster.leader() == "n1":  # on which the commands run
        second = cluster.engines[1]
        second.docker("node", "demote", "n1")
        until(lambda: second.docker("node", "ls").count("Reachable") == 1, "n1 is a worker", 60)
        until(lambda: is_accepted(second, "node", "promote", "n1"), "n1 is promoted", 60)
        until(lambda: second.docker("node", "ls").count("Reachable") == 2, "n1 is a manager", 60)
    engine, before = cluster.engine(cluster.leader()), cluster.static_files()
    take_out(cluster, clients, engine)

    def act(_: object) -> None:
        until(lambda: cluster.updating() == "updating", "the update has begun", 60)
        clients.event = time.monotonic()
        engine.cut(cluster.name)

    code, output = cluster.deploy("updating to", act, RELEASE="eleventh")
    assert (code, "eleventh" in output.splitlines()[-1]) == (0, True), output
    until(lambda: run_elsewhere(cluster, engine.name.rpartition("-")[2]), "three replicas run on other nodes", 120)
    wait_until_live(cluster, "eleventh")
    engine.restore(cluster.name)
    ready_with_files(cluster, clients, engine, before)
    spread(cluster)


def drain(cluster: Cluster, clients: Load) -> None:
    engine = cluster.engines[1]
    take_out(cluster, clients, engine)
    cluster.manager("node", "update", "--availability", "drain", "n2")
    until(lambda: len(where := cluster.replicas()) == 3 and "n2" not in where, "three replicas run on other nodes", 90)
    engine.restart_daemon()
    cluster.manager("node", "update", "--availability", "active", "n2")
    until(lambda: cluster.is_up(engine), "the site is up on the node", 120)
    spread(cluster)


def restart_daemon(cluster: Cluster, clients: Load) -> None:
    engine = cluster.engine(min(cluster.replicas()))
    take_out(cluster, clients, engine)
    engine.restart_daemon()
    until(lambda: cluster.is_up(engine), "the site is up on the node", 120)
    until(lambda: len(cluster.replicas()) == 3, "three replicas run", 60)
    spread(cluster)


def lose(cluster: Cluster, clients: Load) -> None:
    lost = max(cluster.replicas())  # not the first node, on which the commands run
    engine = cluster.engine(lost)
    take_out(cluster, clients, engine)
    engine.cut(cluster.name)
    until(lambda: run_elsewhere(cluster, lost), "three replicas run on other nodes", 120)
    time.sleep(15)  # nginx's timeout for requests in flight on the lost node has then passed


def ready_with_files(cluster: Cluster, clients: Load, engine: Engine, before: set[str]) -> None:
    """Check the node as a load balancer does until it is ready: it then serves every file of the last two releases."""
    answers: list[int] = []

    def is_ready() -> bool:
        answers.append(cluster.readiness(engine))
        return answers[-1] == 200

    until(is_ready, f"{engine.name} is ready", 180)
    assert cluster.missing(before | cluster.static_files()) == []
    clients.said = f"the node answered /readyz {answers.count(503)} times with 503 before 200"


def is_accepted(engine: Engine, *arguments: str) -> bool:
    """Run a command, and tell whether the engine accepts it: it can answer `update out of sequence`."""
    try:
        engine.docker(*arguments)
    except AssertionError:
        return False
    return True


def run_elsewhere(cluster: Cluster, lost: str) -> bool:
    """Tell whether all replicas run on other nodes. Without a leader, until one is elected, the command fails."""
    try:
        where = cluster.replicas()
    except AssertionError:
        return False
    return len(where) == 3 and lost not in where


def wait_until_live(cluster: Cluster, release: str) -> None:
    """Wait until only this release responds. A draining replica responds until every nginx has the new addresses."""
    until(lambda: cluster.live() == release, f"only {release} is live", DNS_DELAY + QUIET_SECONDS)


def spread(cluster: Cluster) -> None:
    """Spread the replicas over all nodes again. The engine does so only on request, and not always evenly."""
    for _ in range(3):
        cluster.manager("service", "update", "--quiet", "--force", "site_app")
        if sorted(cluster.replicas()) == ["n1", "n2", "n3"]:
            return
    assert len(set(cluster.replicas())) > 1


def take_out(cluster: Cluster, clients: Load, engine: Engine) -> None:
    """Send no more requests to the node, as a load balancer would, and let the requests in flight end."""
    clients.urls.remove(cluster.url(engine))
    time.sleep(3)
    clients.event = time.monotonic()


# The requests from two nodes that are in flight on one replica of three. nginx does not notice that they are lost, and
# waits 30 seconds for each. A request that the replica has not accepted is retried on another one at once.
LOST = Goal(2 * sum(kind.clients for kind in LOAD) // 3, ("* 503", "* 504", "* IncompleteRead"), 5)
# The daemon gives this replica 15 seconds to stop, which can abort slow requests.
RESTARTED = Goal(2 * sum(kind.clients for kind in LOAD if kind.name == "slow"), LOST.outcomes, 5)

# The requests in flight on one replica of four. The engine can restart it before the rollback, and it crashes again.
CRASHED = Goal(3 * sum(kind.clients for kind in LOAD), LOST.outcomes, 15)


def complete(act: Callable[[Cluster, Load], None]) -> Callable[[Cluster, Load], None]:
    """Return the drill, after which every node that is up must serve every file of the live page."""

    def acted(cluster: Cluster, clients: Load) -> None:
        act(cluster, clients)
        assert cluster.missing(cluster.static_files()) == []

    return acted


DRILLS = [
    Drill(name, complete(act), goal, LOAD)
    for name, act, goal in (
        ("deploy", deploy, NOTHING_FAILS),
        ("roll back twice while the registry is away", roll_back, NOTHING_FAILS),
        ("scale 2 -> 6 -> 3", scale, NOTHING_FAILS),
        ("switch the backend", switch, NOTHING_FAILS),
        ("a broken update", broken, NOTHING_FAILS),
        ("a release that crashes after 8 s", crash, CRASHED),
        ("two deploys at once from two managers", two_deploys, NOTHING_FAILS),
        ("the registry goes away, in each phase of a deploy", registry_away, NOTHING_FAILS),
        ("Ctrl-C in each phase of a deploy", interrupted, NOTHING_FAILS),
        ("a missing secret", missing_secret, NOTHING_FAILS),
        ("drain a node, restart its daemon, activate it", drain, NOTHING_FAILS),
        ("drain a node, deploy, activate it", missed_drained, NOTHING_FAILS),
        ("a node joins, leaves for good, and a rollback", join_and_leave, NOTHING_FAILS),
        ("restart the daemon of a manager, undrained", restart_daemon, RESTARTED),
        ("lose a node, deploy, bring it back", missed_down, LOST),
        ("lose the leader during an update, bring it back", leader_dies, LOST),
        ("lose a node", lose, LOST),
    )
]
