"""A steady load on one site: pages, forms, uploads, unread bodies and downloads, one request after another."""

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

JSON = {"Content-Type": "application/json"}
UPLOAD = json.dumps("x" * 500_000).encode()
EXPECTED = "as expected"
PAUSE = 0.05  # seconds between an answer and the next request of the same client, by default


@dataclass(frozen=True)
class Kind:
    """What some of the clients do."""

    name: str
    clients: int
    method: str
    path: str
    body: bytes | None = None
    expected: bytes = b""  # the end of the response's body
    status: int = 200
    is_slow: bool = False  # the client reads 5 MB a second
    names: re.Pattern[str] | None = None  # in the body: the address of what the client asks for next


KINDS = (
    Kind("GET", 6, "GET", "/hello/load", expected=b"</html>"),
    Kind("POST", 3, "POST", "/echo", b'{"a": 1}', b'{"a": 1}'),
    Kind("upload", 1, "POST", "/echo", UPLOAD, b'xxx"'),
    Kind("slow", 2, "GET", "/stream", expected=b"chunk 7 of 7\n"),
    # The app answers without reading the body.
    Kind("unread POST", 1, "POST", "/about", b"x" * 3_000, status=405),
    Kind("unread PUT", 1, "PUT", "/nothing", b"x" * 100_000, status=404),
    Kind("unread DELETE", 1, "DELETE", "/about", b"x" * 1_000_000, status=405),
)
DOWNLOAD = Kind("download", 1, "GET", "/drill/download", expected=b"the end", is_slow=True)  # tests/drills/misbehave.py
# Who looks at pages, each with the stylesheet that it names, while the first of them is still open in another tab.
PAGES = Kind("page", 2, "GET", "/", expected=b"</html>", names=re.compile(r'href="(/static/style\.[0-9a-f]{12}\.css)"'))


@dataclass(frozen=True)
class Answer:
    """One request's end: its status, or what went wrong instead."""

    kind: str
    begun: float
    seconds: float
    outcome: str  # "as expected", "503", or the name of an exception
    retry_after: str | None = None
    identity: str = ""  # of a request that must be executed once

    @property
    def failed(self) -> bool:
        return self.outcome != EXPECTED

    @property
    def what(self) -> str:
        """Return the kind and how it ended, as the goals and the table say it: "GET 503"."""
        return f"{self.kind} {self.outcome}"


@dataclass
class Load:
    """Clients at work, each for one of the URLs and as long as that is in the list; `answers` is what they have had."""

    urls: list[str]
    kinds: tuple[Kind, ...] = KINDS
    pause: float = PAUSE
    answers: list[Answer] = field(default_factory=list)
    named: set[str] = field(default_factory=set)  # the addresses that pages have named
    event: float = 0  # when it happened that the drill is about, where it did not begin with it
    said: str = ""  # what the table shall say besides
    ended: threading.Event = field(default_factory=threading.Event)
    executed: Counter[str] = field(default_factory=Counter[str])  # the ids of requests that the app executed

    def client(self, kind: Kind, url: str) -> None:
        """Make one request after the other, on one connection for as long as that lasts."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        first = ""
        while not self.ended.wait(self.pause) and url in self.urls:
            page = self.ask(connection, kind)
            if kind.names and (found := kind.names.search(page.decode())):
                first = first or found[1]
                self.named.add(found[1])
                self.ask(connection, Kind("its style", 1, "GET", found[1], expected=b"\n"))
            if first:
                self.ask(connection, Kind("first style", 1, "GET", first, expected=b"\n"))
        connection.close()

    def ask(self, connection: http.client.HTTPConnection, kind: Kind) -> bytes:
        """Make one request, keep what came of it, and return the body of its answer."""
        begun = time.monotonic()
        retry_after = None
        body = b""
        identity = "" if kind.method == "GET" else uuid4().hex
        try:
            headers = (JSON if kind.body else {}) | ({"Drill-Id": identity} if identity else {})
            connection.request(kind.method, kind.path, kind.body, headers)
            response = connection.getresponse()
            body = read_slowly(response) if kind.is_slow else response.read()
            retry_after = response.headers["Retry-After"]
            outcome = str(response.status)
            if response.status == kind.status:
                outcome = EXPECTED if body.endswith(kind.expected) else "another body"
        except (OSError, http.client.HTTPException) as error:
            outcome = type(error).__name__
            connection.close()
        self.answers.append(Answer(kind.name, begun, time.monotonic() - begun, outcome, retry_after, identity))
        return body

    def count_executions(self) -> None:
        """Fail each request that was executed twice, or answered without being executed (tests/drills/executed.py)."""
        for url in self.urls:
            with urlopen(f"{url}/executed", timeout=60) as response:
                self.executed.update(response.read().decode().split())
        for number, answer in enumerate(self.answers):
            times = self.executed[answer.identity]
            if answer.identity and (times > 1 or (times == 0 and not answer.failed)):
                self.answers[number] = replace(answer, outcome=f"executed {times} times")

    def failed(self) -> list[Answer]:
        """Return the requests that had no answer, or another one than they should."""
        return [answer for answer in list(self.answers) if answer.failed]

    def outcomes(self) -> dict[str, int]:
        """Return how many failed requests of each kind ended in which way."""
        return Counter(answer.what for answer in self.failed())


def read_slowly(response: http.client.HTTPResponse) -> bytes:
    """Return the body, read at 5 MB a second."""
    body = b""
    while piece := response.read(500_000):
        body += piece
        time.sleep(0.1)
    return body


@contextmanager
def load(*urls: str, kinds: tuple[Kind, ...] = KINDS, pause: float = PAUSE, counts: bool = True) -> Iterator[Load]:
    """Keep the site busy during the block, at each of the URLs, and wait for the last answers.

    Each client waits `pause` seconds between an answer and its next request. Then count the executions, unless the
    application does not record them.
    """
    load = Load([*urls], kinds, pause)
    clients = [
        threading.Thread(target=load.client, args=(kind, url), daemon=True)
        for url in urls
        for kind in load.kinds
        for _ in range(kind.clients)
    ]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.ended.set()
        for client in clients:
            client.join()
    if counts:
        load.count_executions()
