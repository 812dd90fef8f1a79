"""Dict routing: a key is a path, a value is a WSGI callable or a dict of WSGI callables by method.

    "/about"            exactly this path
    "/hello/{name}"     one non-empty segment, stored in environ["wsgiorg.routing_args"] (the wsgi.org convention)
    "/admin/*"          "/admin" and every path below it; the prefix moves from PATH_INFO to SCRIPT_NAME (PEP 3333)

Paths are compared without normalisation: "/about/", "//about" and "/./about" do not match "/about". A "%2F" matches as
a slash, because the server decodes PATH_INFO (PEP 3333, environ Variables). Keys and paths are UTF-8; a path that is
not UTF-8 gets 404. nginx answers 400 to dot segments and raw bytes above ASCII; such requests do not reach the app.

A mount takes the paths below it that no other route takes. Of two mounts, the longer one takes them. Any other two
routes that can match the same path raise RouteError when the table is read, so the order of the table does not matter.
Finding a route takes one dict look-up per segment, for any number of routes.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.methods import by_method
from app.response import not_found
from app.urls import PARAMETER

Target = WSGIApplication | Mapping[str, WSGIApplication]

MOUNT = "*"
PATHS: set[str] = set()  # of all routes without a parameter: they are not in "app.routes" # only with monitoring


class RouteError(ValueError):
    """A faulty route table; the message names the keys."""


class Route(NamedTuple):
    """One entry of the route table, with its key split into segments."""

    key: str
    segments: tuple[str, ...]  # for example "hello" or "{name}"; the last can be MOUNT
    application: WSGIApplication

    @property
    def is_mount(self) -> bool:
        """Tell whether the route takes every path below its key."""
        return self.segments[-1] == MOUNT


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the route tree: the route that ends here, the nearest mount, and the child nodes by next segment."""

    route: Route | None
    mount: Route | None
    literals: Mapping[str, "Node"]
    parameter: "Node | None"


def router(routes: Mapping[str, Target]) -> WSGIApplication:
    """Return a WSGI application that calls the route for each path; raise RouteError for a faulty table."""
    parsed = [parse(key, target) for key, target in routes.items()]
    tree = build(parsed)
    exact = {native(route.key): route.application for route in parsed if not re.search(r"[{*]", route.key)}
    PATHS.update(exact)  # only with monitoring

    def route_request(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        application = exact.get(path) or find(tree, path, environ) or not_found
        return application(environ, start_response)

    return route_request


def find(node: Node, path: str, environ: WSGIEnvironment) -> WSGIApplication | None:
    """Return the application for `path`, or None; put its arguments and mount point into `environ`."""
    segments = path[1:].split("/")
    route = node.mount
    for segment in segments:
        below = node.literals.get(segment) or (node.parameter if segment else None)
        if below is None:
            break
        node, route = below, below.mount
    else:
        route = node.route or node.mount
    if route is None:
        return None
    try:
        arguments = {
            pattern[1:-1]: segment.encode("latin-1").decode()  # PEP 3333: each character is one byte
            for pattern, segment in zip(route.segments, segments, strict=False)
            if PARAMETER.fullmatch(pattern)
        }
    except UnicodeDecodeError:
        return None
    environ["wsgiorg.routing_args"] = ((), arguments)
    # begin monitoring
    if "app.routes" in environ:  # with metrics, traces or error reports
        environ["app.routes"].append(native(route.key))
    # end monitoring
    if route.is_mount:
        mounted_at = "".join("/" + segment for segment in segments[: len(route.segments) - 1])
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + mounted_at
        environ["PATH_INFO"] = path[len(mounted_at) :]
    return route.application


# begin monitoring
def pattern(environ: WSGIEnvironment) -> str:
    """Return the key of the request's route, or an empty string. environ must have had "app.routes"."""
    path = environ.get("PATH_INFO", "")
    route: str = environ["app.routes"][-1] if environ["app.routes"] else path if path in PATHS else ""
    return route.encode("latin-1").decode()


# end monitoring
def build(routes: list[Route], depth: int = 0, mount: Route | None = None) -> Node:
    """Return the tree of `routes`, whose first `depth` segments match; raise RouteError for a conflict.

    `mount` is the mount above these routes.
    """
    ends: list[Route] = []
    mounts: list[Route] = []
    parameters: list[Route] = []
    literals: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        if len(route.segments) == depth:
            ends.append(route)
        elif route.segments[depth] == MOUNT:
            mounts.append(route)
        elif PARAMETER.fullmatch(route.segments[depth]):
            parameters.append(route)
        else:
            literals[native(route.segments[depth])].append(route)
    for same in (ends, mounts):
        if len(same) > 1:
            conflict(*same[:2])
    mount = mounts[0] if mounts else mount
    return Node(
        route=ends[0] if ends else None,
        mount=mount,
        # Routes with a parameter are copied below each literal ("/{x}/b" below "/a"), so that find() never backtracks.
        literals={text: build(below + parameters * bool(text), depth + 1, mount) for text, below in literals.items()},
        parameter=build(parameters, depth + 1, mount) if parameters else None,
    )


def parse(key: str, target: Target) -> Route:
    """Return the route for one entry of the table; raise RouteError for a malformed key."""
    segments = tuple(key[1:].split("/"))
    names = [match["name"] for segment in segments if (match := PARAMETER.fullmatch(segment))]
    if not key.startswith("/"):
        malformed(key, "it must start with '/'")
    if "" in segments[:-1]:
        malformed(key, "it has an empty segment")
    if MOUNT in segments[:-1]:
        malformed(key, "'*' must be the last segment")
    if re.search(r"[?#]", key):
        malformed(key, "remove the query or fragment")
    for segment in segments:
        if re.search(r"[{}*]", segment) and segment != MOUNT and not PARAMETER.fullmatch(segment):
            malformed(key, f"{segment!r} must be '*' or '{{name}}', where name has letters, digits and '_'")
    if len(set(names)) < len(names):
        malformed(key, "two segments have the same name")
    return Route(key, segments, target if callable(target) else by_method(target))


def native(text: str) -> str:
    """Return `text` as a server puts it into PATH_INFO: UTF-8 decoded as latin-1 (PEP 3333, Unicode Issues)."""
    return text.encode().decode("latin-1")


def malformed(key: str, reason: str) -> NoReturn:
    """Raise RouteError for a malformed key."""
    raise RouteError(f"route {key!r} is malformed: {reason}")


def conflict(one: Route, other: Route) -> NoReturn:
    """Raise RouteError for two routes that can match the same path."""
    raise RouteError(f"routes {one.key!r} and {other.key!r} can match the same path: remove or change one of them")
