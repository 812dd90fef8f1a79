"""Dict routing: a key is a path, its value a WSGI callable or a dict of them by method.

    "/about"            that path and no other: "/about/" is a different one
    "/hello/{name}"     one segment that is not empty, in environ["wsgiorg.routing_args"] (the wsgi.org convention)
    "/admin/*"          "/admin" and all below it, with SCRIPT_NAME and PATH_INFO moved as PEP 3333 says

A path is what it says and nothing else. "/about/", "//about" and "/./about" are not "/about": they are 404 where no
route has them. "%2F" is a slash like any other, for a server has decoded it before the app can tell (PEP 3333, environ
Variables). Letters are UTF-8, in keys as in paths; bytes that are not UTF-8 name nothing, and are 404.
(nginx does not let dot segments and raw bytes come as far: see nginx.conf.template.)

Routes never compete: two that can match the same path are refused when the table is read. So the order of the table
means nothing, and a path is found on one way down a tree: one dict look-up a segment, however many routes there are.
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


class RouteError(ValueError):
    """A table of routes that cannot be served; its message names the keys at fault."""


class Route(NamedTuple):
    """One entry of the table, its key taken apart."""

    key: str
    segments: tuple[str, ...]  # as the key has them: "hello", "{name}", or MOUNT as the last
    application: WSGIApplication


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the tree: the route that ends here, and the nodes one segment further down."""

    route: Route | None
    literals: Mapping[str, "Node"]
    parameter: "Node | None"
    is_mount: bool


def router(routes: Mapping[str, Target]) -> WSGIApplication:
    """Return the WSGI application that hands each request to its route; raise RouteError for a table with a fault."""
    parsed = [parse(key, target) for key, target in routes.items()]
    tree = build(parsed)
    exact = {native(route.key): route.application for route in parsed if not re.search(r"[{*]", route.key)}

    def route_request(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        application = exact.get(path) or find(tree, path, environ) or not_found
        return application(environ, start_response)

    return route_request


def find(node: Node, path: str, environ: WSGIEnvironment) -> WSGIApplication | None:
    """Return the application for `path`, or None; put the path's arguments and mount point into `environ`."""
    segments = path[1:].split("/")
    depth = 0
    while depth < len(segments) and not node.is_mount:
        segment = segments[depth]
        below = node.literals.get(segment) or (node.parameter if segment else None)
        if below is None:
            return None
        node, depth = below, depth + 1
    if node.route is None:
        return None
    try:
        arguments = {
            pattern[1:-1]: segment.encode("latin-1").decode()  # PEP 3333: bytes in latin-1's clothes
            for pattern, segment in zip(node.route.segments, segments, strict=False)
            if PARAMETER.fullmatch(pattern)
        }
    except UnicodeDecodeError:
        return None  # bytes that are not UTF-8 name nothing
    environ["wsgiorg.routing_args"] = ((), arguments)
    if node.is_mount:
        mounted_at = "".join("/" + segment for segment in segments[:depth])
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + mounted_at
        environ["PATH_INFO"] = path[len(mounted_at) :]
    return node.route.application


def build(routes: list[Route], depth: int = 0) -> Node:
    """Return the tree of `routes`, which are alike in their first `depth` segments; raise RouteError for a conflict."""
    ends: list[Route] = []
    parameters: list[Route] = []
    literals: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        if len(route.segments) == depth or route.segments[depth] == MOUNT:
            ends.append(route)
        elif PARAMETER.fullmatch(route.segments[depth]):
            parameters.append(route)
        else:
            literals[native(route.segments[depth])].append(route)
    is_mount = any(len(route.segments) > depth for route in ends)
    if len(ends) > 1 or (is_mount and len(routes) > 1):
        conflict(ends[0], next(route for route in routes if route is not ends[0]))
    return Node(
        route=ends[0] if ends else None,
        # A parameter's routes go on below a literal too: "/a/b" is on the way of "/{x}/b". So no look-up turns back.
        literals={text: build(below + parameters * bool(text), depth + 1) for text, below in literals.items()},
        parameter=build(parameters, depth + 1) if parameters else None,
        is_mount=is_mount,
    )


def parse(key: str, target: Target) -> Route:
    """Return the route of one entry of the table; raise RouteError for a malformed key."""
    segments = tuple(key[1:].split("/"))
    names = [match["name"] for segment in segments if (match := PARAMETER.fullmatch(segment))]
    if not key.startswith("/"):
        malformed(key, "it must start with a slash")
    if "" in segments[:-1]:
        malformed(key, "it has an empty segment")
    if MOUNT in segments[:-1]:
        malformed(key, "only its last segment can be '*'")
    if re.search(r"[?#]", key):
        malformed(key, "a path has no query and no fragment")
    for segment in segments:
        if re.search(r"[{}*]", segment) and segment != MOUNT and not PARAMETER.fullmatch(segment):
            malformed(key, f"{segment!r} must be a whole '{{name}}', the name a Python identifier, or a whole '*'")
    if len(set(names)) < len(names):
        malformed(key, "it names a segment twice")
    return Route(key, segments, target if callable(target) else by_method(target))


def native(text: str) -> str:
    """Return `text` as a server writes it into PATH_INFO: its UTF-8 read as latin-1 (PEP 3333, Unicode Issues)."""
    return text.encode().decode("latin-1")


def malformed(key: str, reason: str) -> NoReturn:
    """Raise the error for a key that says nothing."""
    raise RouteError(f"route {key!r} is malformed: {reason}")


def conflict(one: Route, other: Route) -> NoReturn:
    """Raise the error for two routes of which neither comes first."""
    raise RouteError(
        f"routes {one.key!r} and {other.key!r} can match the same path: keep one, or change its first segments"
    )
