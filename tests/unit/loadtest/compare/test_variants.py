"""The variants of a comparison, as the options name them."""

from pathlib import Path

import pytest

from deploy.server.launch import BACKENDS
from loadtest.compare import options, variants
from loadtest.compare.options import OptionError
from loadtest.compare.variants import Variant, VariantError, parse

ALLOWED = options.settings((Path(__file__).parents[4] / ".env.example").read_text())
LAST = BACKENDS[-1]


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        (LAST, Variant(LAST, LAST)),
        (f"BACKEND={LAST}", Variant(f"BACKEND={LAST}", LAST)),
        ("WEB_CONCURRENCY=4", Variant("WEB_CONCURRENCY=4", settings={"WEB_CONCURRENCY": "4"})),
        ("ref:HEAD~1", Variant("ref:HEAD~1", ref="HEAD~1")),
        (
            f"{LAST},WEB_THREADS=2,ref:v1",
            Variant(f"{LAST},WEB_THREADS=2,ref:v1", LAST, ref="v1", settings={"WEB_THREADS": "2"}),
        ),
    ],
)
def test_variant_is_a_backend_settings_a_release_or_a_combination(text, variant):
    assert parse("A", text, ALLOWED) == variant


@pytest.mark.parametrize("text", ["", "guincorn", "WEB_CONCURENCY=2", "HTTP_PORT=80", "RELEASE=1", "ref:", f"{LAST},,"])
def test_other_text_is_refused_in_one_sentence(text):
    with pytest.raises(
        VariantError, match=f"^B is .*: .* must be one of {', '.join(BACKENDS)}, ref:COMMIT or NAME=VALUE"
    ):
        parse("B", text, ALLOWED)


def test_backends_are_those_of_the_launcher():
    assert variants.BACKENDS == BACKENDS


@pytest.mark.parametrize("name", ["ROUNDS", "SECONDS"])
@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_number_that_is_not_allowed_is_refused_in_one_sentence(name, value, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "wrk")
    with pytest.raises(OptionError, match=f"^{name} is '{value}': it must be a whole number, 1 or more$"):
        options.read({name: value})


def test_missing_wrk_is_named(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(OptionError, match=r"^wrk is not installed"):
        options.read({})


def test_stacks_get_no_setting_of_the_users_site():
    found = options.read({"PATH": "/bin", "DOCKER_HOST": "unix:///x", "HTTP_PORT": "1", "WEB_THREADS": "9"})
    assert found.environ == {"PATH": "/bin", "DOCKER_HOST": "unix:///x"}
