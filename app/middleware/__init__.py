"""Middleware, one per file: a function that takes a WSGI application and returns another."""
