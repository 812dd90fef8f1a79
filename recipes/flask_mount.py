"""Mount a Flask application at "/flask", inside the site's middleware.

Use it to mount an existing Flask application, or for Flask's extensions in one part of the site. If the whole site is
Flask, set `app.wsgi.application` to `chain(MIDDLEWARES, flask)`.

Run: `python -m recipes.flask_mount`, and open /flask/. Needs: flask (requirements/recipes.txt).
"""

from flask import Flask, render_template_string, request, url_for

from app.router import router
from app.wsgi import MIDDLEWARES, ROUTES, chain
from recipes import serve

flask = Flask(__name__)
flask.config.update(
    # Otherwise Flask answers 500 itself, without the `errors` middleware. errorhandler(500) is then not called; an
    # errorhandler for the exception's class is.
    PROPAGATE_EXCEPTIONS=True,
    # Otherwise the browser sends Flask's cookie to the whole site.
    SESSION_COOKIE_PATH="/flask",
)


@flask.get("/")
def home() -> str:
    """Return links to the other views. url_for() adds SCRIPT_NAME ("/flask") to each."""
    links = [url_for("hello", name="world"), url_for("fail")]
    return render_template_string(
        "{% for link in links %}<p><a href='{{ link }}'>{{ link }}</a>{% endfor %}", links=links
    )


@flask.get("/hello/<name>")
def hello(name: str) -> dict[str, str | None]:
    """Return JSON with the request id from the site's middleware."""
    return {"hello": name, "request_id": request.headers.get("X-Request-ID")}


@flask.get("/fail")
def fail() -> str:
    """Raise an exception, which the `errors` middleware logs and answers."""
    raise RuntimeError("this view always fails")


application = chain(MIDDLEWARES, router({**ROUTES, "/flask/*": flask}))

if __name__ == "__main__":
    serve(application)
