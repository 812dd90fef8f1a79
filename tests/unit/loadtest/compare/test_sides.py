"""The two sides of a comparison, as a user names them."""

from pathlib import Path

import pytest

from deploy.server.launch import BACKENDS
from loadtest.compare import sides
from loadtest.compare.sides import Side, SideError, parse

ALLOWED = sides.settings((Path(__file__).parents[4] / ".env.example").read_text())


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("uwsgi", Side("uwsgi", "uwsgi")),
        ("BACKEND=uwsgi", Side("BACKEND=uwsgi", "uwsgi")),
        ("WEB_CONCURRENCY=4", Side("WEB_CONCURRENCY=4", settings={"WEB_CONCURRENCY": "4"})),
        ("ref:HEAD~1", Side("ref:HEAD~1", ref="HEAD~1")),
        (
            "uwsgi,WEB_THREADS=2,ref:v1",
            Side("uwsgi,WEB_THREADS=2,ref:v1", "uwsgi", ref="v1", settings={"WEB_THREADS": "2"}),
        ),
    ],
)
def test_a_side_is_a_backend_settings_a_release_or_some_of_each(text, side):
    assert parse("A", text, ALLOWED) == side


@pytest.mark.parametrize("text", ["", "guincorn", "WEB_CONCURENCY=2", "HTTP_PORT=80", "RELEASE=1", "ref:", "uwsgi,,"])
def test_what_is_none_is_refused_in_one_sentence(text):
    with pytest.raises(SideError, match=r"^B is .*: .* must be one of gunicorn, uwsgi, ref:COMMIT or NAME=VALUE"):
        parse("B", text, ALLOWED)


def test_the_backends_are_those_of_the_launcher():
    assert sides.BACKENDS == BACKENDS
