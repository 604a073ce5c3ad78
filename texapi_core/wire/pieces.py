"""Texts and members of an answer that come in pieces.

A piece adds to the pieces before it, repeats them, or is cumulative: it begins with all of them. All of it is
read in time proportional to its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

_MIN_CUMULATIVE = 16
"""Characters that a cumulative piece repeats at least; fewer may be chance."""
_MIN_DIFFERENT = 4
"""Different characters among them: a line of dashes repeats itself."""
_TEXT_MEMBERS = ("data", "transcript")
"""Members of `audio` that grow."""
_OPENING, _CLOSING = "<think>", "</think>"


class GrowingText:
    """Recognises a text whose pieces are cumulative, and returns what each adds.

    Some relays send the whole text so far in each chunk (QwenLM/qwen-code#3896). It is recognised if from
    the start each piece begins with all that came before it, twice and in at least 16 characters. Until
    that is decided, such pieces are held back, so that no text is returned which would have to be withdrawn.
    """

    __slots__ = ("_first", "_held", "_known", "is_cumulative", "is_plain")

    def __init__(self) -> None:
        self.is_plain = False
        """Whether the pieces are known to be increments: `add` then returns them unchanged."""
        self.is_cumulative = False
        self._first = 0
        self._known = ""
        self._held: list[str] = []

    @property
    def held(self) -> str:
        """What is held back, as increments."""
        return "".join(self._held)

    @property
    def held_whole(self) -> str:
        """The whole text if what is held back is cumulative, `""` while nothing is."""
        return self._known if self._held else ""

    def add(self, piece: str) -> str:
        """What a piece adds to the text."""
        if self.is_plain or not piece:
            return piece
        known = self._known
        if self.is_cumulative:
            if piece.startswith(known):
                self._known = piece
                return piece[len(known) :]
            return "" if known.startswith(piece) else piece
        if not known:
            self._known, self._first = piece, len(piece)
            return piece
        if len(piece) > len(known) and piece.startswith(known):
            self._known = piece
            if self._held and len(known) >= _MIN_CUMULATIVE and len(set(known)) >= _MIN_DIFFERENT:
                self.is_cumulative = True
                self._held = []
                return piece[self._first :]
            self._held.append(piece)
            return ""
        if self._held and piece == known:
            self._held.append(piece)
            return ""
        return self.finish() + piece

    def finish(self) -> str:
        """What was held back."""
        held, self._held, self._known = self.held, [], ""
        self.is_plain = not self.is_cumulative
        return held


def join_texts(pieces: Sequence[str]) -> str:
    """A text whose pieces are all there."""
    text = GrowingText()
    return "".join([*map(text.add, pieces), text.finish()])


def join_members(pieces: Sequence[Any]) -> Any:
    """A member that comes in pieces: lists and the texts of `audio` grow, of others the last one stays."""
    last = pieces[-1]
    if len(pieces) == 1 or not isinstance(last, (list, dict)):
        return last
    start = len(pieces) - 1
    while start and isinstance(pieces[start - 1], type(last)):
        start -= 1
    if isinstance(last, list):
        return _join_lists(pieces[start:])
    values: dict[str, list[Any]] = {}
    for piece in pieces[start:]:
        for name, value in piece.items():
            values.setdefault(name, []).append(value)
    return {name: _join_inside(name, inside) for name, inside in values.items()}


def _join_inside(name: str, values: Sequence[Any]) -> Any:
    last = values[-1]
    if name in _TEXT_MEMBERS and isinstance(last, str):
        return join_texts([value for value in values if isinstance(value, str)])
    return join_members(values) if isinstance(last, dict) else last


def _join_lists(pieces: Sequence[list[Any]]) -> list[Any]:
    """The items of all pieces; an object that an earlier piece has is not taken again."""
    joined: list[Any] = []
    known: set[str] = set()
    for piece in pieces:
        keys = [_key(item) if isinstance(item, dict) else None for item in piece]
        joined += [item for item, key in zip(piece, keys, strict=True) if key is None or key not in known]
        known.update(key for key in keys if key is not None)
    return joined


def _key(item: dict[str, Any]) -> str | None:
    try:
        return json.dumps(item, sort_keys=True)
    except (ValueError, RecursionError):
        return None


class ThinkTags:
    """Separates `<think>...</think>` at the start of a text, however the text is split into pieces."""

    __slots__ = ("_held", "_start", "_state")

    def __init__(self) -> None:
        self._state: Literal["start", "reasoning", "gap", "text"] = "start"
        self._start = ""
        """What may be the beginning of a tag."""
        self._held: list[str] = []
        """The pieces so far, at the start."""

    def add(self, piece: str) -> tuple[str, str]:
        """The reasoning and the text that a piece adds."""
        if self._state == "text":
            return "", piece
        if self._state == "gap":
            return "", self._after_gap(piece)
        text = self._start + piece
        if self._state == "start":
            self._held.append(piece)
            text = text.lstrip()
            if len(text) < len(_OPENING) and _OPENING.startswith(text):
                self._start = text
                return "", ""
            if not text.startswith(_OPENING):
                self._state = "text"
                return "", "".join(self._held)
            self._state, text = "reasoning", text[len(_OPENING) :]
        reasoning, closing, rest = text.partition(_CLOSING)
        if closing:
            self._state = "gap"
            return reasoning, self._after_gap(rest)
        sizes = range(min(len(text), len(_CLOSING) - 1), 0, -1)
        size = next((size for size in sizes if text.endswith(_CLOSING[:size])), 0)
        end = len(text) - size
        self._start = text[end:]
        return text[:end], ""

    def finish(self) -> tuple[str, str]:
        """The reasoning and the text that the end of the text shows to be there."""
        if self._state == "reasoning":
            return self._start, ""
        return "", "".join(self._held) if self._state == "start" else ""

    def _after_gap(self, piece: str) -> str:
        """A piece without the white space between the reasoning and the text."""
        text = piece.lstrip()
        if text:
            self._state = "text"
        return text


_MARKS = re.compile(r'\\.|["{}\\]', re.DOTALL)
"""What opens and closes JSON objects and strings; an escaped character is matched as one mark and ignored."""


class Nesting:
    """Whether JSON text that arrives in pieces has open objects; each piece is scanned once.

    Parsing the whole text at every closing brace would take quadratic time.
    """

    __slots__ = ("_depth", "_in_text", "_is_escaping")

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._is_escaping = False

    @property
    def is_open(self) -> bool:
        """Whether an object or a string has not ended yet."""
        return self._in_text or self._depth > 0

    def add(self, piece: str) -> None:
        """Scan one more piece."""
        if self._is_escaping and piece:
            piece, self._is_escaping = piece[1:], False
        for mark in _MARKS.findall(piece):
            if mark == '"':
                self._in_text = not self._in_text
            elif mark == "\\":
                self._is_escaping = True  # the escaped character is in the next piece
            elif not self._in_text:
                self._depth += (mark == "{") - (mark == "}")
