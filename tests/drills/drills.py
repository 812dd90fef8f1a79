"""The drills: what is done to a site under load, by name, and what may then go wrong at the most."""

import asyncio
import http.client
import re
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from deploy.server.launch import BACKENDS
from tests.drills.load import DOWNLOAD, EXPECTED, KINDS, PAGES, Answer, Kind, Load, load
from tests.drills.site import THREADS, WORKERS, DrillSite, EngineSite
from tests.stack.site import clone, later, other
from tests.stack.waiting import until
from tests.unit.documentation import table

WARM_UP = 4  # seconds of load before a drill, from which comes what is usual
QUIET = 2  # seconds without a failure after which a site has recovered
SETTLED = 15  # seconds after the load in which what ends by itself has ended
ONE = BACKENDS[:1]  # is enough where it is all nginx's doing, and for what does both
# A fork may have removed the page.
QUEUE = int(table("limits").get("requests that wait for a thread of the app", "256"))


@dataclass(frozen=True)
class Goal:
    """What may fail at the most, and for how long."""

    failed: int | None = 0  # None: as many as there are
    outcomes: tuple[str, ...] = ()  # "KIND OUTCOME", where * is any: "POST 503", "* 503"
    seconds: float = 0  # to recover in


NOTHING_FAILS = Goal()
# The requests that the worker had, and no other: nginx repeats none.
ONE_WORKERS_REQUESTS = Goal(THREADS, ("* 503", "* IncompleteRead"), 3)


@dataclass(frozen=True)
class Drill:
    """Something that happens to a site, planned or not."""

    name: str
    act: Callable[[Any, Load], None]  # what is done to the site, and what its clients do differently meanwhile
    goal: Goal
    kinds: tuple[Kind, ...]
    in_ci: tuple[str, ...] = ()  # the backends on which CI does it: one, where the other would tell nothing new


@dataclass(frozen=True)
class Result:
    """What came of a drill."""

    drill: Drill
    answers: list[Answer]
    failed: list[Answer]
    worst: float  # seconds that an answer took more than such a one usually does
    recovery: float  # seconds from the act until every request that begins has its answer
    said: str  # what the table says besides
    left: dict[str, str]  # what there is more of than before, and how many

    def complaints(self) -> list[str]:
        """Return in which ways the goal was missed."""
        goal = self.drill.goal
        found = [
            each.what for each in self.failed if not any(fnmatchcase(each.what, expected) for expected in goal.outcomes)
        ]
        if goal.failed is not None and len(self.failed) > goal.failed:
            found.append(f"{len(self.failed)} failed, and not {goal.failed} at the most")
        if self.recovery > goal.seconds:
            found.append(f"recovered after {self.recovery:.1f} s, and not {goal.seconds:g} s at the most")
        if any(each.outcome == "503" and each.retry_after is None for each in self.failed):
            found.append("503 without Retry-After")
        return [*found, *(f"left behind: {what}, {count}" for what, count in self.left.items())]


DRILLS: dict[str, Drill] = {}


def drill(
    name: str, goal: Goal, *more: Kind, in_ci: tuple[str, ...] = ()
) -> Callable[[Callable[[DrillSite, Load], None]], None]:
    """Register a function as the drill of this name; `more` is added to the load."""

    def register(act: Callable[[DrillSite, Load], None]) -> None:
        DRILLS[name] = Drill(name, act, goal, (*KINDS, DOWNLOAD, *more), in_ci)

    return register


def run(site: Any, drill: Drill) -> Result:
    """Do what the drill says to a site under load, and return what came of it when the site has recovered."""
    before = remains(site)
    with load(*site.urls, kinds=drill.kinds, counts=isinstance(site, DrillSite)) as clients:
        time.sleep(WARM_UP)
        begun = time.monotonic()
        drill.act(site, clients)
        happened = clients.event or begun
        until(lambda: time.monotonic() - max(ends(clients.failed()), default=0) > QUIET, "no more failures", 120)
    earlier: dict[str, list[float]] = {}
    for each in clients.answers:
        if each.begun < begun:
            earlier.setdefault(each.kind, []).append(each.seconds)
    usual = {kind: median(seconds) for kind, seconds in earlier.items()}
    return Result(
        drill,
        clients.answers,
        clients.failed(),
        max(each.seconds - usual.get(each.kind, 0) for each in clients.answers),
        max(0, max((each.begun for each in clients.failed()), default=happened) - happened),
        clients.said,
        left_behind(site, before),
    )


def remains(site: Any) -> dict[str, int]:
    """Return how many there are of what a drill could leave behind; a cluster's containers are its own business."""
    return site.remains() if isinstance(site, DrillSite) else {}


def left_behind(site: Any, before: dict[str, int]) -> dict[str, str]:
    """Return what there is more of than before, when it has had a moment to go."""
    deadline = time.monotonic() + SETTLED
    while more := {
        what: f"{count} and not {before[what]}" for what, count in remains(site).items() if count > before[what]
    }:
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return more


TABLE = """\
| Drill | Requests | Failed | Worst added latency | Time to recover |
| --- | --- | --- | --- | --- |"""


def row(result: Result, backend: str = "") -> str:
    """Return a line of the table."""
    counts = ", ".join(f"{count} {what}" for what, count in Counter(each.what for each in result.failed).items())
    told = "; ".join(filter(None, [counts, result.said]))
    cells = [
        f"{result.drill.name}{backend and f' ({backend})'}",
        str(len(result.answers)),
        f"{len(result.failed)}{told and f' ({told})'}",
        f"{result.worst:.2f} s",
        f"{result.recovery:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def ends(answers: list[Answer]) -> list[float]:
    """Return when each of the requests ended."""
    return [answer.begun + answer.seconds for answer in answers]


# --- Planned -------------------------------------------------------------------------------------------------------


@drill("deploy", NOTHING_FAILS, PAGES)
def deploy(site: DrillSite, clients: Load) -> None:
    site.restyle()
    site.make()
    see_styles(clients, 2)


@drill("roll back", NOTHING_FAILS, PAGES)
def roll_back(site: DrillSite, clients: Load) -> None:
    if len(site.resources()["images"]) == 1:  # no drill before this one has made a second release
        site.restyle()
        site.make()
    site.make("rollback")
    see_styles(clients, 2)


@drill("switch the backend and back", NOTHING_FAILS, PAGES, in_ci=ONE)
def switch(site: DrillSite, clients: Load) -> None:
    site.restyle()
    site.make(BACKEND=other(site.backend))
    site.make(BACKEND=site.backend)
    see_styles(clients, 2)


@drill("a release whose workers die", NOTHING_FAILS)
def broken_release(site: DrillSite, clients: Load) -> None:
    site.change("app/wsgi.py", later("os._exit(1)"))
    site.make(fails=True)
    site.restore("app/wsgi.py")


@drill("a deploy with a changed network", NOTHING_FAILS)
def change_network(site: DrillSite, clients: Load) -> None:
    compose = (site.root / "docker-compose.yml").read_text()
    site.write("docker-compose.yml", compose.replace("private: { internal: true,", "private: { internal: false,"))
    site.make(fails=True)
    site.write("docker-compose.yml", compose)
    clients.said = "refused"


HIJACK = "cd /run/app; mine=$(readlink live.sock); while :; do ls | grep -vxF -e live.sock -e $mine | xargs rm -f; done"


@drill("a deploy beside a hijacked release, which removes every other socket", NOTHING_FAILS)
def hijacked(site: DrillSite, clients: Load) -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(shell, site, "app", f"timeout 90 sh -c '{HIJACK}' || true")
        site.make(fails=True)
    clients.said = "refused"


@drill("a rollback from a paused release", Goal(None, ("* 503", "* 504", "* IncompleteRead", "* TimeoutError"), 60))
def paused(site: DrillSite, clients: Load) -> None:
    site.make()
    site.pause("app")
    site.make("rollback")


@drill("deploys from two working copies", NOTHING_FAILS)
def two_copies(site: DrillSite, clients: Load) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = clone(site, Path(folder))
        for path in site.drilled:
            shutil.copy(site.root / path, copy.root / path)
        with ThreadPoolExecutor() as pool:
            ended = [pool.submit(each.begin().communicate) for each in (site, copy)]
            outputs = [each.result()[0] for each in ended]
        assert sum("another deploy is running" in output for output in outputs) == 1, outputs
        copy.make()
        site.make()


@drill("stop and start while a request hangs", Goal(None, ("* 503",), 60))
def stop(site: DrillSite, clients: Load) -> None:
    in_background(site, "/drill/hang", 1)
    time.sleep(0.5)  # it has no sign that it has begun
    site.stop_app()
    # Whoever was first: nginx, which waits for 30 seconds, or the server, which is ended after as many.
    cut = re.compile(r'"/drill/hang","status":50[34]')
    until(lambda: bool(cut.search(site.logs("nginx"))), "nginx has logged that it was cut")
    site.start_app()


@drill("SIGHUP to the app", NOTHING_FAILS, in_ci=BACKENDS)
def reload(site: DrillSite, clients: Load) -> None:
    before = site.workers()
    site.reload_app()
    until(lambda: not before & site.workers(), "there are other workers")


LEAK = Kind("leak", 4, "GET", "/drill/leak", expected=b"</html>")


@drill("workers that leak are replaced", NOTHING_FAILS, LEAK, in_ci=BACKENDS)
def recycle(site: DrillSite, clients: Load) -> None:
    before = site.workers()
    until(lambda: not before & site.workers(), "there are other workers", 120)


# --- Crashes -------------------------------------------------------------------------------------------------------


@drill("kill -9 of a worker", ONE_WORKERS_REQUESTS, in_ci=BACKENDS)
def kill_worker(site: DrillSite, clients: Load) -> None:
    victim = max(site.workers())
    shell(site, "app", f"kill -9 {victim}")
    until(lambda: victim not in site.workers(), "the worker is dead")


@drill("a worker out of memory", ONE_WORKERS_REQUESTS)
def out_of_memory(site: DrillSite, clients: Load) -> None:
    before, restarts = site.workers(), site.inspect("app")["RestartCount"]
    in_background(site, "/drill/allocate", 1)
    until(lambda: before != site.workers(), "the kernel has killed a worker", 60)
    assert site.inspect("app")["RestartCount"] == restarts, "the container has not survived"
    clients.said = "one worker; the container survived"


@drill("kill -9 of the first process", Goal(None, ("* 503", "* IncompleteRead"), 3), in_ci=BACKENDS)
def kill_first(site: DrillSite, clients: Load) -> None:
    site.kill_app()


@drill("every thread hangs", Goal(None, ("* 503", "* 504", "* IncompleteRead"), 45), in_ci=BACKENDS)
def hang(site: DrillSite, clients: Load) -> None:
    before = site.workers()
    in_background(site, "/drill/hang", THREADS * WORKERS)
    until(lambda: bool(before - site.workers()), "a worker whose threads all hang has been replaced", 90)


@drill("the app's socket disappears", Goal(None, ("* 503", "* IncompleteRead"), 60))
def remove_socket(site: DrillSite, clients: Load) -> None:
    restarts = site.inspect("app")["RestartCount"]
    shell(site, "app", 'rm "/run/app/$(readlink /run/app/live.sock)"')
    until(lambda: site.inspect("app")["RestartCount"] > restarts, "the app has been started again", 60)


# Every client has a connection, and half of them had one to this worker.
LOST = ("* RemoteDisconnected", "* ConnectionResetError", "* BrokenPipeError", "* IncompleteRead")


@drill("kill -9 of nginx's worker", Goal(sum(kind.clients for kind in (*KINDS, DOWNLOAD)), LOST, 3), in_ci=ONE)
def kill_nginx_worker(site: DrillSite, clients: Load) -> None:
    victim = min(nginx_workers(site))
    shell(site, "nginx", f"kill -9 {victim}")
    until(lambda: victim not in nginx_workers(site), "the worker is dead")


# --- Of the engine: each on an engine of its own (engine_site) -------------------------------------------------------


def restart_daemon(site: EngineSite, clients: Load) -> None:
    site.engine.restart_daemon()
    until(site.is_up, "the site answers", 120)


DAEMON = [
    Drill(f"the Docker daemon is restarted{words}", restart_daemon, goal, (*KINDS, DOWNLOAD))
    for words, goal in {
        "": Goal(None, (*LOST, "* ConnectionRefusedError", "* 503", "* OSError"), 60),
        " (live-restore)": NOTHING_FAILS,
    }.items()
]


# --- Too much ------------------------------------------------------------------------------------------------------


@drill("a burst of ten times the capacity", Goal(None, ("* 503",), 20), in_ci=BACKENDS)
def burst(site: DrillSite, clients: Load) -> None:
    capacity = THREADS * WORKERS / 0.1  # requests a second, of a tenth of a second each
    count, before = int(10 * capacity), len(worked(site))
    asyncio.run(requests_at_once(site.url, count, clients.answers))
    until(lambda: len(worked(site)) >= before + count, "nginx has logged all of them")
    accepted, refused = (
        [seconds for status, seconds in worked(site)[before:] if status == wanted] for wanted in ("200", "503")
    )
    clients.said = "of the burst " + ", ".join(
        f"{len(seconds)} {how}, median {median(seconds or [0]):.3f} s"
        for how, seconds in {"accepted": accepted, "refused": refused}.items()
    )
    # The queue was full. Who was in it had to wait for it and no more, and who was not had not to wait.
    assert refused, clients.said
    assert len(accepted) > QUEUE / 2, clients.said
    assert max(accepted) < 10 * QUEUE / capacity, clients.said
    assert median(refused) < max(accepted) / 10, clients.said


WORK = re.compile(r'"path":"/drill/work","status":(\d+),"bytes":\d+,"seconds":([\d.]+)')


def worked(site: DrillSite) -> list[tuple[str, float]]:
    """Return how each request of a burst ended, and after how many seconds, as nginx has it.

    What the clients have is, for the most part, how long it takes this machine to be so many of them.
    """
    return [(status, float(seconds)) for status, seconds in WORK.findall(site.logs("nginx"))]


async def requests_at_once(url: str, count: int, answers: list[Answer]) -> None:
    """Make so many requests, each on a connection of its own, without waiting for one another."""
    address = urlsplit(url)

    async def request() -> bytes:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET /drill/work HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def timed() -> None:
        begun = time.monotonic()
        retry_after = None
        try:
            head, _, _ = (await asyncio.wait_for(request(), 60)).partition(b"\r\n\r\n")
            outcome = EXPECTED if head[9:12] == b"200" else head[9:12].decode()
            retry_after = "1" if b"\r\nRetry-After: 1" in head else None
        except OSError as error:  # a timeout is one, too
            outcome = type(error).__name__
        kind = "accepted" if outcome == EXPECTED else "refused"
        answers.append(Answer(kind, begun, time.monotonic() - begun, outcome, retry_after))

    await asyncio.gather(*(timed() for _ in range(count)))


@drill("two hundred slow readers and writers", NOTHING_FAILS, in_ci=ONE)
def slow_clients(site: DrillSite, clients: Load) -> None:
    address = site.direct()
    slow = [
        b"GET / HTTP/1.1\r\nHost: x\r\n",  # a header that does not end
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",  # a body that does not
        b"GET /drill/large HTTP/1.1\r\nHost: x\r\n\r\n",  # an answer that is hardly taken
    ]
    with ThreadPoolExecutor(200) as pool:
        taken = [*pool.map(lambda number: until_dropped(address, slow[number % 3]), range(200))]
    assert {each[:12] for each in taken[2::3]} == {b"HTTP/1.1 200"}
    clients.said = f"{len(taken[2::3])} of them readers, dropped with {max(map(len, taken[2::3]))} bytes at the most"


def until_dropped(address: tuple[str, int], request: bytes) -> bytes:
    """Send this and no more, take a few bytes now and then, and return them when nginx has had enough of it."""
    taken = b""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects, or it has offered more
        client.settimeout(40)
        client.connect(address)
        client.sendall(request)
        deadline = time.monotonic() + 40
        with suppress(ConnectionResetError):
            # What has arrived can be taken even when the connection has been reset, and that is what is waited for.
            while not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and (some := client.recv(16)):
                taken += some
                assert time.monotonic() < deadline, f"not dropped, with {len(taken)} bytes"
                time.sleep(0.2)
    return taken


@drill("nginx's disk is full", Goal(None, ("upload 503", "unread * 503", "download IncompleteRead"), 15), in_ci=ONE)
def full_disk(site: DrillSite, clients: Load) -> None:
    shell(site, "nginx", "cat /dev/zero >buffers/full; sleep 5; rm buffers/full")


# --- What they use --------------------------------------------------------------------------------------------------


def see_styles(clients: Load, count: int) -> None:
    """Wait until pages have named so many stylesheets: that of each release, of which none may be missing."""
    until(lambda: len(clients.named) >= count, f"{count} stylesheets are named")


def nginx_workers(site: DrillSite) -> set[int]:
    """Return nginx's workers, as its container numbers them."""
    return {int(each) for each in site.execute("nginx", "cat", "/proc/1/task/1/children").stdout.split()}


def shell(site: DrillSite, service: str, script: str) -> None:
    """Run a script in the service's container."""
    ended = site.execute(service, "sh", "-c", script)
    assert ended.returncode == 0, ended.stderr


def in_background(site: DrillSite, path: str, count: int) -> None:
    """Make so many requests whose answers nobody waits for."""

    def request() -> None:
        connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=60)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()

    for _ in range(count):
        threading.Thread(target=request, daemon=True).start()
