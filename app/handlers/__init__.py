"""Handlers: the WSGI callables that the routes in app/wsgi.py name."""
