"""`make dev`: `make local` with reloading after an edit, and with tracebacks in the browser.

The app's image does not contain this folder, so production has neither.
"""

import os
import sys

from werkzeug.debug import DebuggedApplication

from app.middleware.errors import errors
from app.page import environment
from app.router import router
from app.settings import settings
from app.wsgi import MIDDLEWARES, ROUTES, chain
from deploy.local.__main__ import main
from deploy.server.launch import become, command
from deploy.server.wsgi import serve

# For Python files. Templates and static files are read at each request.
RELOAD = {"gunicorn": ["--reload"], "uwsgi": ["--py-autoreload", "1"]}

environment.auto_reload = True
# Without `errors`, the debugger gets the exception. evalex would run any code that a client sends.
application = serve(
    DebuggedApplication(chain([each for each in MIDDLEWARES if each is not errors], router(ROUTES)), evalex=False),
    makes_chunks=settings().backend == "uwsgi",
)

if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        line = command(os.environ, "deploy.local.dev:application")
        become([*line, *RELOAD[line[0]]])
    main(launcher="deploy.local.dev serve")
