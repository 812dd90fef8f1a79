"""The handlers: WSGI applications that answer one route each."""
