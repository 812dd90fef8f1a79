"""gunicorn's settings that are the same in every container; launch.py adds the address, the workers and the threads.

https://gunicorn.org/reference/settings/
"""

# Threads, so that a slow request does not hold a whole process. Other worker classes with concurrency patch the
# standard library.
worker_class = "gthread"

# gunicorn kills a worker whose main thread is silent for this many seconds. nginx limits the time of a request.
timeout = 30
# Seconds for requests in flight to end after SIGTERM. Equal to nginx's proxy_read_timeout; Compose waits longer.
graceful_timeout = 30

# nginx opens a connection for each request. An idle connection would take a worker's place.
keepalive = 0
# At most 256 connections wait for a worker. nginx answers 503 to the next one at once.
backlog = 256

# Replace a worker after this many requests, against memory leaks. The random part prevents simultaneous restarts.
max_requests = 50000
max_requests_jitter = 50000

# nginx limits both (large_client_header_buffers). Over HTTP/2 nginx counts compressed bytes: gunicorn can
# get 8/5 as many.
limit_request_line = 0
limit_request_field_size = 16384
# As many as fit into nginx's buffers. At gunicorn's default of 100 the client would get 431 from one backend only.
limit_request_fields = 1000

# begin monitoring
# Sends gunicorn's own messages to the application's log.
logger_class = "deploy.server.gunicorn_log.GunicornLog"
# end monitoring

# Each worker updates a file there as a heartbeat. On a disk, the update can block the worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108

# The control socket would be a file under $HOME, which a read-only container cannot write.
control_socket_disable = True

# Each worker imports the app, so that SIGHUP loads new code, and no connection is opened before the fork.
preload_app = False


def post_fork(_server, worker):  # noqa: ANN001, ANN201 (gunicorn has no types)
    """Equalise the worker's process, and how it reads the request's fields, with uWSGI's."""
    import gunicorn.util  # noqa: PLC0415

    import deploy.server.surroundings  # noqa: F401, PLC0415 (the master needs its own sys.argv)
    from deploy.server import fields  # noqa: PLC0415

    worker.cfg.set("pre_request", fields.join_repeated)
    gunicorn.util.write_error = fields.refuse
