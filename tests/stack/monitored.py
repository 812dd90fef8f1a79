"""A site with TLS and monitoring, whose alerts fire and clear within seconds, and reach a receiver in the test."""

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from deploy.tls import certs
from tests.stack.compose import SELDOM, ComposeStack
from tests.stack.waiting import free_port, until
from tests.tree import ROOT, copy_reference

FILES = ("docker-compose.yml", "deploy/tls/tls.yml", "deploy/monitoring/monitoring.yml", SELDOM)
# The windows of the rules, and how long they are here.
SHORT = {"1m": "3s", "2m": "5s", "5m": "10s", "10m": "40s", "30m": "12s", "1h": "15s", "6h": "20s"}
OVERLAY = """
services: { alertmanager: { extra_hosts: ["receiver:host-gateway"] } }
volumes:
  data: { driver: local, driver_opts: { type: tmpfs, device: tmpfs, o: "uid=10001,gid=10001,size=16m" } }
"""


class Monitored(ComposeStack):
    """The site; `messages` has each alert that the receiver got: its time, its name and whether it fires."""

    def __init__(self, backend: str, root: Path) -> None:
        ports = {name: str(free_port()) for name in ("HTTPS_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT")}
        size = {"WEB_CONCURRENCY": "2", "WEB_THREADS": "4"}
        super().__init__(backend, "-monitored", OVERLAY, FILES, root, **ports, **size)
        self.url = f"https://127.0.0.1:{ports['HTTPS_PORT']}"
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        self.messages: list[tuple[float, str, bool]] = []
        copy_reference(root)
        shutil.copy(ROOT / "tests" / "stack" / "probe.py", root / "app" / "wsgi.py")
        self.certify(certs.DAYS)

        folder = root / "deploy" / "monitoring"
        rules, conf = folder / "prometheus" / "rules.yml", folder / "prometheus" / "prometheus.yml"
        shorter = re.sub(r"\[(\d+\w)(:?)\]", lambda window: f"[{SHORT[window[1]]}{window[2]}]", rules.read_text())
        rules.write_text(re.sub(r"for: (\w+)", lambda time: f"for: {SHORT[time[1]]}", shorter))
        conf.write_text(re.sub(r"(_interval): (?:5s|1m)\n", r"\1: 1s\n", conf.read_text()))

    def certify(self, days: int) -> None:
        """Write a certificate that is valid for so many days."""
        folder = self.root / "deploy" / "tls" / "certs"
        for path in folder.glob("*.pem"):
            path.unlink()
        with patch.object(certs, "DAYS", days):
            certs.make(folder, ["localhost"])

    def reload_nginx(self) -> None:
        """Load the configuration and the certificate."""
        ended = self.execute("nginx", "/srv/nginx/control.sh", "reload")
        assert ended.returncode == 0, ended.stderr

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the site, with the receiver that docs/observability.md describes, and stop it in the end."""
        messages = self.messages

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                now = time.monotonic()
                messages.extend(
                    (now, each["labels"]["alertname"], each["status"] == "firing") for each in sent["alerts"]
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("0.0.0.0", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.receive(f"http://receiver:{server.server_port}/")
        try:
            self.up()
            until(lambda: self.query('up{job="app"} == 1') != [], "the app is scraped", 60)
            yield
        finally:
            server.shutdown()
            server.server_close()
            self.compose("down", "--volumes", "--timeout", "1")
            self.files, self.overlay = FILES[:1], ""  # the images of the overlay stay
            self.down()

    def receive(self, url: str) -> None:
        """Write the receiver of the documentation into Alertmanager's configuration, with this address."""
        page = (ROOT / "docs" / "observability.md").read_text()
        example = re.search(r"```yaml\n(receivers:\n(?:.+\n)+?)```", page)
        assert example
        conf = self.root / "deploy" / "monitoring" / "alertmanager" / "alertmanager.yml"
        text = conf.read_text().partition("receivers:")[0].replace("4h", "4h\n  group_wait: 1s\n  group_interval: 1s")
        receiver = re.sub(r"\n +email_configs:\n.*", "", example[1]).replace("https://chat.example.org/hooks/site", url)
        conf.write_text(text + receiver)

    def query(self, expression: str, **more: str) -> list[dict[str, Any]]:
        """Return the result of a query, of one over a time with `start`, `end` and `step`."""
        path = "query_range" if more else "query"
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params={"query": expression, **more})
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def last(self, alert: str) -> tuple[float, bool]:
        """Return when the receiver last got a message about the alert, and whether it fires."""
        return next(((at, fires) for at, name, fires in reversed(self.messages) if name == alert), (0, False))
