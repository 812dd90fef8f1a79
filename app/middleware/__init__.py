"""Middleware, one a file: a function that takes a WSGI application and returns one."""
