"""`python -m app`: serve the application on loopback with the standard library's server. For development only."""

from argparse import ArgumentParser
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from app.log import configure_logging
from app.wsgi import application


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """Handle each request in a thread of its own."""

    daemon_threads = True


if __name__ == "__main__":
    configure_logging()
    parser = ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("port", nargs="?", type=int, default=8000, help="port to listen on (default: 8000)")
    with make_server("127.0.0.1", parser.parse_args().port, application, ThreadingServer) as server:
        print(f"http://localhost:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
