"""The images of a release: build, check and push the missing ones, and find the digest of each."""

import os
import re
from hashlib import sha256
from pathlib import Path

from deploy.docker import LONG, DeployError, Release, docker
from deploy.release import names
from deploy.server.launch import BACKENDS
from deploy.swarm.engine import log

# The registry answered that it does not have the image. Other errors mean that it did not answer. Some registries send
# the last message for an image that the user may not read. The push then fails and names the reason.
ABSENT = re.compile(r"manifest unknown|name unknown|: not found$|repository does not exist", re.MULTILINE)
NGINX_SETTINGS = (
    *("ALLOWED_HOSTS", "CLIENT_REQUESTS", "IDENTITY_HEADERS", "MAX_BODY_BYTES", "PROXY_PROTOCOL", "TRUSTED_PROXIES"),
    "LOG_FORMAT",  # only with monitoring
)


def provide(registry: str, release: Release, given: dict[str, str]) -> tuple[str, str, bool]:
    """Return the app's and nginx's image with their digests, and whether the app's was in the registry before."""
    app, nginx = f"{registry}/app:{release.tag}", f"{registry}/nginx:{fingerprint()}"
    targets = {nginx: ["nginx"], app: [release.backend, "--build-arg", f"RELEASE={release.name}"]}
    missing = [image for image in targets if not is_in_registry(image)]
    if app in missing and names.requested() and not os.environ.get("BACKEND"):
        refuse_other_backend(registry, release)
    if app not in missing:
        log(f"the registry has {release}: deploying this image, not the working tree")
    for image in missing:
        log(f"building {image}")
        docker("build", "--tag", image, "--target", *targets[image], ".", is_shown=True, seconds=LONG)
    check_nginx(nginx, given)
    for image in missing:
        log(f"pushing {image}")
        docker("push", "--quiet", image, seconds=LONG)
    return pinned(app), pinned(nginx), app not in missing


def pinned(image: str) -> str:
    """Return the image with its digest.

    Without one, the client asks the registry for it in each `docker stack deploy`. If the registry is away then, the
    client sends the plain name: for the engine that is another image, and it replaces all containers.
    """
    repository = image.rpartition(":")[0]
    for each in docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', image).split():
        if each.startswith(f"{repository}@"):
            return image + each.removeprefix(repository)
    raise DeployError(f"{image} has no digest: push it with `docker push {image}`")


def is_in_registry(image: str) -> bool:
    """Pull the image, and return whether the registry has it; raise DeployError if the registry does not answer."""
    try:
        docker("pull", "--quiet", image, seconds=LONG)
    except DeployError as error:
        if not ABSENT.search(str(error)):
            raise
        return False
    return True


def refuse_other_backend(registry: str, release: Release) -> None:
    """Raise DeployError if RELEASE names a release of the other backend: the working tree must not get its name."""
    for each in BACKENDS:
        other = Release(release.name, each)
        if other != release and is_in_registry(f"{registry}/app:{other.tag}"):
            raise DeployError(
                f"there is no {release}, only {other}: set BACKEND={other.backend} to deploy that one, "
                f"or BACKEND={release.backend} to build the working tree under the same name"
            )


def check_nginx(image: str, given: dict[str, str]) -> None:
    """Raise DeployError, with nginx's message, if nginx refuses its configuration with these settings."""
    script = (
        "/srv/nginx/control.sh configure /run/nginx && exec nginx -t -q -p /run/nginx/ -c conf/nginx.conf -e stderr"
    )
    options = [f"--env={each}" for each in ("NGINX_UPSTREAM=replicas", *NGINX_SETTINGS)]
    docker("run", "--rm", "--network=none", *options, image, "sh", "-c", script, settings=given, seconds=LONG)


def fingerprint() -> str:
    """Return the tag of nginx's image, a hash of its contents: the engine replaces nginx only if the tag is new."""
    text = Path("Dockerfile").read_text()
    found = re.findall(r"^ARG NGINX_IMAGE=.*$|^FROM \S+ AS nginx$(?:\n.+)*", text, re.MULTILINE)
    digest = sha256("\n".join(found).encode())
    for path in sorted(path for path in Path("nginx").rglob("*") if path.is_file()):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
