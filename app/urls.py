"""Builds the URL of a route: `url_for("/hello/{name}", name="Zoë")` is "/hello/Zo%C3%AB"."""

import re
from urllib.parse import quote

PARAMETER = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


def url_for(key: str, **arguments: object) -> str:
    """Return the path of the route `key`, quoted (RFC 3986, 3.3); raise ValueError for arguments it cannot have.

    An argument is one whole segment, so it is not empty, not "." or "..", which clients and servers remove, and has no
    slash, not even as %2F: PATH_INFO comes decoded, and a server cannot tell the two (PEP 3333, environ Variables).
    """
    names = PARAMETER.findall(key)
    if set(names) != arguments.keys():
        raise ValueError(f"route {key!r} takes {names}, not {sorted(arguments)}")
    texts = {name: str(value) for name, value in arguments.items()}
    for name, text in texts.items():
        if text in ("", ".", "..") or "/" in text:
            raise ValueError(f"{name}={text!r} cannot be a segment of a path")
    # RFC 3986's pchar, less the percent sign, which quote() itself writes.
    parts = [texts[part[1:-1]] if PARAMETER.fullmatch(part) else part for part in key.split("/")]
    return "/".join(quote(part, safe="!$&'()*+,;=:@") for part in parts)
