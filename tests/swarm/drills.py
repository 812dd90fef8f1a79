"""Drills on a cluster under load. They run in this order, and each restores what the next one needs."""

import time
from concurrent.futures import ThreadPoolExecutor

from deploy.server.drain import DNS_DELAY, QUIET_SECONDS
from tests.drills.drills import NOTHING_FAILS, Drill, Goal
from tests.drills.load import KINDS, Load
from tests.engines import Engine
from tests.stack.site import other
from tests.stack.waiting import until
from tests.swarm.cluster import Cluster

# The load of the drills on one machine, sent to each node.
LOAD = KINDS


def deploy(cluster: Cluster, clients: Load) -> None:
    before = named = cluster.static_files()
    with cluster.changed("app/static/style.css", "/* second */"), ThreadPoolExecutor() as pool:
        deploy = pool.submit(cluster.make, RELEASE="second")
        # Every node has the files of both releases, whichever page names them.
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
        cluster.manager("service", "scale", f"site_app={count}")  # returns when that many replicas run
        assert len(cluster.replicas()) == count


def switch(cluster: Cluster, clients: Load) -> None:
    cluster.make(BACKEND=other(cluster.backend), RELEASE="third")
    wait_until_live(cluster, f"third-{other(cluster.backend)}")
    assert len(cluster.replicas()) == 3  # the scale is kept


def broken(cluster: Cluster, clients: Load) -> None:
    # The launcher can import it, but a server cannot. So only the rollout detects it.
    [before], robots = cluster.releases(), cluster.get("/robots.txt")
    text = 'import sys\nif {"gunicorn", "uwsgi"} & sys.modules.keys():\n    raise RuntimeError\n'
    with cluster.changed("app/wsgi.py", text), cluster.changed("app/static/root/robots.txt", "Disallow: /fourth"):
        output = cluster.make(RELEASE="fourth", fails=True)
    assert "rollback completed" in output
    wait_until_live(cluster, before)
    assert cluster.get("/robots.txt") == robots
    assert f":{before}@" in cluster.service("assets")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


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


def run_elsewhere(cluster: Cluster, lost: str) -> bool:
    """Tell whether all replicas run on other nodes. Without a leader, until one is elected, the command fails."""
    try:
        where = cluster.replicas()
    except AssertionError:
        return False
    return len(where) == 3 and lost not in where


def wait_until_live(cluster: Cluster, release: str) -> None:
    """Wait until only this release responds. A draining replica responds until every nginx has the new addresses."""
    until(lambda: cluster.releases() == {release}, f"only {release} is live", DNS_DELAY + QUIET_SECONDS)


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

DRILLS = [
    Drill("deploy", deploy, NOTHING_FAILS, LOAD),
    Drill("scale 2 -> 6 -> 3", scale, NOTHING_FAILS, LOAD),
    Drill("switch the backend", switch, NOTHING_FAILS, LOAD),
    Drill("a broken update", broken, NOTHING_FAILS, LOAD),
    Drill("drain a node, restart its daemon, activate it", drain, NOTHING_FAILS, LOAD),
    Drill("restart the daemon of a manager, undrained", restart_daemon, RESTARTED, LOAD),
    Drill("lose a node", lose, LOST, LOAD),
]
