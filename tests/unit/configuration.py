"""The configuration files of the stack, for the tests that compare two of them. deploy/doctor reads their limits."""

from pathlib import Path

import yaml

from deploy.doctor import configuration

ROOT = Path(__file__).parents[2]

nginx = "\n".join(path.read_text() for path in sorted((ROOT / "nginx").glob("*.conf")))
control = (ROOT / "nginx" / "control.sh").read_text()
dockerfile = (ROOT / "Dockerfile").read_text()
compose_text = (ROOT / "docker-compose.yml").read_text()
compose = yaml.safe_load(compose_text)
services = compose["services"]
directives = dict(configuration.nginx(ROOT))
gunicorn = configuration.gunicorn(ROOT)  # only with gunicorn
uwsgi = configuration.uwsgi(ROOT)  # only with uwsgi
supervisor = configuration.ini(ROOT / "deploy" / "local" / "supervisord.conf")
example = (ROOT / ".env.example").read_text()
