"""The examples of docs/your-app.md: a Django project and a Flask application as the whole site."""

import re
import shutil
from itertools import product

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from deploy.server.launch import BACKENDS
from tests.stack.conftest import KINDS, require
from tests.stack.moving import Move, block
from tests.stack.waiting import until

pytestmark = pytest.mark.xdist_group("your-app")


def stacks(every_change):
    """Return the parameters of a fixture: each stack, all but one of them nightly."""
    return [
        pytest.param(stack, marks=[pytest.mark.nightly] * (stack != every_change), id="-".join(stack))
        for stack in product(KINDS, BACKENDS)
    ]


USER, PASSWORD = "ada", "an-analytical-engine"  # pragma: allowlist secret
MODELS = """from django.contrib import admin
from django.db import models


class Document(models.Model):
    file = models.FileField()


admin.site.register(Document)
"""


def project(move):
    """Write the Django project that a team brings: `startproject`, and an application with uploads."""
    packages = move.root / "app" / "packages"
    (packages / "library").mkdir(parents=True)
    move.run("django-admin", "startproject", "mysite", str(packages))
    (packages / "library" / "__init__.py").touch()
    (packages / "library" / "models.py").write_text(MODELS)
    (packages / "library" / "static").mkdir()
    (packages / "library" / "static" / "library.css").write_text("p { color: red }")
    settings = packages / "mysite" / "settings.py"
    settings.write_text(settings.read_text().replace("INSTALLED_APPS = [", "INSTALLED_APPS = ['library',"))
    move.run("python", "app/packages/manage.py", "makemigrations", "library")


def name_secret_key(move):
    """Pass the variable SECRET_KEY on to the app."""
    text = (move.root / ".env.example").read_text()
    move.write(".env.example", f"{text}\n{block('then `make settings`, and the value')}")
    move.run("make", "settings")


@pytest.fixture(scope="module", params=stacks(("processes", BACKENDS[0])))
def django(request, tmp_path_factory):
    """Run the Django project as the whole site."""
    kind, backend = request.param
    require(kind, backend)
    move = Move(tmp_path_factory.mktemp("django"))
    project(move)
    move.write("app/wsgi.py", block("`app/wsgi.py`:"))
    packages = block("names the packages with static files").replace('",)', '", "app.packages.library")')
    move.edit("app/assets.py", "PACKAGES: tuple[str, ...] = ()\n", packages)
    settings = "app/packages/mysite/settings.py"
    move.write(
        settings, f"{(move.root / settings).read_text()}\n{block('At the end of `app/packages/mysite/settings.py`')}"
    )
    move.write("app/packages/mysite/static.py", block("`app/packages/mysite/static.py`:"))
    name_secret_key(move)
    if kind == "docker":
        move.depend("django", backend=backend)
    assert {path if not path.startswith("app/") else "app/" for path in move.touched} <= {
        "app/", ".env.example", "pyproject.toml"
    }  # fmt: skip
    with move.started(
        kind, backend, "django", SECRET_KEY="x" * 50, TRUSTED_PROXIES="127.0.0.0/8,172.16.0.0/12"
    ) as stack:
        manage = ("python", "app/packages/manage.py")
        move.execute(stack, *manage, "migrate")
        user = f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}"
        create = ("createsuperuser", "--noinput", f"--username={USER}", "--email=ada@example.org")
        move.execute(stack, "env", user, *manage, *create)
        yield stack


def test_django_admin_works_in_a_browser(django, tmp_path):
    if not (chromium := shutil.which("chromium")):
        pytest.skip("the admin in a browser: chromium is not installed")
    (tmp_path / "letter.txt").write_text("a letter")
    errors = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]) as browser,
    ):
        page = browser.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
        page.goto(f"{django.url}/admin")
        expect(page.locator("#header")).to_have_css("background-color", "rgb(65, 118, 144)")
        for sheet in page.locator("link[rel=stylesheet]").all():
            assert re.search(r"^/static/admin/css/[\w-]+\.[0-9a-f]{12}\.css$", sheet.get_attribute("href"))
        page.fill("[name=username]", USER)
        page.fill("[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.goto(f"{django.url}/admin/library/document/add/")
        page.set_input_files("[name=file]", tmp_path / "letter.txt")
        page.click("[name=_save]")
        expect(page.locator(".success")).to_contain_text("was added successfully")
        page.click("th.field-__str__ a")
        link = page.locator(".file-upload a")
        assert page.request.get(f"{django.url}{link.get_attribute('href')}").text() == "a letter"
        page.click("#logout-form button")
        expect(page.locator("h1")).to_contain_text("Logged out")
    assert errors == []


def test_django_sees_https_of_a_trusted_proxy(django):
    host = django.url.removeprefix("http://")
    forwarded = {"X-Forwarded-Proto": "https", "Origin": f"https://{host}", "Referer": f"https://{host}/admin/login/"}
    with httpx.Client(base_url=django.url, headers=forwarded) as client:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/admin/login/").text)[1]
        form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/admin/"}
        answer = client.post("/admin/login/", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/readyz", 200, '"ok"'),
        ("/static/library.css", 200, "p { color: red }"),
        ("/static/admin/css/base.css", 200, "--primary"),
        ("/static/nope.css", 404, "Not Found"),
        ("/nope", 404, "<h1>Not Found</h1>"),
        ("/media/nope.txt", 404, "Not Found"),
    ],
)
def test_path_of_the_django_site(path, status, text, django):
    answer = httpx.get(django.url + path)
    assert (answer.status_code, text in answer.text) == (status, True)


FLASKR = '''import os
import sqlite3

from flask import Flask, g, redirect, render_template_string, request, session, url_for

PAGE = """<!doctype html><link rel="stylesheet" href="{{ url_for('static', filename='style.css') }}">
<h1>{{ session.get("user", "nobody") }}</h1>{% for post in posts %}<p>{{ post }}</p>{% endfor %}"""


def create_app(config):
    app = Flask(__name__)
    app.config.from_mapping(config)

    def database():
        connection = sqlite3.connect(app.config["DATABASE"])
        connection.execute("CREATE TABLE IF NOT EXISTS post (body TEXT)")
        return connection

    @app.get("/")
    def home():
        with database() as connection:
            posts = [body for body, in connection.execute("SELECT body FROM post")]
        return render_template_string(PAGE, posts=posts)

    @app.post("/auth/login")
    def login():
        session["user"] = request.form["user"]
        return redirect(url_for("home"))

    @app.post("/create")
    def create():
        with database() as connection:
            connection.execute("INSERT INTO post VALUES (?)", (request.form["body"],))
        return redirect(url_for("home"))

    return app
'''


@pytest.fixture(scope="module", params=stacks(("processes", BACKENDS[-1])))
def flask(request, tmp_path_factory):
    """Run a Flask application as the whole site, in a package that the team brings."""
    kind, backend = request.param
    require(kind, backend)
    move = Move(tmp_path_factory.mktemp("flask"))
    package = move.root / "app" / "packages" / "flaskr"
    (package / "static").mkdir(parents=True)
    (package / "__init__.py").write_text(FLASKR)
    (package / "static" / "style.css").write_text("h1 { color: green }")
    imports, _, create = block("Change `app/wsgi.py` as for any application:").rpartition("\n\n")
    path = 'import os\nimport sys\nsys.path.append("app/packages")\n'
    move.replace_routes(f"{path}{imports}\n{create}", "flask")
    name_secret_key(move)
    if kind == "docker":
        move.depend("flask", backend=backend)
    with move.started(kind, backend, "flask", SECRET_KEY="x" * 50) as stack:
        yield stack


def test_flask_application_keeps_session_and_data(flask):
    with httpx.Client(base_url=flask.url, follow_redirects=True) as client:
        assert "<h1>nobody</h1>" in client.get("/").text
        assert "<h1>ada</h1>" in client.post("/auth/login", data={"user": "ada"}).text
        page = client.post("/create", data={"body": "a post"}).text
        assert "<p>a post</p>" in page
        assert '"/static/style.css"' in page
        assert client.get("/static/style.css").text == "h1 { color: green }"
        assert client.get("/nope").status_code == 404
        flask.restart_app()
        until(flask.is_up, "the site is back")
        assert "<p>a post</p>" in client.get("/").text
