"""Mount a Flask application at "/flask", inside the site's middleware.

Use it to mount an existing Flask application, or for Flask's extensions in one part of the site. If the whole site is
Flask, set `app.wsgi.application` to `chain(MIDDLEWARES, flask)`.

Run: `python -m recipes.flask_mount`, and open /flask/. Needs: flask (requirements/recipes.txt).
"""

from flask import Flask, render_template_string, request, url_for

from recipes import serve, site

flask = Flask(__name__)
# Otherwise Flask answers 500 itself, without the `errors` middleware. Flask then does not call errorhandler(500), but
# still calls an errorhandler for the exception's class.
flask.config["PROPAGATE_EXCEPTIONS"] = True
# Otherwise the browser sends Flask's cookie to the whole site.
flask.config["SESSION_COOKIE_PATH"] = "/flask"


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


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/flask/*": flask})

if __name__ == "__main__":
    serve(application)
