"""A Django application, all of it in this file, below "/django" in our ROUTES, with our middleware around it.

When: a Django project moves in, or one part of the site wants its admin or its ORM; the project keeps its settings.py,
and only its `get_wsgi_application()` comes here. Not when: the whole site is Django; let `app.wsgi.application` be
`chain(MIDDLEWARES, django)`, without a router. Never twice: Django's settings are global, one set a process.

Run: `python -m recipes.django_mount`, and open /django/. Needs: django (requirements/recipes.txt).
"""

from wsgiref.types import WSGIApplication

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils.html import format_html_join

from app.router import router
from app.wsgi import MIDDLEWARES, ROUTES, chain
from recipes import serve

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],  # the names of your site
    DEBUG_PROPAGATE_EXCEPTIONS=True,  # otherwise Django answers 500 itself, and `errors` never hears of it
    LOGGING_CONFIG=None,  # app/wsgi.py has set up logging
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)


def home(request: HttpRequest) -> HttpResponse:
    """Answer with links to the other views: reverse puts SCRIPT_NAME, here "/django", before each."""
    links = [reverse("hello", args=["world"]), reverse("fail")]
    return HttpResponse(format_html_join("", "<p><a href='{}'>{}</a>", ((link, link) for link in links)))


def hello(request: HttpRequest, name: str) -> JsonResponse:
    """Answer with JSON, and the id that our middleware gave the request."""
    return JsonResponse({"hello": name, "request_id": request.headers["X-Request-ID"]})


def fail(request: HttpRequest) -> HttpResponse:
    """Fail, for our middleware to log it and to answer."""
    raise RuntimeError("this view always fails")


urlpatterns = [
    path("", home, name="home"),
    path("hello/<name>", hello, name="hello"),
    path("fail", fail, name="fail"),
]

django: WSGIApplication = get_wsgi_application()
application = chain(MIDDLEWARES, router({**ROUTES, "/django/*": django}))

if __name__ == "__main__":
    serve(application)
