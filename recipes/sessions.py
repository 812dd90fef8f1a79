"""Sessions in a signed cookie: login, logout, and forms protected against cross-site request forgery.

Use it for login forms and little data per user: the cookie holds the whole session, at most 4 kB. The user can read the
cookie but cannot change it. For API clients use recipes/authentication.py. To revoke sessions before MAX_AGE, keep them
in a database and only their ids in the cookie.

Run: `SECRET_KEY=$(openssl rand -hex 32) python -m recipes.sessions`. It creates a user and prints the password.
Needs: itsdangerous, werkzeug (requirements/recipes.txt).
"""

import copy
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import parse_form_data
from werkzeug.http import dump_cookie, parse_cookie
from werkzeug.security import check_password_hash, generate_password_hash

from app.headers import Headers, change_headers
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.page import environment
from app.response import error, html, whole
from app.router import router
from app.settings import settings
from app.variables import SettingError
from app.wsgi import chain
from recipes import serve

MAX_AGE = 14 * 24 * 3600  # seconds after the last change of the session

# generate_password_hash(password) by user name. In your project, read them from the database.
PASSWORD_HASHES: dict[str, str] = {}
# Checked for unknown names, so that the response time does not reveal which names exist.
DUMMY_HASH = generate_password_hash(secrets.token_urlsafe())

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


def secret_key(environ: Mapping[str, str]) -> str:
    """Return SECRET_KEY, which all workers and instances share; raise SettingError if it is too short."""
    key = environ.get("SECRET_KEY", "")
    if len(key) < 32:  # noqa: PLR2004
        raise SettingError(f"SECRET_KEY has {len(key)} characters: it must be a secret of 32 characters or more")
    return key


def sessions(key: str) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return middleware that stores environ["app.session"], a dict of JSON values, in a cookie (RFC 6265)."""
    serializer = URLSafeTimedSerializer(key, salt="session")

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def remembering(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            is_secure = environ["wsgi.url_scheme"] == "https"
            # The prefix stops other hosts of the domain and HTTP pages from setting the cookie (RFC 6265bis, 4.1.3.2).
            name = "__Host-session" if is_secure else "session"
            try:
                before = serializer.loads(parse_cookie(environ).get(name, ""), max_age=MAX_AGE)
            except BadData:  # missing, forged or expired
                before = {}
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


def own_form(handler: WSGIApplication) -> WSGIApplication:
    """Answer 403 to forms sent from other sites; put the fields of other forms into environ["app.form"]."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            _, form, _ = parse_form_data(environ, max_content_length=settings().max_body_bytes)
        except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
            return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
        token = environ["app.session"].get("csrf", "")
        is_ours = token and hmac.compare_digest(form.get("csrf", "").encode(), token.encode())
        # Older browsers do not send Sec-Fetch-Site (Fetch Metadata), so the token is required as well.
        if not is_ours or environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
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
    """Start a new session for a correct password; answer 403 to a wrong one."""
    form, session = environ["app.form"], environ["app.session"]
    name = form.get("name", "")
    if not check_password_hash(PASSWORD_HASHES.get(name, DUMMY_HASH), form.get("password", "")):
        return error(environ, start_response, HTTPStatus.FORBIDDEN, "The name or the password is wrong.")
    session.clear()
    session["user"] = name
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


def logout(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Clear the session and delete its cookie."""
    environ["app.session"].clear()
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


application = chain(
    [head, request_id, errors, sessions(secret_key(os.environ))],
    router({"/": {"GET": home}, "/login": {"POST": own_form(login)}, "/logout": {"POST": own_form(logout)}}),
)

if __name__ == "__main__":
    password = secrets.token_urlsafe()
    PASSWORD_HASHES["ada"] = generate_password_hash(password)
    print(f"log in as ada, password {password}")
    serve(application)
