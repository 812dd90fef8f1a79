"""What the programs of the stack read, for the tests that compare what stands in two places."""

import re
import runpy
from configparser import ConfigParser
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
UNITS = {"": 1, "ms": 0.001, "s": 1, "k": 1024, "kB": 1024, "m": 1024**2, "MiB": 1024**2}


def ini(name: str) -> ConfigParser:
    """Return the sections of a configuration file of deploy/."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read(ROOT / "deploy" / name)
    return parser


nginx = "\n".join(path.read_text() for path in sorted((ROOT / "nginx").glob("*.conf")))
control = (ROOT / "nginx" / "control.sh").read_text()
dockerfile = (ROOT / "Dockerfile").read_text()
compose_text = (ROOT / "docker-compose.yml").read_text()
compose = yaml.safe_load(compose_text)
services = compose["services"]
gunicorn = runpy.run_path(str(ROOT / "deploy" / "server" / "gunicorn.conf.py"))
uwsgi = ini("server/uwsgi.ini")["uwsgi"]
supervisor = ini("local/supervisord.conf")
example = (ROOT / ".env.example").read_text()


def number(text: object) -> float:
    """Return a number with a unit, "35s", "8k" or "1 MiB", in seconds or bytes."""
    found = re.match(r"([\d_]+) ?(MiB|kB|ms|[smk]?)", str(text))
    assert found, text
    return int(found[1]) * UNITS[found[2]]


def directive(name: str) -> str:
    """Return the argument of an nginx directive that is given once."""
    value: str
    [value] = re.findall(rf"^\s*{name} ([^;{{]+);", nginx, re.MULTILINE)
    return value
