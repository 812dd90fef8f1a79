"""recipes/sessions.py: login, logout, and forms of other sites."""

import re
from http.cookies import SimpleCookie

import pytest

from app.variables import SettingError
from tests.wsgi import call

KEY = "k" * 32
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_KEY", KEY)
        from recipes import sessions  # noqa: PLC0415 (it needs SECRET_KEY when it is imported)

        yield sessions


@pytest.fixture(autouse=True)
def ada(recipe, cheap, monkeypatch):
    monkeypatch.setitem(recipe.PASSWORD_HASHES, "ada", cheap.hash("lovelace"))
    return cheap


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


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_form_of_another_site_is_not_read(browser, site):
    answer = browser.ask("/logout", "POST", b"a" * 20_000, CONTENT_TYPE=FORM, HTTP_SEC_FETCH_SITE=site)
    assert answer.status == 403


def test_large_form_gets_413(browser):
    assert browser.send("/login", "a" * 16_384).status == 413


def test_form_with_many_parts_gets_413(browser):
    part = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    body = part * 21 + b"--edge--\r\n"
    assert browser.ask("/login", "POST", body, CONTENT_TYPE="multipart/form-data; boundary=edge").status == 413


def test_password_that_is_not_checked_gets_429(browser):
    assert [browser.send("/login", "name=ada&password=byron").status for _ in range(10)] == [403] * 10
    answer = browser.log_in()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert browser.log_in(REMOTE_ADDR="192.0.2.1").status == 303


def test_session_ends_when_the_password_changes(browser, recipe, ada, monkeypatch):
    browser.log_in()
    monkeypatch.setitem(recipe.PASSWORD_HASHES, "ada", ada.hash("lovelace"))
    assert "Hello, stranger" in browser.ask("/").text


def test_session_ends_with_the_user(browser, recipe, monkeypatch):
    browser.log_in()
    monkeypatch.delitem(recipe.PASSWORD_HASHES, "ada")
    assert "Hello, stranger" in browser.ask("/").text


def test_session_of_a_deleted_user_is_not_that_of_the_next_user_of_the_name(browser, recipe, ada, monkeypatch):
    browser.log_in()
    monkeypatch.delitem(recipe.PASSWORD_HASHES, "ada")
    monkeypatch.setitem(recipe.PASSWORD_HASHES, "ada", ada.hash("another"))
    assert "Hello, stranger" in browser.ask("/").text


def test_login_keeps_nothing_of_the_session_before_it(browser, recipe):
    """Session fixation: an attacker who has set the cookie, and knows its token, gains nothing."""
    browser.ask("/")
    planted, token = browser.cookies["session"], token_of(browser)
    browser.log_in()
    assert browser.cookies["session"] != planted
    assert token_of(browser) != token
    attacker = Browser(recipe.application)
    attacker.cookies["session"] = planted
    assert "Hello, stranger" in attacker.ask("/").text


def token_of(browser):
    return re.search('name="csrf" value="(.+?)"', browser.ask("/").text)[1]


@pytest.mark.parametrize("where", ["https://evil.test", "//evil.test", "/\\evil.test"])
def test_login_redirects_to_this_site_only(browser, where):
    token = token_of(browser)
    fields = f"csrf={token}&name=ada&password=lovelace&next={where}".encode()
    answer = browser.ask(f"/login?next={where}", "POST", fields, CONTENT_TYPE=FORM, HTTP_REFERER=where)
    assert answer.headers["Location"] == "/"


def test_name_is_not_repeated_in_a_header_or_as_markup(browser, recipe, ada, monkeypatch):
    monkeypatch.setitem(recipe.PASSWORD_HASHES, "<b>\r\nSet-Cookie: a=b", ada.hash("lovelace"))
    answer = browser.send("/login", "name=%3Cb%3E%0D%0ASet-Cookie%3A+a%3Db&password=lovelace")
    assert [cookie(answer).partition("=")[0]] == ["session"]
    assert "Hello, &lt;b&gt;" in browser.ask("/").text


@pytest.mark.parametrize("key", ["", "secret"])
def test_missing_or_short_key_raises_setting_error(recipe, key):
    with pytest.raises(SettingError, match=r"^SECRET_KEY .* 32 characters or more$"):
        recipe.sessions(key)
