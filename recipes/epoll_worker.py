"""A worker of gunicorn whose threads accept, answer and close connections by themselves.

gunicorn's gthread accepts in one thread and hands each connection to another one and back, which costs more than most
handlers. This worker rests on undocumented methods of gunicorn's SyncWorker: test it with each new version.

To turn it on, copy this file to deploy/server/, and set in deploy/server/gunicorn.conf.py:
`worker_class = "deploy.server.epoll_worker.EpollWorker"`. Needs: no additional packages.
"""

import os
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from socket import socket
from threading import Thread
from wsgiref.types import StartResponse, WSGIEnvironment

from gunicorn.workers.sync import SyncWorker

HEARTBEAT = 1.0  # seconds
ONE = select.EPOLLIN | select.EPOLLEXCLUSIVE  # a connection wakes one worker, not all of them


class EpollWorker(SyncWorker):
    """Serve with threads that all wait in one epoll. The main thread sends the heartbeat and stops them."""

    def run(self) -> None:
        """Serve until a signal, or until the worker has had `max_requests`."""
        self.wait_fds = self.PIPE[:1]  # of the main thread: signals, and serve()
        self.poller = select.epoll()
        for listener in self.sockets:
            listener.setblocking(0)
            self.poller.register(listener, ONE)
        threads = [Thread(target=self.serve, daemon=True) for _ in range(self.cfg.threads)]
        for thread in threads:
            thread.start()
        while self.alive and self.is_parent_alive():
            self.wait(HEARTBEAT)
        self.alive = False
        for listener in self.sockets:
            with suppress(FileNotFoundError):  # as in handle()
                self.poller.unregister(listener)
        self.poller.register(os.eventfd(1), select.EPOLLIN)  # readable for ever: it wakes all threads
        end = time.monotonic() + self.cfg.graceful_timeout
        for thread in threads:
            while thread.is_alive() and time.monotonic() < end:
                self.notify()
                thread.join(HEARTBEAT)

    def serve(self) -> None:
        """Answer one connection after another."""
        try:
            while self.alive:
                self.poller.poll(maxevents=1)
                # Also after the worker has stopped: the kernel may have woken only this thread for a connection.
                for listener in self.sockets:
                    with suppress(BlockingIOError, ConnectionAbortedError):
                        self.accept(listener)
        finally:  # the last request, or an error such as too many open files: the worker ends
            self.alive = False
            os.write(self.PIPE[1], b"\0")  # wakes the main thread

    def handle(self, listener: socket, client: socket, address: object) -> None:
        """Answer a connection. The kernel wakes the first worker in its list, so this one moves to the end."""
        with suppress(FileNotFoundError):  # another thread is moving it
            self.poller.unregister(listener)
            self.poller.register(listener, ONE)
        super().handle(listener, client, address)

    def load_wsgi(self) -> None:
        """Load the application, and tell it that it runs in several threads."""
        super().load_wsgi()
        application = self.wsgi

        def threaded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ["wsgi.multithread"] = True
            return application(environ, start_response)

        self.wsgi = threaded
