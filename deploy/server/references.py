"""The references to other files in CSS files and JavaScript modules.

Found in CSS: url(), @import and image-set() (CSS Values 4, 4.5; CSS Cascade 5, 2; CSS Images 4, 2.4). Found in
JavaScript: static and dynamic imports, exports, `new URL(..., import.meta.url)` (ECMA-262, 16.2; HTML, 8.1.6), and
strings that begin with /static/. Found in both: source maps. Other comments and strings do not count.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

KEEP = "surrogateescape"  # how to decode bytes that are not UTF-8, so that they can be written again
SPACE = r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/)*"
CSS_STRING = r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """
CSS_URL = rf"""(?<![\w-]) url\( \s* (?: (?P<url>{CSS_STRING}) | (?P<plain>(?:\\.|[^\s"'()\\])+) )"""
CSS = re.compile(
    rf"""/\*(?P<comment>.*?)(?:\*/|\Z)
    | @import {SPACE} (?P<imported>{CSS_STRING})
    | {CSS_URL}
    | image-set\( (?P<set> (?:[^()"']|{CSS_STRING}|\((?:[^()"']|{CSS_STRING})*\))* ) \)
    | {CSS_STRING}""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
IN_SET = re.compile(
    rf"{CSS_URL} | type\({SPACE}(?:{CSS_STRING}) | (?P<string>{CSS_STRING})", re.VERBOSE | re.DOTALL | re.IGNORECASE
)
ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(\n|.))", re.DOTALL)  # CSS Syntax 3, 4.3.7

SPECIFIER = r"""["'`](?P<specifier>\.{0,2}/[^"'`\\\n$]*)["'`]"""
JAVASCRIPT = re.compile(
    rf"""//(?P<line>[^\n]*) | /\*(?P<comment>.*?)\*/
    | (?<![\w$.]) (?: from | import (?: {SPACE} \( )? ) {SPACE} {SPECIFIER}
    | (?<![\w$.]) new {SPACE} URL {SPACE} \( {SPACE} ["'`](?P<url>[^"'`\\\n$]+)["'`] {SPACE} ,
      {SPACE} (?: (?: ""|''|`` ) \+ )? import\.meta\.url
    | ["'`](?P<absolute>/static/[^"'`\\\n$]+)["'`]
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*`
    # A regular expression follows one of these; after anything else, the slash divides.
    | (?:[=(,:;!&|?{{}}\[>~+*%^<-] | \b(?:return|typeof|case|in|of|void|do|else)) \s*
      /(?![*/]) (?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+ /""",
    re.VERBOSE | re.DOTALL,
)
SOURCE_MAP = re.compile(r"[#@]\s*sourceMappingURL=\s*(?P<map>\S+)")


class Reference(NamedTuple):
    """A URL in a file, and its place there."""

    start: int
    end: int
    url: str
    if_missing: Literal["fail", "warn", "ignore"] = "fail"


def references(name: str, content: bytes) -> Iterator[Reference]:
    """Yield the references in the file `name`; there are none unless it is CSS or JavaScript."""
    match PurePosixPath(name).suffix.lower():
        case ".css":
            yield from in_css(content.decode(errors=KEEP))
        case ".js" | ".mjs":
            yield from in_javascript(content.decode(errors=KEEP))
        case _:
            pass


def in_css(text: str) -> Iterator[Reference]:
    """Yield the references in a style sheet."""
    for found in CSS.finditer(text):
        yield from source_map(found, "comment")
        yield from css_values(found, "imported", "url", "plain")
        if found["set"]:
            for inner in IN_SET.finditer(text, *found.span("set")):
                yield from css_values(inner, "url", "plain", "string")


def css_values(found: re.Match[str], *groups: str) -> Iterator[Reference]:
    """Yield the reference in each of the groups, without its quotes and escapes."""
    for group in groups:
        if value := found[group]:
            quotes = int(value[0] in "\"'")
            value = ESCAPE.sub(unescaped, value[quotes : len(value) - quotes])
            yield Reference(found.start(group) + quotes, found.end(group) - quotes, value)


def unescaped(escape: re.Match[str]) -> str:
    """Return the character that the CSS escape stands for."""
    if not escape[1]:
        return escape[2].replace("\n", "")
    code = int(escape[1], 16)
    return chr(code) if 0 < code <= sys.maxunicode and not 0xD800 <= code <= 0xDFFF else "\N{REPLACEMENT CHARACTER}"  # noqa: PLR2004


def in_javascript(text: str) -> Iterator[Reference]:
    """Yield the references in a script."""
    for found in JAVASCRIPT.finditer(text):
        yield from source_map(found, "line")
        yield from source_map(found, "comment")
        for group in ("specifier", "url", "absolute"):
            if found[group]:
                yield Reference(*found.span(group), found[group], "ignore" if group == "absolute" else "fail")


def source_map(found: re.Match[str], group: str) -> Iterator[Reference]:
    """Yield the reference of a comment that names a source map (ECMA-426, 11.1.2.1), which may be missing."""
    if found[group] and (named := SOURCE_MAP.match(found.string, *found.span(group))):
        yield Reference(*named.span("map"), named["map"], "warn")
