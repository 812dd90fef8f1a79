"""Makes a worker's process the same under both servers. Each imports this module in a worker, before the application.

gunicorn is a Python program, and uWSGI embeds Python. launch.py equalises the limit of open files, and progress.py the
signals.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

# begin monitoring
from app.log import configure_logging
from app.log_format import log_everything

# end monitoring
ROOT = Path(__file__).parents[2]
SERVERS_OWN = (  # environment variables
    *("SERVER_SOFTWARE", "UWSGI_ORIGINAL_PROC_NAME", "UWSGI_RELOADS"),
    *("LOG_DESCRIPTORS", "LOG_SOCKET"),  # only with monitoring
)

# begin monitoring
configure_logging()  # it reads the variables above
log_everything()
# end monitoring
sys.executable = f"{sys.prefix}/bin/python"  # uWSGI's is uwsgi, which subprocess and multiprocessing would start
sys.argv = [str(ROOT / "app" / "wsgi.py")]
# uWSGI adds relative paths, and gunicorn the folder of its command.
sys.path = [str(ROOT), *(each for each in sys.path if each not in ("", ".", str(ROOT), f"{sys.prefix}/bin"))]
for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
for name in SERVERS_OWN:
    os.environ.pop(name, None)
