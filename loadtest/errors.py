"""The errors of requests in words, as locust reports them."""

import re
from typing import Any

# An expression for the name or the text of an exception, and the words for it.
WORDS = {
    r"ConnectionRefused|Connection refused": "the site refused the connection",
    r"ConnectionReset|RemoteDisconnected|Connection reset|closed connection": "the site closed the connection",
    r"gaierror|NameResolution": "the site's name has no address",
    r"[Tt]imed? ?out": "no complete response in time",
}


def in_words(error: dict[str, Any]) -> str:
    """Return an entry of locust's errors in words: the reason of a check, a status, or the kind of a network error."""
    text = str(error["error"])
    if check := re.fullmatch(r"CatchResponseError\((['\"])(.*)\1\)", text, re.DOTALL):
        return check[2]
    if code := re.fullmatch(r"LocustBadStatusCode\(code=(\d+)\)", text):
        return f"status {code[1]}"
    if status := re.search(r"HTTPError\(['\"](\d{3} .+?)(?: for url.*)?['\"]", text):
        return re.sub(r"(?:Client|Server) Error: ", "", status[1])
    return next((words for expression, words in WORDS.items() if re.search(expression, text)), text)
