"""Build the URL of a route: `url_for("/hello/{name}", name="Zoë")` returns "/hello/Zo%C3%AB"."""

import re
from urllib.parse import quote

PARAMETER = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


def url_for(key: str, **arguments: object) -> str:
    """Return the quoted path of the route `key` (RFC 3986, 3.3); raise ValueError for arguments that do not fit.

    Each argument fills one segment. It cannot be empty, "." or "..", because clients and servers remove dot segments.
    It cannot contain a slash, because servers decode "%2F" in PATH_INFO (PEP 3333, environ Variables).
    """
    names = PARAMETER.findall(key)
    if set(names) != arguments.keys():
        raise ValueError(f"route {key!r} needs the arguments {names}, but got {sorted(arguments)}")
    texts = {name: str(value) for name, value in arguments.items()}
    for name, text in texts.items():
        if text in ("", ".", "..") or "/" in text:
            raise ValueError(f"{name} is {text!r}: a path segment cannot be empty, '.' or '..', or contain '/'")
    # The characters of RFC 3986's pchar except "%", which quote() itself adds.
    parts = [texts[part[1:-1]] if PARAMETER.fullmatch(part) else part for part in key.split("/")]
    return "/".join(quote(part, safe="!$&'()*+,;=:@") for part in parts)
