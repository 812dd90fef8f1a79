"""The application of `make dev`: an exception shows its traceback in the browser, also one while the app is imported.

No image contains this folder, so production has no debugger.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.debug import DebuggedApplication


def load() -> WSGIApplication:
    """Return the application without `errors`, so that the debugger gets the exceptions."""
    from app.middleware.errors import errors  # noqa: PLC0415 (each import can fail)
    from app.page import environment  # noqa: PLC0415
    from app.router import router  # noqa: PLC0415
    from app.settings import settings  # noqa: PLC0415
    from app.wsgi import MIDDLEWARES, ROUTES, chain  # noqa: PLC0415
    from deploy.server.wsgi import serve  # noqa: PLC0415

    environment.auto_reload = True
    middlewares = [each for each in MIDDLEWARES if each is not errors]
    debugged = DebuggedApplication(chain(middlewares, router(ROUTES)), evalex=False)  # evalex: it runs a client's code
    return serve(debugged, is_uwsgi=settings().backend == "uwsgi")


def failure(error: BaseException) -> WSGIApplication:
    """Return an application that shows the error."""

    def fail(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("app.wsgi cannot be imported") from error

    return DebuggedApplication(fail, evalex=False)


try:
    application = load()
except BaseException as reason:  # noqa: BLE001 (a module may call sys.exit())
    application = failure(reason)
