"""recipes/downloads.py: signed links, and the headers that make nginx send the file."""

from urllib.parse import quote, unquote

import pytest
from itsdangerous import URLSafeTimedSerializer
from werkzeug.http import parse_options_header

from app.variables import SettingError
from recipes import site
from tests.wsgi import call

KEY = "k" * 32


@pytest.fixture(scope="module")
def recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_KEY", KEY)
        from recipes import downloads  # noqa: PLC0415 (it needs SECRET_KEY when it is imported)

        yield downloads


@pytest.fixture(autouse=True)
def folder(data_dir):
    (data_dir / "downloads").mkdir(parents=True)
    (data_dir / "secret").write_text("secret")
    return data_dir / "downloads"


@pytest.fixture
def get(recipe):
    application = site({"/downloads/{name}": {"GET": recipe.downloads(KEY)}})

    def get(link):
        path, _, query = link.partition("?")
        return call(application, unquote(path).replace("?", "\0") + "?" + query)

    return get


@pytest.mark.parametrize(
    "name", ["report.pdf", "a b.txt", "Übersicht 100%.txt", '"; filename=evil.exe', "a#b", "n" * 255]
)
def test_nginx_sends_the_file_of_a_link(name, recipe, get, folder):
    (folder / name).write_text("content")
    answer = get(recipe.link(KEY, name))
    assert (answer.status, answer.body) == (200, b"")
    assert unquote(answer.headers["X-Accel-Redirect"]) == f"/nginx-private/downloads/{name}"
    assert parse_options_header(answer.headers["Content-Disposition"]) == ("attachment", {"filename": name})
    assert answer.headers["Cache-Control"] == "private"


def test_path_for_nginx_and_name_for_browsers_are_quoted(recipe, get, folder):
    name = "a\r\nSet-Cookie: a=b;%2e%2e"
    (folder / name).write_text("content")
    answer = get(recipe.link(KEY, name))
    assert answer.headers["X-Accel-Redirect"] == "/nginx-private/downloads/a%0D%0ASet-Cookie%3A%20a%3Db%3B%252e%252e"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", ["missing", "..", ".", "../secret", "folder", "", "n" * 256, "a\0b"])
def test_signed_name_that_is_no_file_gets_404(name, recipe, get, folder):
    (folder / "folder").mkdir()
    answer = get(recipe.link(KEY, name))
    assert answer.status == 404
    assert "X-Accel-Redirect" not in answer.headers


def test_link_is_for_one_file_and_one_key(recipe, get, folder):
    for name in ("mine.txt", "other.txt"):
        (folder / name).write_text(name)
    _, _, query = recipe.link(KEY, "mine.txt").partition("?")
    session = URLSafeTimedSerializer(KEY, salt="session").dumps("mine.txt")
    for link in (
        "/downloads/mine.txt",
        "/downloads/mine.txt?key=",
        f"/downloads/other.txt?{query}",
        f"/downloads/mine.txt?{query}x",
        f"/downloads/mine.txt?{query}&{query}",
        f"/downloads/mine.txt?key={session}",
        f"/downloads/mine.txt?key={quote('é')}",
        recipe.link("x" * 32, "mine.txt"),
    ):
        assert get(link).status == 403
    assert get(f"/downloads/mine.txt?{query}").status == 200


def test_link_expires(recipe, get, folder, monkeypatch):
    (folder / "mine.txt").write_text("mine")
    monkeypatch.setattr(recipe, "LIFETIME", -1)
    assert get(recipe.link(KEY, "mine.txt")).status == 403


@pytest.mark.parametrize("key", ["", "secret"])
def test_missing_or_short_key_raises_setting_error(recipe, key):
    with pytest.raises(SettingError, match=r"^SECRET_KEY .* 32 characters or more$"):
        recipe.downloads(key)
