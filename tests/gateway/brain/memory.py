"""What the user told about themselves earlier in the conversation."""

from __future__ import annotations

import re

from tests.gateway.brain.words import fold, is_vietnamese, stems

_VALUE = r"([^.,;!?\n]+)"
_TOLD = (
    (
        re.compile(
            rf"\b(?:my name is|i am called|call me|the user'?s? (?:name is|is called)) {_VALUE}",
            re.IGNORECASE,
        ),
        "name",
    ),
    (re.compile(r"\b(?:I'm|I am) ([A-Z][\w'-]*(?: [A-Z][\w'-]*)*)"), "name"),
    (
        re.compile(
            rf"(?:tên (?:của )?(?:tôi|mình|em) là|(?:tôi|mình|em) tên(?: là)?) {_VALUE}",
            re.IGNORECASE,
        ),
        "name",
    ),
    (re.compile(rf"\bI live in {_VALUE}", re.IGNORECASE), "home"),
    (re.compile(rf"(?:tôi|mình|em) sống (?:ở|tại) {_VALUE}", re.IGNORECASE), "home"),
    (re.compile(r"\bI(?:'m| am) (\d+) years old", re.IGNORECASE), "age"),
)
_MY = re.compile(rf"\bmy ((?:\w{{1,20}} ){{0,3}}\w{{1,20}}) (?:is|are|was) {_VALUE}", re.IGNORECASE)
_CUA_TOI = re.compile(rf"((?:\w{{1,20}} ){{0,3}}\w{{1,20}}) của (?:tôi|mình) là {_VALUE}", re.IGNORECASE)
_ASKED = (
    (re.compile(r"\bwhat(?:'s| is) my name\b|\bwho am i\b|\bmy name\?"), "name"),
    (
        re.compile(
            r"\b(?:toi|minh|em) (?:ten )?la (?:gi|ai)\b|\bten (?:cua )?(?:toi|minh) la gi\b"
            r"|\b(?:toi|minh|em) ten (?:la )?gi\b"
        ),
        "name",
    ),
    (re.compile(r"\bwhere do i live\b|\b(?:toi|minh) song o dau\b"), "home"),
    (re.compile(r"\bhow old am i\b|\b(?:toi|minh) bao nhieu tuoi\b"), "age"),
)
_ASKED_MY = re.compile(r"\b(?:what|which|who|when)(?:'s| is| are| was)? my ((?:\w+ )*\w+)\?*")
_ASKED_CUA = re.compile(r"((?:\w{1,20} ){0,3}\w{1,20}) cua (?:toi|minh) la (?:gi|ai|bao nhieu)")
_ASKED_BEFORE = re.compile(
    r"\bwhat (?:did|have) i (?:just )?(?:ask|say|said|tell)"
    r"|\bmy (?:first|last|previous) (?:question|message)"
)
_ENGLISH = {"name": "Your name is", "home": "You live in", "age": "Your age is"}
_VIETNAMESE = {"name": "Tên của bạn là", "home": "Bạn sống ở", "age": "Tuổi của bạn là"}


def remember(question: str, earlier: list[str], system: str) -> str | None:
    """Answer a question about what was told before, or return nothing when it is none."""
    folded = fold(question)
    vietnamese = is_vietnamese(question)
    told = [*earlier, system]
    for pattern, kind in _ASKED:
        if pattern.search(folded):
            known = _told(kind, [*told, question])
            if known:
                return f"{(_VIETNAMESE if vietnamese else _ENGLISH)[kind]} {known}."
            return _unknown(vietnamese=vietnamese)
    if _ASKED_BEFORE.search(folded):
        return f"You said: {earlier[0 if 'first' in folded else -1]}" if earlier else None
    match = _ASKED_MY.search(folded) or _ASKED_CUA.search(folded)
    if match is None:
        return None
    return _told_thing(match[1], told, vietnamese=vietnamese) or _unknown(vietnamese=vietnamese)


def acknowledge(question: str) -> str | None:
    """Answer a message that tells something about the user, or return nothing."""
    if "?" in question:
        return None
    vietnamese = is_vietnamese(question)
    name = _told("name", [question])
    if name:
        return f"Rất vui được gặp bạn, {name}!" if vietnamese else f"Nice to meet you, {name}!"
    if _MY.search(question) or _CUA_TOI.search(question) or _told("home", [question]):
        return "Tôi sẽ ghi nhớ điều đó." if vietnamese else "I will remember that."
    return None


def _told(kind: str, texts: list[str]) -> str | None:
    """Return what was told last about the user."""
    for text in reversed(texts):
        for pattern, told in _TOLD:
            match = pattern.search(text) if told == kind else None
            if match and fold(match[1]) not in ("gi", "la gi", "ai"):
                return re.split(r"\s+(?:and|và)\s+", match[1].strip())[0]
    return None


def _told_thing(thing: str, texts: list[str], *, vietnamese: bool) -> str | None:
    """Return what was told last about something of the user."""
    wanted = stems(thing)
    for text in reversed(texts):
        for match in [*_MY.finditer(text), *_CUA_TOI.finditer(text)]:
            if wanted and wanted <= stems(match[1]) | {"favourit", "favorit"}:
                if vietnamese:
                    return f"{match[1].strip().capitalize()} của bạn là {match[2].strip()}."
                return f"Your {match[1]} is {match[2].strip()}."
    return None


def _unknown(*, vietnamese: bool) -> str:
    """Return that nothing was told."""
    return "Bạn chưa cho tôi biết điều đó." if vietnamese else "You have not told me that yet."
