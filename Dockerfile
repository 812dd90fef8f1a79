# One target per image: a server, nginx, loadtest. docker-compose.yml selects the target.
ARG PYTHON_IMAGE=python:3.14-slim-trixie
ARG NGINX_IMAGE=nginx:1.30
# Of the image for development.
ARG BACKEND=gunicorn

# Builds the virtual environments. Other images copy only /venv from it.
FROM ${PYTHON_IMAGE} AS build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
RUN python -m venv --without-pip /venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# begin gunicorn
FROM build AS build-gunicorn
RUN --mount=type=cache,target=/root/.cache/pip --mount=source=requirements/gunicorn.txt,target=/requirements.txt \
    pip --python /venv install --require-hashes --requirement /requirements.txt

# end gunicorn
# begin uwsgi
FROM build AS build-uwsgi
# Otherwise uWSGI links libxml2 and OpenSSL if the build image has them, and the final image may lack them.
ENV UWSGI_PROFILE_OVERRIDE="xml=false;ssl=false"
RUN --mount=type=cache,target=/root/.cache/pip --mount=source=requirements/uwsgi.txt,target=/requirements.txt \
    pip --python /venv install --require-hashes --requirement /requirements.txt

# end uwsgi
FROM build AS build-loadtest
RUN --mount=type=cache,target=/root/.cache/pip --mount=source=requirements/loadtest.txt,target=/requirements.txt \
    pip --python /venv install --require-hashes --requirement /requirements.txt

# The static files of the release, with fingerprinted names and compressed. Both backends use the same files.
FROM build AS static
RUN --mount=type=cache,target=/root/.cache/pip --mount=source=requirements/static.txt,target=/requirements.txt \
    pip --python /venv install --require-hashes --requirement /requirements.txt
WORKDIR /srv
COPY app app
COPY deploy/server/build_static.py deploy/server/references.py deploy/server/
RUN /venv/bin/python -m deploy.server.build_static static

# The base of all Python images: an interpreter without pip, and a user whose home is writable in a read-only container.
FROM ${PYTHON_IMAGE} AS python
RUN python -m pip uninstall --yes --root-user-action=ignore pip && \
    useradd --no-log-init --uid=10001 --user-group --no-create-home --home-dir=/tmp --shell=/usr/sbin/nologin app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv

# The application, without a server.
FROM python AS app
# A new volume takes its owner from these folders. docker-compose.yml has the same user id.
RUN install --directory --owner=10001 --group=10001 /run/app /var/lib/assets /var/lib/data \
    && install --directory --owner=10001 --group=10001 --mode=700 /run/secrets
# The modes do not depend on the umask with which the project was cloned.
COPY --chmod=755 app app
COPY --chmod=755 deploy/server deploy/server
COPY --from=static /srv/static static
ENV STATIC_DIR=/srv/static DATA_DIR=/var/lib/data
RUN python -m compileall -q app deploy
# `docker compose up` must not build an image under the name of a release whose image was removed.
ARG TAG=dev
RUN [ "$TAG" = dev ] || { echo "release $TAG has no image any more: run make deploy or make rollback" >&2; exit 1; }
USER 10001:10001
# No HEALTHCHECK in any image: docker-compose.yml and deploy/swarm/stack.yml have one per service. The same image also runs
# jobs that serve nothing, such as the release command, and Swarm would end those as unhealthy.
CMD ["python", "-m", "deploy.server.launch"]

# begin gunicorn
FROM app AS gunicorn
COPY --from=build-gunicorn /venv /venv
ARG RELEASE=dev
ENV BACKEND=gunicorn RELEASE=${RELEASE}

# end gunicorn
# begin uwsgi
FROM app AS uwsgi
COPY --from=build-uwsgi /venv /venv
ARG RELEASE=dev
ENV BACKEND=uwsgi RELEASE=${RELEASE}

# end uwsgi
# The same image with the reloader and the debugger, for development only (deploy/local/dev.yml).
FROM ${BACKEND} AS dev
COPY --chmod=755 deploy/local /srv/deploy/local

# nginx with its configuration and without the app's files, so that a deploy of the app does not change this image.
FROM ${NGINX_IMAGE} AS nginx
# A tmpfs without an owner (deploy/swarm/stack.yml) takes the mode of this folder.
RUN install --directory --mode=1777 /run/nginx && install --directory --owner=101 --group=101 /run/nginx/buffers
COPY --chmod=755 nginx /srv/nginx
WORKDIR /run/nginx
USER 101:101
ENTRYPOINT []
CMD ["/srv/nginx/control.sh", "start"]

FROM python AS loadtest
COPY --from=build-loadtest /venv /venv
COPY --chmod=755 loadtest loadtest
# The load test reads the CPU limit, too.
COPY --chmod=755 deploy/server/sizing.py deploy/server/
# The addresses of nginx on Compose's network: the first that answers is tested (loadtest/site.py).
ENV LOCUST_SITE="https://nginx:8443 http://nginx:8080"
USER 10001:10001
CMD ["python", "-m", "loadtest"]
