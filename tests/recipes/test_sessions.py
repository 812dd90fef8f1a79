"""recipes/sessions.py: login, logout, and forms of other sites."""

import re
from http.cookies import SimpleCookie

import pytest
from werkzeug.security import generate_password_hash

from app.variables import SettingError
from tests.wsgi import call

KEY = "k" * 32
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_KEY", KEY)
        from recipes import sessions  # noqa: PLC0415 (it needs SECRET_KEY when it is imported)

        patch.setitem(sessions.PASSWORD_HASHES, "ada", generate_password_hash("lovelace", "pbkdf2:sha256:1"))
        yield sessions


class Browser:
    """A client that stores cookies and reads the token from the form."""

    def __init__(self, application):
        self.application = application
        self.cookies = {}

    def ask(self, path, method="GET", body=b"", **environ):
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = call(self.application, path, method, body, HTTP_COOKIE=cookie, **environ)
        for morsel in SimpleCookie(answer.headers.get("Set-Cookie", "")).values():
            self.cookies[morsel.key] = morsel.value
        return answer

    def send(self, path, fields="", **environ):
        token = re.search('name="csrf" value="(.+?)"', self.ask("/").text)[1]
        return self.ask(path, "POST", f"csrf={token}&{fields}".encode(), CONTENT_TYPE=FORM, **environ)

    def log_in(self, **environ):
        return self.send("/login", "name=ada&password=lovelace", **environ)


@pytest.fixture
def browser(recipe):
    return Browser(recipe.application)


def test_session_lasts_from_login_to_logout(browser):
    answer = browser.log_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "Hello, ada" in browser.ask("/").text
    assert browser.send("/logout").status == 303
    assert browser.cookies == {"session": ""}
    assert "Hello, stranger" in browser.ask("/").text


@pytest.mark.parametrize("fields", ["name=ada&password=byron", "name=bob&password=lovelace", ""])
def test_wrong_password_gets_403(browser, fields):
    assert browser.send("/login", fields).status == 403
    assert "Hello, stranger" in browser.ask("/").text


def test_cookie_is_http_only_same_site_and_secure(browser):
    plain, secure = (browser.ask("/", **{"wsgi.url_scheme": scheme}) for scheme in ("http", "https"))
    assert re.fullmatch("session=.+; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax", cookie(plain))
    assert re.fullmatch("__Host-session=.+; Secure; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax", cookie(secure))
    assert plain.headers["Cache-Control"] == "no-store"


def cookie(answer):
    name, *attributes = re.sub("Expires=[^;]+; ", "", answer.headers["Set-Cookie"]).split("; ")
    order = ["Secure", "HttpOnly", "Max-Age", "Path", "SameSite"]
    return "; ".join([name, *sorted(attributes, key=lambda attribute: order.index(attribute.split("=")[0]))])


def test_unchanged_session_sets_no_cookie(browser):
    browser.ask("/")
    assert "Set-Cookie" not in browser.ask("/").headers


def test_forged_cookie_is_ignored(browser):
    browser.log_in()
    browser.cookies["session"] = "e30" + browser.cookies["session"]
    assert "Hello, stranger" in browser.ask("/").text


def test_session_expires(browser, recipe, monkeypatch):
    browser.log_in()
    monkeypatch.setattr(recipe, "MAX_AGE", -1)
    assert "Hello, stranger" in browser.ask("/").text


def test_nested_change_is_stored(recipe):
    def handler(environ, start_response):
        environ["app.session"].setdefault("seen", []).append(1)
        return recipe.html(start_response, str(len(environ["app.session"]["seen"])))

    browser = Browser(recipe.sessions(KEY)(handler))
    assert [browser.ask("/").text for _ in range(3)] == ["1", "2", "3"]


def test_form_without_token_gets_403(browser):
    for body in (b"", b"csrf=", b"csrf=%C3%A9", b"csrf=" + b"A" * 43):
        assert browser.ask("/logout", "POST", body, CONTENT_TYPE=FORM).status == 403
        browser.ask("/")


def test_token_of_another_session_gets_403(browser, recipe):
    browser.log_in()
    other = Browser(recipe.application)
    other.ask("/")
    token = re.search('name="csrf" value="(.+?)"', other.ask("/").text)[1]
    assert browser.ask("/logout", "POST", f"csrf={token}".encode(), CONTENT_TYPE=FORM).status == 403


def test_form_on_another_site_gets_403(browser):
    assert browser.log_in(HTTP_SEC_FETCH_SITE="cross-site").status == 403
    assert browser.log_in(HTTP_SEC_FETCH_SITE="same-origin").status == 303


def test_large_form_gets_413(browser):
    assert browser.send("/login", "a" * 1_048_576).status == 413


@pytest.mark.parametrize("environ", [{}, {"SECRET_KEY": ""}, {"SECRET_KEY": "secret"}])
def test_missing_or_short_key_raises_setting_error(recipe, environ):
    with pytest.raises(SettingError, match=r"^SECRET_KEY .* 32 characters or more$"):
        recipe.secret_key(environ)
