"""What happens to a cluster under load, one after the other: each leaves it as the next one needs it."""

import time
from concurrent.futures import ThreadPoolExecutor

from deploy.server.drain import DNS_DELAY, QUIET_SECONDS
from tests.drills.drills import NOTHING_FAILS, Drill, Goal
from tests.drills.load import KINDS, Load
from tests.engines import Engine
from tests.stack.site import other
from tests.stack.waiting import until
from tests.swarm.cluster import Cluster

# As on one machine, through each of the three.
LOAD = KINDS


def deploy(cluster: Cluster, clients: Load) -> None:
    before = named = cluster.static_files()
    with cluster.changed("app/static/style.css", "/* second */"), ThreadPoolExecutor() as pool:
        deploy = pool.submit(cluster.make, RELEASE="second")
        # Whichever release's page somebody has, every machine has its files.
        while not deploy.done():
            named = named | cluster.static_files()
            assert not [name for name in named if "404" in cluster.get(name)]
            time.sleep(0.2)
        deploy.result()
    wait_until_live(cluster, f"second-{cluster.backend}")
    after = cluster.static_files()
    assert len(after - before) == 1
    assert not [name for name in before | after if "404" in cluster.get(name)]


def scale(cluster: Cluster, clients: Load) -> None:
    for count in (6, 3):
        cluster.manager("service", "scale", f"site_app={count}")  # returns when so many run
        assert len(cluster.replicas()) == count


def switch(cluster: Cluster, clients: Load) -> None:
    cluster.make(BACKEND=other(cluster.backend), RELEASE="third")
    wait_until_live(cluster, f"third-{other(cluster.backend)}")
    assert len(cluster.replicas()) == 3  # as it was scaled


def broken(cluster: Cluster, clients: Load) -> None:
    # It can be imported, but by no server: so only the engine finds out.
    [before], robots = cluster.releases(), cluster.get("/robots.txt")
    text = 'import sys\nif {"gunicorn", "uwsgi"} & sys.modules.keys():\n    raise RuntimeError\n'
    with cluster.changed("app/wsgi.py", text), cluster.changed("app/static/root/robots.txt", "Disallow: /fourth"):
        said = cluster.make(RELEASE="fourth", fails=True)
    assert "rollback completed" in said
    wait_until_live(cluster, before)
    assert cluster.get("/robots.txt") == robots
    assert f":{before}@" in cluster.service("assets")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


def drain(cluster: Cluster, clients: Load) -> None:
    engine = cluster.engines[1]
    take_out(cluster, clients, engine)
    cluster.manager("node", "update", "--availability", "drain", "n2")
    until(lambda: len(where := cluster.replicas()) == 3 and "n2" not in where, "all run elsewhere", 90)
    engine.restart_daemon()
    cluster.manager("node", "update", "--availability", "active", "n2")
    until(lambda: cluster.answers(engine), "it answers again", 120)
    spread(cluster)


def restart_daemon(cluster: Cluster, clients: Load) -> None:
    engine = cluster.engine(min(cluster.replicas()))
    take_out(cluster, clients, engine)
    engine.restart_daemon()
    until(lambda: cluster.answers(engine), "it answers again", 120)
    until(lambda: len(cluster.replicas()) == 3, "three replicas run", 60)
    spread(cluster)


def lose(cluster: Cluster, clients: Load) -> None:
    lost = max(cluster.replicas())  # not the first one, which is asked
    engine = cluster.engine(lost)
    take_out(cluster, clients, engine)
    engine.cut(cluster.name)
    until(lambda: run_elsewhere(cluster, lost), "all run elsewhere", 120)
    time.sleep(15)  # with what it took to notice, as long as nginx waits for what was in flight on it


def run_elsewhere(cluster: Cluster, lost: str) -> bool:
    """Tell whether all run, on other machines; where it was the leader, nobody knows that until there is another."""
    try:
        where = cluster.replicas()
    except AssertionError:
        return False
    return len(where) == 3 and lost not in where


def wait_until_live(cluster: Cluster, release: str) -> None:
    """Wait until nothing else answers: a replica that is to go answers for as long as an nginx has not heard of it."""
    until(lambda: cluster.releases() == {release}, f"only {release} is live", DNS_DELAY + QUIET_SECONDS)


def spread(cluster: Cluster) -> None:
    """Put replicas on all machines again, which the engine by itself does not, and asked once not always evenly."""
    for _ in range(3):
        cluster.manager("service", "update", "--quiet", "--force", "site_app")
        if sorted(cluster.replicas()) == ["n1", "n2", "n3"]:
            return
    assert len(set(cluster.replicas())) > 1


def take_out(cluster: Cluster, clients: Load, engine: Engine) -> None:
    """Send no more requests to the machine, as the load balancer in front of all would; what it has, it ends."""
    clients.urls.remove(cluster.url(engine))
    time.sleep(3)
    clients.event = time.monotonic()


# Of what comes through two machines, the share in flight on the one replica of three. None is told that it is lost:
# nginx waits 30 seconds for each. What it has not taken, another one gets at once, before the engine has noticed.
LOST = Goal(2 * sum(kind.clients for kind in LOAD) // 3, ("* 503", "* 504", "* IncompleteRead"), 5)
# This one is told to stop, and has 15 seconds: mostly enough, and at the worst it cuts the slow ones.
RESTARTED = Goal(2 * sum(kind.clients for kind in LOAD if kind.name == "slow"), LOST.outcomes, 5)

DRILLS = [
    Drill("deploy", deploy, NOTHING_FAILS, LOAD),
    Drill("scale 2 -> 6 -> 3", scale, NOTHING_FAILS, LOAD),
    Drill("switch the backend", switch, NOTHING_FAILS, LOAD),
    Drill("an update that is broken", broken, NOTHING_FAILS, LOAD),
    Drill("drain a machine, restart its daemon, take it back", drain, NOTHING_FAILS, LOAD),
    Drill("a manager's daemon is restarted, undrained", restart_daemon, RESTARTED, LOAD),
    Drill("a machine is lost", lose, LOST, LOAD),
]
