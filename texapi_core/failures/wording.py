"""Error texts in one spelling, so that words can be looked up in them however a provider writes them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from texapi_core.wire.escapes import unescaped

MAX_TEXT = 100_000
"""Characters of an error that are searched."""

_MAX_NUMBER = 10**12
"""No code is larger, and Python writes no number of thousands of digits."""
_MIN_QUOTE = 24
_MIN_HEAD = 12
_MAX_HEAD = 40
"""Characters of a text of the request that an error may quote, and of its start by which it is found."""
_MAX_ASKED = 500
"""Texts of the request that are looked for."""
_QUOTING_MEMBERS = frozenset({"input", "messages", "prompt", "failed_generation", "request", "request_body"})
"""Members in which errors quote the user's request."""
_REQUEST_PARAMETERS = ("messages", "input", "prompt", "tools")

_QUOTED = re.compile(
    r"(?:messages|prompt|input|contents|failed_generation)\\{0,8}[\"']?\s{0,4}[:=]\s{0,4}(?=\\{0,8}[\"']|[\[{])"
    r"|\bcontent\s?=\s?(?=[\"'])"
)
"""What stands before a value of the request, quoted as JSON or as Python writes it."""
_BRACKET_OR_QUOTE = re.compile(r"(\\{0,64})([\"'])|[\[\]{}]")

_TAG = re.compile(r"<[^<>]*>")
_URL = re.compile(r"[hH][tT]{2}[pP][sS]?://[!#-&*-+\--:=?-Z_a-z~]*")
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARAGRAPH = re.compile(r"\n[ \t]*(?=\n|[*•-])")
_SLASH = re.compile(
    r"/(?=[\s_]{0,3}(?:s|sec|second|min|minute|m|hour|h|day|week|month|year)s?\b)", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[!?;|。]+|\.(?=[\s_\"')\]}*]|$)|(?<=rror)[\\\"'\s]{0,9}[:=]")
"""Also the mark after `Error: budget exceeded` or `"error": "budget ..."`: an error budget is no money."""
_COMMA = re.compile(r"[,、()\[\]{}]+")
_SEPARATORS = re.compile(r"(?:[^\w.,|]|_)+")
_STROKES = str.maketrans({"đ": "d", "ø": "o", "ł": "l"})


def plain(text: str) -> str:
    """A text as words in lower case with single spaces, without diacritics, addresses, markup and escapes.

    Sentences end with `|`; a `,` stands for commas and brackets. `SốDư` and `so_du` are `so du`.
    """
    text = text[:MAX_TEXT]
    text = unicodedata.normalize("NFKD", unescaped(text))[: 2 * MAX_TEXT]
    text = _URL.sub(" ", _TAG.sub(" ", text))
    text = "".join(one for one in text if not unicodedata.combining(one)) if not text.isascii() else text
    text = _SLASH.sub(" per ", _PARAGRAPH.sub("|", text))
    text = _COMMA.sub(",", _SENTENCE_END.sub("|", _CASE_CHANGE.sub(" ", text)))
    return _SEPARATORS.sub(" ", text.casefold().translate(_STROKES))


def squeezed(text: str) -> str:
    """The letters and digits of a text alone: `Account_Overdue Error` is `accountoverdueerror`."""
    return "".join(filter(str.isalnum, plain(text)))


def texts_of(error: Any) -> Iterator[tuple[str, str]]:
    """The texts and numbers in an error, each with the name of its member, the outer ones first.

    What quotes the request is left out.
    """
    level: list[tuple[str, Any]] = [("", error)]
    while level:
        inner: list[tuple[str, Any]] = []
        for name, value in level:
            if isinstance(value, Mapping):
                if not str(value.get("param") or "").startswith(_REQUEST_PARAMETERS):
                    inner += [(key, item) for key, item in value.items() if key not in _QUOTING_MEMBERS]
            elif isinstance(value, list):
                inner += [(name, item) for item in value]
            elif isinstance(value, str):
                yield name, _without_request(value[:MAX_TEXT])
            elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER:
                yield name, str(value)
        level = inner


def _without_request(text: str) -> str:
    """A text without the values of request members that it quotes, `"messages": [...]`, whole or cut."""
    found = _QUOTED.search(text)
    if found is None:
        return text
    kept, end = [], 0
    while found is not None:
        kept.append(text[end : found.start()])
        end = _end_of_value(text, found.end())
        found = _QUOTED.search(text, end)
    return " ".join((*kept, text[end:]))


def _end_of_value(text: str, start: int) -> int:
    """Where the list, object or string at `start` ends, at any level of escaping; the text's end if cut."""
    depth, escapes, quote = 0, -1, ""
    for token in _BRACKET_OR_QUOTE.finditer(text, start):
        mark = token[2]
        if mark and quote:
            if mark == quote and (len(token[1]) == escapes or (not escapes and len(token[1]) % 2 == 0)):
                quote = ""
        elif mark:
            escapes = len(token[1]) if escapes < 0 else escapes
            quote = mark if len(token[1]) == escapes else ""
            continue
        elif not quote:
            depth += 1 if token[0] in "[{" else -1
        if depth <= 0 and not quote:
            return token.end()
    return len(text)


def request_texts(request: Any) -> list[str]:
    """The texts of a request, by which an error that quotes one is recognised; `[]` if they are unknown."""
    try:
        payload = json.loads(request.content)
    except Exception:  # a request that was streamed, or of another client
        return []
    if not isinstance(payload, dict):
        return []
    texts: list[str] = []
    level: list[Any] = [payload.get("messages"), payload.get("prompt"), payload.get("input")]
    while level and len(texts) < _MAX_ASKED:
        texts += [value for value in level if isinstance(value, str) and len(value) >= _MIN_QUOTE]
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return [text for text in texts[:_MAX_ASKED] if not text.startswith("data:")]


def names_model(error: Any, request: Any) -> bool:
    """Whether an error is about the model of its request, by its code, its parameter or the model's name."""
    details = error if isinstance(error, Mapping) else {"message": error}
    if any("model" in str(details.get(name)).lower() for name in ("code", "type", "param")):
        return True
    try:
        model = str(json.loads(request.content)["model"]).lower().rpartition("/")[2]
    except Exception:  # a request that was streamed, or of another client
        return False
    name = rf"(?<![\w.-]){re.escape(model)}(?![\w-]|\.\w)"
    return bool(model) and re.search(name, str(details.get("message")).lower()) is not None


def without_quotes(text: str, asked: list[str]) -> str:
    """A `plain` text without the texts of the request in it, whole or cut.

    A text that is nothing but one of them stays: users ask about the error that they got.
    """
    for one in asked:
        start = plain(one[: 4 * _MAX_HEAD]).strip(" .,|")
        head = start[:_MAX_HEAD]
        at = text.find(head) if len(head) >= _MIN_HEAD else -1
        if at < 0:
            continue
        whole, end = plain(one[: 2 * len(text)]).strip(" .,|"), at + len(head)
        while end < len(text) and end - at < len(whole) and text[end] == whole[end - at]:
            end += 1
        rest = f"{text[:at]}|{text[end:]}"
        if len(re.findall(r"\w+", rest)) > 2:
            text = rest
    return text
