"""Texts without escapes: what HTML, URLs, JSON, Python and JavaScript write in place of a character.

A quoted text is often escaped, more than once and in several ways. Words and secrets are looked for in the
text without escapes. Time is in proportion to the length of the text.
"""

from __future__ import annotations

import html
import re
import urllib.parse

_MAX_LAYERS = 8
"""Layers of different escapes, e.g. HTML in a URL in JSON; the same one over again is one layer."""
_MAX_CODE_POINT = 0x10FFFF

_ESCAPE = re.compile(
    r"%(?:25)*(?P<byte>[0-7][0-9A-Fa-f])"
    r"|(?P<bytes>(?:%[89A-Fa-f][0-9A-Fa-f])+)"
    r"|&(?:amp;)*(?P<entity>#0*[0-9]{1,7};?|#[xX]0*[0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};)"
    r"|\\++(?:u(?P<four>[0-9A-Fa-f]{4})|u\{0*(?P<braced>[0-9A-Fa-f]{1,6})\}|U(?P<eight>[0-9A-Fa-f]{8})"
    r"|x(?P<two>[0-9A-Fa-f]{2})|(?P<octal>[0-3]?[0-7]{1,2})|(?P<space>[nrt])|(?P<mark>(?=[^A-Za-z0-9\s]))|)"
)


def unescaped(text: str) -> str:
    r"""A text with its escapes replaced by what they stand for: `%2D`, `&#45;` and `\\u002d` are `-`.

    `\n`, `\r` and `\t` are line ends. Backslashes before a mark are left out, others become one.
    """
    for _ in range(_MAX_LAYERS):
        if not has_escapes(text):
            break
        before, text = text, _ESCAPE.sub(_meaning, text)
        if text == before:
            break
    return text


def has_escapes(text: str) -> bool:
    """Whether a text may contain escapes."""
    return "%" in text or "&" in text or "\\" in text


def unescaped_with_places(text: str) -> tuple[str, list[int], list[int]]:
    """`unescaped`, and where in the text each of its characters begins and ends."""
    starts, ends = list(range(len(text))), list(range(1, len(text) + 1))
    for _ in range(_MAX_LAYERS):
        parts: list[str] = []
        new_starts: list[int] = []
        new_ends: list[int] = []
        read = 0
        for found in _ESCAPE.finditer(text):
            begin, end = found.span()
            meaning = _meaning(found)
            parts += [text[read:begin], meaning]
            new_starts += [*starts[read:begin], *[starts[begin]] * len(meaning)]
            new_ends += [*ends[read:begin], *[ends[end - 1]] * len(meaning)]
            read = end
        before, text = text, "".join([*parts, text[read:]])
        if text == before:
            break
        starts, ends = new_starts + starts[read:], new_ends + ends[read:]
    return text, starts, ends


def _meaning(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind is None:
        return "\\"
    written = found[kind]
    if kind == "mark":
        return ""
    if kind == "space":
        return "\n"
    if kind == "bytes":
        return urllib.parse.unquote(written, errors="replace")
    if kind == "entity":
        return html.unescape(f"&{written}")
    return chr(min(int(written, 8 if kind == "octal" else 16), _MAX_CODE_POINT))
