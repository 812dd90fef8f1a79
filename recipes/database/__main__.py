"""`python -m recipes.database`: serve the guestbook, with the database as a readiness check."""

from app.handlers.health import CHECKS
from recipes import serve
from recipes.database import application
from recipes.database.pool import database_answers

# In your project, add it to CHECKS in app/handlers/health.py.
CHECKS["database"] = database_answers

if __name__ == "__main__":
    serve(application)
