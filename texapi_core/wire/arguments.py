"""Arguments of a call while they stream: the own names of properties, and integers that every store takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from texapi_core.wire.generated import storable
from texapi_core.wire.text import has_digits_in_a_row

_SAME: Mapping[str, str] = {}
_DIGITS = 19
"""Of the smallest integer beyond 64 bits. Floats have fewer in a row, as a rule."""
_CHARACTERS = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
_STRING = re.compile(f'"{_CHARACTERS}"', re.DOTALL)
_REST_OF_STRING = re.compile(_CHARACTERS, re.DOTALL)
_NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*|-")
_UNCHANGED = re.compile(
    rf'(?:[^"0-9-]++|"{_CHARACTERS}"'
    rf"|-?[0-9]{{1,{_DIGITS - 1}}}(?=[^0-9.eE+-])|-?[0-9]++[.eE+-][0-9.eE+-]*+(?=.))*+",
    re.DOTALL,
)
"""What stays as it is where no property has another name: whole strings, and numbers that end in the text and
are no large integers. One match in C for all of them: a step of Python for each would stall an event loop."""
_PLAIN = re.compile(r'[^"{}\[\],0-9-]+')
_ENDS = frozenset("0123456789-")
"""What the next piece may continue as a number."""
_INTEGER = re.compile(rf"-?[0-9]{{{_DIGITS},}}")


class ArgumentsText:
    """The JSON text of the arguments of one call, in pieces: `own_names` maps sent properties to their own.

    Pieces pass unchanged, but for a number at the end, which the next piece may continue, and a property.
    """

    def __init__(self, own_names: Mapping[str, str] = _SAME) -> None:
        self._own_names = own_names
        self._unread: list[str] = []
        """Pieces that were emitted unparsed: most hold no large integer and do not end in a number."""
        self._held = ""
        self._gone = 0
        """Characters of `_held` that were emitted already: half an escape, or a number up to its point."""
        self._depth = 0
        self._is_in_string = False
        self._awaits_property = False

    def feed(self, piece: str) -> str:
        """The text that can be emitted after a piece."""
        if not (self._held or self._own_names or _may_hold_large(piece)):
            self._unread.append(piece)
            return piece
        if self._unread:
            unread, self._unread = "".join(self._unread), []
            self._read(unread, is_last=False)
            self._gone = len(self._held)
        return self._new_in(self._read(piece, is_last=False))

    def finish(self) -> str:
        """The text that is left at the end."""
        return self._new_in(self._read("", is_last=True) + self._held) if self._held else ""

    def _new_in(self, read: str) -> str:
        """The part that was not emitted before."""
        if not read:
            return ""
        new, self._gone = read[self._gone :], 0
        return new

    def _read(self, piece: str, *, is_last: bool) -> str:
        text, self._held = self._held + piece, ""
        read: list[str] = []
        at = 0
        while at < len(text):
            if self._is_in_string:
                token = self._string_piece(text, at)
            elif text[at] == '"' and self._awaits_property:
                token = self._property(text, at)
            elif not self._own_names and (unchanged := _UNCHANGED.match(text, at)) and unchanged[0]:
                token = unchanged[0], unchanged[0]
            else:
                token = self._value(text, at, is_last)
            if token is None:
                self._held = text[at:]
                break
            found, written = token
            at += len(found)
            read.append(written)
        return "".join(read)

    def _string_piece(self, text: str, at: int) -> tuple[str, str] | None:
        end = _REST_OF_STRING.match(text, at).end()  # type: ignore[union-attr] # matches nothing too
        if text[end : end + 1] == '"':
            self._is_in_string = False
            end += 1
        found = text[at:end]
        return (found, found) if found else None  # half an escape

    def _property(self, text: str, at: int) -> tuple[str, str] | None:
        matched = _STRING.match(text, at)
        if matched is None:
            return None
        self._awaits_property = False
        own = self._own_names.get(_text_of(matched[0]) or "")
        return matched[0], matched[0] if own is None else json.dumps(own, ensure_ascii=False)

    def _value(self, text: str, at: int, is_last: bool) -> tuple[str, str] | None:
        if number := _NUMBER.match(text, at):
            if number.end() == len(text) and not is_last:
                return None
            is_large = _INTEGER.fullmatch(number[0]) and isinstance(storable(int(number[0][:4000])), str)
            return number[0], f'"{number[0]}"' if is_large else number[0]
        if plain := _PLAIN.match(text, at):
            return plain[0], plain[0]
        char = text[at]
        if char == '"':
            self._is_in_string = True
        elif char in "{[":
            self._depth += 1
            self._awaits_property = char == "{" and self._depth == 1 and bool(self._own_names)
        elif char in "}]":
            self._depth -= 1
        else:
            self._awaits_property = self._depth == 1 and bool(self._own_names)
        return char, char


def _may_hold_large(piece: str) -> bool:
    """Whether a piece may hold a large integer, or ends in a number that the next one continues."""
    return piece[-1:] in _ENDS or (len(piece) >= _DIGITS and has_digits_in_a_row(piece, _DIGITS))


def _text_of(quoted: str) -> str | None:
    try:
        text: str = json.loads(quoted)
    except ValueError:
        return None
    return text
