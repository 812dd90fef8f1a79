"""The static files, for a server without nginx in front: in production nginx answers before we are asked."""

from pathlib import Path

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.response import not_found

files = SharedDataMiddleware(not_found, {"/": str(Path(__file__).parents[1] / "static")}, cache=False)
