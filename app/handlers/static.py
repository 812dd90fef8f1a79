"""The static files, for a server without nginx in front: in production nginx answers before we are asked."""

from werkzeug.middleware.shared_data import SharedDataMiddleware

from app.response import not_found
from app.settings import settings

files = SharedDataMiddleware(not_found, {"/": str(settings.static_dir)}, cache=False)
