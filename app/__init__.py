"""A plain WSGI application (PEP 3333): dict routing, a list of middleware, no framework. Start with wsgi.py."""
