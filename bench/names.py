"""The names of applications in bench/applications.py, by backend."""

SERVED = {"gunicorn": "app, served by gunicorn", "uwsgi": "app, served by uWSGI"}
WORK = {"gunicorn": "work, served by gunicorn", "uwsgi": "work, served by uWSGI"}  # for sizes.py and growth.py
