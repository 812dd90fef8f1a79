"""gunicorn's part that is the same in every container; serve.py adds the address, the workers and the threads.

https://gunicorn.org/reference/settings/
"""

# The only worker that keeps a slow request from holding a whole process, without patching anything.
worker_class = "gthread"

# A worker whose heart has not beaten for so many seconds is killed. It bounds no thread's request: nginx does that.
timeout = 30
# Seconds for requests in flight when stopping: as nginx's proxy_read_timeout; Compose's stop_grace_period is longer.
graceful_timeout = 30

# nginx opens a connection for each request; an idle one would take the place of one with work.
keepalive = 0
# So many wait for a free worker; nginx answers 503 to those that come then, at once, and those that wait are not long.
backlog = 256

# Against whatever leaks, a worker is replaced after so many requests, and as many more at random: while it starts, the
# others have its share, and must not be starting, too.
max_requests = 50000
max_requests_jitter = 50000

# nginx has bounded both (large_client_header_buffers), and gunicorn's own would be less: over HTTP/2 nginx counts what
# is compressed, which can be 8/5 as long when it is not.
limit_request_line = 0
limit_request_field_size = 16384
# What fits into nginx's buffers; gunicorn's default would answer 431, and uWSGI's would close the connection.
limit_request_fields = 1000

# The heart beats in a file: on a disk it can stall the worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108

# Would be a socket under $HOME, which a container that cannot write there reports as an error.
control_socket_disable = True

# Import the app in each worker, so that SIGHUP takes up new code and nothing is opened before the fork.
preload_app = False
