"""`make dev`: as `make local`, and an edit is served at once, and a failure shows its traceback in the browser.

No image holds this file, so neither can ever be on where it should not: .dockerignore leaves it out, and a test looks.
"""

import os
import sys

from werkzeug.debug import DebuggedApplication

from app.middleware.errors import errors
from app.page import environment
from app.router import router
from app.wsgi import MIDDLEWARES, ROUTES, chain
from deploy.local.__main__ import main
from deploy.server.launch import become, command

# For Python files; templates and static files are read anew at each request anyway.
RELOAD = {"gunicorn": ["--reload"], "uwsgi": ["--py-autoreload", "1"]}

environment.auto_reload = True
# `errors` would answer before the debugger sees the exception. No console: it would run what anybody sends it.
application = DebuggedApplication(
    chain([each for each in MIDDLEWARES if each is not errors], router(ROUTES)), evalex=False
)

if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        line = command(os.environ, "deploy.local.dev:application")
        become([*line, *RELOAD[line[0]]])
    main(launcher="deploy.local.dev serve")
