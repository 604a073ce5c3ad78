"""Strings for the fields of a schema, by what their names mean."""

from __future__ import annotations

import re

from tests.gateway.brain.evidence import Evidence
from tests.gateway.brain.schema import Schema
from tests.gateway.brain.word_sets import word_set
from tests.gateway.brain.words import fold, words

_PLACES = word_set(
    "city cities location place country address region town state capital where destination "
    "origin airport station"
)
_PEOPLE = word_set(
    "name person user recipient author agent customer player company subject entity title product "
    "item movie book song to from sender contact attendee guest topic "
    "artist director actor singer writer teacher doctor manager"
)
_WHOLE = word_set(
    "query question input text prompt search message content request task instruction sentence "
    "q body note description term keyword keywords thought"
)
_EXPRESSIONS = word_set("expression equation formula calculation math")
_COLOURS = (
    "red",
    "blue",
    "green",
    "yellow",
    "black",
    "white",
    "blond",
    "blonde",
    "brown",
    "gray",
    "grey",
    "orange",
    "purple",
    "pink",
)
_FORMAT_BY_NAME = {
    "email": "email",
    "url": "uri",
    "uri": "uri",
    "link": "uri",
    "date": "date",
    "day": "date",
    "time": "time",
    "website": "uri",
}
_CODES = word_set("code ticker symbol")
_UNITS = word_set("unit units language lang currency")
_ADDRESSEES = word_set("to recipient recipients sender cc")
_PREPOSITIONS = {
    "from": ("from", "từ"),
    "origin": ("from", "từ"),
    "source": ("from", "từ"),
    "departure": ("from", "từ"),
    "to": ("to", "đến", "tới", "sang"),
    "target": ("to", "đến", "sang", "into"),
    "destination": ("to", "đến", "tới"),
    "recipient": ("to", "cho", "tới"),
}
_RELATIVE_DAYS = ("tomorrow", "today", "tonight", "yesterday", "ngày mai", "hôm nay", "next week")
_SAMPLES = {
    "date": "2026-09-21",
    "date-time": "2026-09-21T12:00:00Z",
    "time": "12:00:00",
    "email": "someone@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
    "duration": "P1D",
}
_PLACE_AFTER = re.compile(r"\b(?:in|at|for|of|near|to|from|ở|tại|của|đến)\s+([^?.!,\n]+)", re.IGNORECASE)
_TRIGGER = re.compile(
    r"^\W*(?:please |can you |could you |hãy )?(?:use (?:the )?[\w`]+(?: tool)? to )?"
    r"(?:search (?:the \w+ )?(?:for)?|look up|find(?: out)?|query|tìm kiếm|tìm|tra cứu)\s+",
    re.IGNORECASE,
)


def draw_string(schema: Schema, name: str, evidence: Evidence, *, generous: bool) -> str | None:
    """Return the string of a text that suits a field, or nothing."""
    meaning = set(words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")))
    named_format = (each for key, each in _FORMAT_BY_NAME.items() if key in meaning)
    wanted_format = schema.format or next(named_format, "")
    if wanted_format:
        found = evidence.formatted(wanted_format)
        return found if found or schema.format else _relative_day(evidence.text)
    if meaning & _EXPRESSIONS:
        return evidence.next_expression()
    if meaning & _UNITS:
        return _listed(meaning, evidence)
    found = _addressed(meaning, evidence) or evidence.next_quoted()
    if found is not None:
        return found
    return _by_meaning(meaning, schema, evidence, generous=generous)


def invent_string(schema: Schema, name: str, evidence: Evidence) -> str:
    """Return a string for a field about which the text says nothing."""
    if schema.format in _SAMPLES:
        return _SAMPLES[schema.format]
    meaning = set(words(name.replace("_", " ")))
    if meaning & (_PEOPLE | _PLACES):
        return f"Example {name.replace('_', ' ')}"
    if "answer" in evidence.hints:
        return str(evidence.hints["answer"])
    return rest_of_question(evidence.text) or name


def rest_of_question(text: str) -> str:
    """Return a question without the words that only ask for a search."""
    text = text.strip()
    rest = _TRIGGER.sub("", text)
    return (rest if rest == text else rest.rstrip(" .?!")) or text


def _by_meaning(meaning: set[str], schema: Schema, evidence: Evidence, *, generous: bool) -> str | None:
    """Return the part of a text that the name or the description of a field asks for."""
    described = set(words(schema.description))
    if meaning & _CODES:
        code = re.search(r"\b[A-Z]{2,6}\b", evidence.text)
        return code[0] if code else evidence.next_name()
    if meaning & _WHOLE:
        return rest_of_question(evidence.text)
    if meaning & _PLACES or (described & _PLACES and not meaning & _PEOPLE):
        return _next_place(evidence)
    if meaning & _PEOPLE:
        return evidence.next_name()
    if described & {"name", "person"} or not generous:
        return evidence.next_name() or (None if generous else rest_of_question(evidence.text))
    return _described(meaning, evidence)


def _relative_day(text: str) -> str | None:
    """Return the day that a text names by its distance from today."""
    return next((day for day in _RELATIVE_DAYS if day in text.lower()), None)


def _addressed(meaning: set[str], evidence: Evidence) -> str | None:
    """Return the address or the name that stands where a field such as ``to`` asks for it."""
    if meaning & _ADDRESSEES and evidence.formatted("email"):
        return evidence.formatted("email")
    return _after_preposition(meaning, evidence)


def _after_preposition(meaning: set[str], evidence: Evidence) -> str | None:
    """Return the name after the preposition that a field such as ``to_city`` asks for."""
    for key, prepositions in _PREPOSITIONS.items():
        if key not in meaning:
            continue
        for preposition in prepositions:
            for name in evidence.names:
                if re.search(rf"(?<!\w){preposition} {re.escape(name)}", evidence.text, re.I):
                    evidence.names.remove(name)
                    return name
    return None


def _listed(meaning: set[str], evidence: Evidence) -> str | None:
    """Return a unit, a currency or a language that the text mentions."""
    if meaning & {"unit", "units"}:
        options = ["celsius", "fahrenheit", "kelvin", "metric", "imperial", "km", "miles", "kg"]
    elif "currency" in meaning:
        options = ["USD", "EUR", "VND", "JPY", "GBP"]
    else:
        options = ["English", "French", "Vietnamese", "Spanish", "German", "Japanese"]
    found = evidence.mentioned(options)
    return str(found) if found else None


def _next_place(evidence: Evidence) -> str | None:
    """Return the next place, together with the country that stands behind it."""
    name = evidence.next_name()
    if name is None:
        return _place(evidence.text)
    if evidence.names and f"{name}, {evidence.names[0]}" in evidence.text:
        return f"{name}, {evidence.next_name()}"
    return name


def _place(text: str) -> str | None:
    """Return the place that a text names in small letters."""
    found: list[str] = _PLACE_AFTER.findall(text)
    if not found:
        return None
    place = re.split(r"\b(?:today|tomorrow|right now|now|hôm nay|ngày mai|tool)\b", found[-1])[0]
    place = re.sub(r"^(?:the|a|an)\s+", "", place.strip())
    return place or None


def _described(meaning: set[str], evidence: Evidence) -> str | None:
    """Return the word before or after the name of a field, as in ``blond hair``."""
    if "color" in meaning or "colour" in meaning:
        found = evidence.mentioned(list(_COLOURS))
        return str(found) if found else None
    for each in meaning:
        match = re.search(rf"\b(\w+) {re.escape(each)}\b", fold(evidence.text))
        if match and match[1] not in (
            "the",
            "a",
            "an",
            "their",
            "his",
            "her",
            "your",
            "and",
            "with",
        ):
            return match[1]
    return None
