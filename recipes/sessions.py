"""Sessions in a signed cookie: login, logout, and forms protected against cross-site request forgery.

Use it for login forms and little data per user: the cookie holds the whole session, at most 4 kB. The user can read the
cookie but cannot change it. For API clients use recipes/authentication.py.

A session ends at a logout, after MAX_AGE, when the user's password changes, and when the user is deleted. To end one
session of a user on the server, keep the sessions in a database and only their ids in the cookie.

Run: `SECRET_KEY=$(openssl rand -hex 32) python -m recipes.sessions`. It creates a user and prints the password.
Needs: argon2-cffi, itsdangerous, werkzeug (requirements/recipes.txt).
"""

import copy
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import parse_form_data
from werkzeug.http import dump_cookie, parse_cookie

from app.headers import Headers, change_headers
from app.page import environment
from app.response import error, html, whole
from app.variables import SettingError
from recipes import serve, site
from recipes.passwords import NotChecked, check, hasher

MAX_AGE = 14 * 24 * 3600  # seconds after the last change of the session
# A form is parsed before its token is checked. So its size is bounded, and its parts, each of which costs CPU time.
FORM_BYTES, FORM_PARTS = 16_384, 20

# hasher.hash(password) by user name. In your project, read them from the database.
PASSWORD_HASHES: dict[str, str] = {}

PAGE = environment.from_string("""\
<!doctype html>
<html lang="en">
<title>Sessions</title>
<h1>Hello, {{ user or "stranger" }}</h1>
<form method="post" action="{{ '/logout' if user else '/login' }}">
  <input type="hidden" name="csrf" value="{{ csrf }}">
{% if not user %}
  <label>Name <input name="name" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
{% endif %}
  <button>{{ "Log out" if user else "Log in" }}</button>
</form>
""")


def sessions(key: str) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return middleware that stores environ["app.session"], a dict of JSON values, in a cookie (RFC 6265).

    All workers and instances share the key. Raise SettingError if it is too short.
    """
    if len(key) < 32:  # noqa: PLR2004
        raise SettingError(f"SECRET_KEY has {len(key)} characters: it must be a secret of 32 characters or more")
    serializer = URLSafeTimedSerializer(key, salt="session")

    def read(cookie: str) -> dict[str, Any]:
        try:
            session: dict[str, Any] = serializer.loads(cookie, max_age=MAX_AGE)
        except BadData:  # missing, forged or expired
            return {}
        is_over = "user" in session and session.get("login") != login_mark(session["user"])
        return {} if is_over else session

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def remembering(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            is_secure = environ["wsgi.url_scheme"] == "https"
            # The prefix stops other hosts of the domain and HTTP pages from setting the cookie (RFC 6265bis, 4.1.3.2).
            name = "__Host-session" if is_secure else "session"
            before = read(parse_cookie(environ).get(name, ""))
            session = environ["app.session"] = copy.deepcopy(before)

            def remember(headers: Headers) -> Headers:
                headers = [*headers, ("Cache-Control", "no-store")]  # the response is for one user (RFC 9111, 5.2.2.5)
                if session != before:
                    value, max_age = (serializer.dumps(session), MAX_AGE) if session else ("", 0)
                    cookie = dump_cookie(name, value, max_age, secure=is_secure, httponly=True, samesite="Lax")
                    headers.append(("Set-Cookie", cookie))
                return headers

            return handler(environ, change_headers(start_response, remember))

        return remembering

    return middleware


def login_mark(name: str) -> str:
    """Return a text that changes when the user's password does. It reveals nothing, because the hash has a salt."""
    return hashlib.sha256(PASSWORD_HASHES.get(name, "").encode()).hexdigest()


def own_form(handler: WSGIApplication) -> WSGIApplication:
    """Answer 403 to forms sent from other sites; put the fields of other forms into environ["app.form"]."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Older browsers do not send Sec-Fetch-Site (Fetch Metadata), so the token is required as well.
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return error(environ, start_response, HTTPStatus.FORBIDDEN)
        try:
            _, form, _ = parse_form_data(environ, max_content_length=FORM_BYTES, max_form_parts=FORM_PARTS)
        except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
            return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
        token = environ["app.session"].get("csrf", "")
        if not token or not hmac.compare_digest(form.get("csrf", "").encode(), token.encode()):
            return error(environ, start_response, HTTPStatus.FORBIDDEN, "Reload the page and send its form again.")
        environ["app.form"] = form
        return handler(environ, start_response)

    return checked


def home(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page with the user's name and a form to log in or out."""
    session = environ["app.session"]
    csrf = session.setdefault("csrf", secrets.token_urlsafe())
    return html(start_response, PAGE.render(user=session.get("user"), csrf=csrf))


def login(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Start a new session for a correct password; answer 403 to a wrong one, 429 or 503 to one that is not checked."""
    form, session = environ["app.form"], environ["app.session"]
    name = form.get("name", "")
    try:
        is_right = check(form.get("password", ""), PASSWORD_HASHES.get(name), environ["REMOTE_ADDR"])
    except NotChecked as reason:
        return error(environ, start_response, reason.status, headers=reason.headers)
    if not is_right:
        return error(environ, start_response, HTTPStatus.FORBIDDEN, "The name or the password is wrong.")
    session.clear()  # nothing that was in it before the login is trusted, the token included
    session.update(user=name, login=login_mark(name))
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


def logout(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Clear the session and delete its cookie."""
    environ["app.session"].clear()
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


# --- The recipe as a site of its own. A copy ends here. ---

application = site(
    {"/": {"GET": home}, "/login": {"POST": own_form(login)}, "/logout": {"POST": own_form(logout)}},
    sessions(os.environ.get("SECRET_KEY", "")),
)

if __name__ == "__main__":
    password = secrets.token_urlsafe()
    PASSWORD_HASHES["ada"] = hasher.hash(password)
    serve(application, f"log in as ada, password {password}")
