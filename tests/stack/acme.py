"""A local ACME certificate authority (Debian's pebble) and a client for it (Debian's lego)."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from deploy.tls import certs
from tests.stack.waiting import free_port, until

PROGRAMS = ("pebble", "pebble-challtestsrv", "lego")
DAYS = 90


def lacks() -> str:
    """Return a program that this machine lacks, or an empty string."""
    return next((program for program in PROGRAMS if not shutil.which(program)), "")


class Authority:
    """An authority that requests the HTTP challenges of every domain from `http_port` on loopback."""

    def __init__(self, folder: Path, http_port: int) -> None:
        self.folder = folder
        self.port, self.management_port = free_port(), free_port()
        self.dns_address = f"127.0.0.1:{free_port()}"
        certs.make(folder / "own", ["127.0.0.1"])
        configuration = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management_port}",
            "certificate": str(folder / "own" / "fullchain.pem"),
            "privateKey": str(folder / "own" / "privkey.pem"),
            "httpPort": http_port,
            "tlsPort": 0,
            "certificateValidityPeriod": DAYS * 86400,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": configuration}))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run pebble, and a name server that resolves every name to loopback, during the block."""
        commands = [
            ["pebble", "-config", f"{self.folder}/pebble.json", "-dnsserver", self.dns_address],
            ["pebble-challtestsrv", "-dns01", self.dns_address, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
             "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{free_port()}"],
        ]  # fmt: skip
        # By default, pebble waits before it validates and rejects some requests at random, to test clients.
        environ = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        with ExitStack() as stack:
            log = stack.enter_context((self.folder / "pebble.log").open("w"))
            for command in commands:
                process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log, env=environ))
                stack.callback(process.terminate)
            until(self.is_up, "pebble is ready")
            yield

    def is_up(self) -> bool:
        """Return whether the authority is ready."""
        try:
            return self.root().startswith("-----BEGIN CERTIFICATE-----")
        except httpx.TransportError:
            return False

    def root(self) -> str:
        """Return the root certificate of this authority."""
        context = ssl.create_default_context(cafile=str(self.folder / "own" / "authority.pem"))
        return httpx.get(f"https://127.0.0.1:{self.management_port}/roots/0", verify=context).text

    def lego(self, *arguments: str, domain: str, webroot: Path, **environ: str) -> None:
        """Run lego as root, as on a server, with the challenge files in `webroot`."""
        as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive", "--preserve-env"]
        command = [
            *as_root, "lego", "--accept-tos", "--email", "operator@example.org", "--path", f"{self.folder}/lego",
            "--server", f"https://127.0.0.1:{self.port}/dir", "--domains", domain,
            "--http", "--http.webroot", f"{webroot}", *arguments,
        ]  # fmt: skip
        ended = subprocess.run(
            command,
            env=os.environ | {"LEGO_CA_CERTIFICATES": f"{self.folder}/own/authority.pem"} | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
