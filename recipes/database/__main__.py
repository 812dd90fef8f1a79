"""`python -m recipes.database`: the guestbook, with the database among what /readyz asks."""

from app.handlers.health import CHECKS
from recipes import serve
from recipes.database import application
from recipes.database.pool import database_answers

# A fork writes this where CHECKS is, in app/handlers/health.py.
CHECKS["database"] = database_answers

if __name__ == "__main__":
    serve(application)
