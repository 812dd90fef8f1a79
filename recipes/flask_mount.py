"""A Flask application below "/flask" in our ROUTES, with our middleware around it.

When: an application that exists moves in, or one corner of the site wants Flask's extensions. Not when: the whole site
would be Flask; then let `app.wsgi.application` be `chain(MIDDLEWARES, flask)`, without a router.

Run: `python -m recipes.flask_mount`, and open /flask/. Needs: flask (requirements/recipes.txt).
"""

from flask import Flask, render_template_string, request, url_for

from app.router import router
from app.wsgi import MIDDLEWARES, ROUTES, chain
from recipes import serve

flask = Flask(__name__)
flask.config.update(
    # Otherwise Flask answers 500 itself, and `errors` never hears of it. So an errorhandler(500) is not called; one for
    # the exception's class is.
    PROPAGATE_EXCEPTIONS=True,
    # Otherwise the browser sends Flask's cookie to the whole site.
    SESSION_COOKIE_PATH="/flask",
)


@flask.get("/")
def home() -> str:
    """Answer with links to the other views: url_for puts SCRIPT_NAME, here "/flask", before each."""
    links = [url_for("hello", name="world"), url_for("fail")]
    return render_template_string(
        "{% for link in links %}<p><a href='{{ link }}'>{{ link }}</a>{% endfor %}", links=links
    )


@flask.get("/hello/<name>")
def hello(name: str) -> dict[str, str | None]:
    """Answer with JSON, and the id that our middleware gave the request."""
    return {"hello": name, "request_id": request.headers.get("X-Request-ID")}


@flask.get("/fail")
def fail() -> str:
    """Fail, for our middleware to log it and to answer."""
    raise RuntimeError("this view always fails")


application = chain(MIDDLEWARES, router({**ROUTES, "/flask/*": flask}))

if __name__ == "__main__":
    serve(application)
