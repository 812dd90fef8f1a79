"""Mount a Django application at "/django", inside the site's middleware. The whole Django project is in this file.

Use it to mount an existing Django project, or for Django's admin or ORM in one part of the site. The project keeps its
settings.py; mount the result of its `get_wsgi_application()`. If the whole site is Django, set `app.wsgi.application`
to `chain(MIDDLEWARES, django)`. Django's settings are global, so one process can have only one Django project.

Run: `python -m recipes.django_mount`, and open /django/. Needs: django (requirements/recipes.txt).
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportIndexIssue=false
# Django has no types.

from wsgiref.types import WSGIApplication

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils.html import format_html_join

from recipes import serve, site

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],  # the host names of your site
    DEBUG_PROPAGATE_EXCEPTIONS=True,  # otherwise Django answers 500 itself, without the `errors` middleware
    LOGGING_CONFIG=None,  # app/log.py configures logging
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)


def home(request: HttpRequest) -> HttpResponse:
    """Return links to the other views. reverse() adds SCRIPT_NAME ("/django") to each."""
    links = [reverse("hello", args=["world"]), reverse("fail")]
    return HttpResponse(format_html_join("", "<p><a href='{}'>{}</a>", ((link, link) for link in links)))


def hello(request: HttpRequest, name: str) -> JsonResponse:
    """Return JSON with the request id from the site's middleware."""
    return JsonResponse({"hello": name, "request_id": request.headers["X-Request-ID"]})


def fail(request: HttpRequest) -> HttpResponse:
    """Raise an exception, which the `errors` middleware logs and answers."""
    raise RuntimeError("this view always fails")


urlpatterns = [
    path("", home, name="home"),
    path("hello/<name>", hello, name="hello"),
    path("fail", fail, name="fail"),
]

django: WSGIApplication = get_wsgi_application()
# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/django/*": django})

if __name__ == "__main__":
    serve(application)
