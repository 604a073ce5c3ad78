"""The values that a text offers for the fields of a schema."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from tests.gateway.brain.arithmetic import find_expression
from tests.gateway.brain.word_sets import CAPITALS, word_set
from tests.gateway.brain.words import fold, stem, words

NAME = rf"[{CAPITALS}][\w'\u2019.-]*[\w]|[{CAPITALS}]"
_NAMES = re.compile(rf"(?:{NAME})(?: (?:{NAME}))*(?:, (?:[A-Z]{{2}}|D\.C\.)(?!\w))?")
_NUMBERS = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?\d+(?:\.\d+)?|(?<=\()\d+")
_QUOTED = re.compile(
    r"""(?:"([^"\n]+)"|“([^”\n]+)”|\u2018([^\u2019\n]+)\u2019|`([^`\n]+)`"""
    r"""|(?<!\w)'([^'\n]+)'(?!\w))"""
)
_NO_NAMES = word_set("""
    what who when where which why how is are do does did can could please tell give find get the
    a an i in use using add multiply search calculate look show write make extract send book
    translate create compute divide subtract convert schedule set check hello hi and or then my
    generate it he she they we you thoi trong hay tim cho gui dat tinh toi ban xin doi dich cong
    nhan answer question query json return describe summarize if there this that on at to for
    with from would will should was were has have had ask thanks thank let some here compare
    explain list plan order play open call remind repeat count say hom bay so tai vi
""")
_NO_SUBJECT = re.compile(r"\s+(?!(?:is|was|are|has|had|and|lives|works|là|và|có)\b)[a-zà-ỹđ]")
_DATES = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[/.]\d{1,2}[/.]\d{4}\b")
_FORMATS = {
    "date-time": re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?"),
    "date": _DATES,
    "time": re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b"),
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"https?://[^\s\"'<>)]+"),
    "uuid": re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE),
}
_YES = ("true", "yes", "on", "co", "dung")
_NO = ("false", "no", "off", "khong", "sai")


class Evidence:
    """Gives out the values of a text, each of them once."""

    def __init__(self, text: str, hints: Mapping[str, Any] | None = None) -> None:
        self.text = unicodedata.normalize("NFC", text)
        self.hints = dict(hints or {})
        """Values that are known for fields of these names."""
        self.numbers = [_number(each) for each in _NUMBERS.findall(self._without_dates())]
        self.quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(self.text)]
        self.names = find_names(self.text)
        self._expression = find_expression(self.text)

    def labelled(self, name: str) -> str | None:
        """Return what follows the name of a field, as in ``name: value``."""
        spoken = r"[\s_]*".join(map(re.escape, re.split(r"[_\s]+", name)))
        quoted = re.search(
            rf"""(?<!\w){spoken}\s+(?:of |named |called |saying )?(["'])(.+?)\1""", self.text, re.I
        )
        if quoted:
            self.quoted = [each for each in self.quoted if each != quoted[2]]
            return quoted[2]
        match = re.search(
            rf"""(?<![\w])["'`]?{spoken}["'`]?\s*(?::|=|\bis\b|\blà\b)\s*("[^"\n]+"|'[^'\n]+'|"""
            r"""[^,;\n]+?)(?=\s*(?:[,;\n]|[.!?](?:\s|$)|$|\s(?:and|và)\s))""",
            self.text,
            re.IGNORECASE,
        )
        return match[1].strip("\"' ") if match else None

    def labelled_number(self, name: str) -> float | int | None:
        """Return the number that stands next to the name of a field."""
        spoken = r"[\s_]*".join(map(re.escape, re.split(r"[_\s]+", name)))
        after = rf"(?<!\w){spoken}(?!\w)[^\d\n,;]{{0,12}}?(-?\d+(?:\.\d+)?)"
        units = {"age": "years old|year-old|tuổi", "rating": "stars?|sao", "limit": "results?"}
        unit = units.get(name.lower(), spoken)
        before = rf"(-?\d+(?:\.\d+)?)[\s-]*(?:{unit})(?!\w)"
        match = re.search(after, self.text, re.IGNORECASE)
        match = match or re.search(before, self.text, re.IGNORECASE)
        if match is None:
            return None
        value = _number(match[1])
        if value in self.numbers:
            self.numbers.remove(value)
        return value

    def next_number(self) -> float | int | None:
        """Return the next number that was not given out."""
        return self.numbers.pop(0) if self.numbers else None

    def next_quoted(self) -> str | None:
        """Return the next quoted text that was not given out."""
        return self.quoted.pop(0) if self.quoted else None

    def next_name(self) -> str | None:
        """Return the next name that was not given out."""
        return self.names.pop(0) if self.names else None

    def next_expression(self) -> str | None:
        """Return the calculation in the text."""
        found, self._expression = self._expression, None
        return found

    def formatted(self, format_name: str) -> str | None:
        """Return a value of one of the formats that JSON schema knows."""
        pattern = _FORMATS.get(format_name)
        match = pattern.search(self.text) if pattern else None
        return match[0] if match else None

    def mentioned(self, options: list[Any]) -> Any:
        """Return the option that the text mentions first, or nothing."""
        spoken = " ".join(words(self.text))
        roots = " ".join(map(stem, words(self.text)))
        places: list[tuple[int, int]] = []
        for at, option in enumerate(options):
            asked = " ".join(words(str(option)))
            found = re.search(rf"(?<!\w){re.escape(asked)}(?!\w)", spoken) if asked else None
            if found:
                places.append((found.start(), at))
            elif asked and (found := re.search(rf"(?<!\w){re.escape(stem(asked))}(?!\w)", roots)):
                places.append((10_000 + found.start(), at))
        return options[min(places)[1]] if places else None

    def truth(self, name: str) -> bool | None:
        """Return whether the text says yes or no to a field."""
        said = fold(self.labelled(name) or "").split()
        if said and said[0] in (*_YES, *_NO):
            return said[0] in _YES
        main = [stem(word) for word in words(name.replace("_", " ")) if word not in ("is", "has")]
        spoken = words(self.text)
        roots = [stem(word) for word in spoken]
        for at, root in enumerate(roots):
            if root in main:
                return not {"not", "no", "without", "khong"} & set(spoken[max(at - 3, 0) : at])
        return None

    def _without_dates(self) -> str:
        """Return the text without dates, times and addresses, whose digits are no numbers."""
        text = self.text
        for format_name in ("uuid", "uri", "email", "date-time", "date", "time"):
            text = _FORMATS[format_name].sub(" ", text)
        return re.sub(r"(?<=[\d)])\s*-\s*(?=\d)", " - ", text)


def find_names(text: str) -> list[str]:
    """Return the names of people, places and things in a text, in order."""
    found: list[str] = []
    doubtful: list[str] = []
    for match in _NAMES.finditer(text):
        name = match[0]
        while name and fold(name.split(" ")[0]).split("'")[0] in _NO_NAMES:
            name = name.partition(" ")[2]
        before = text[: match.start()].rstrip(" \t")
        begins = not before or before[-1] in ".!?:\n"
        name = name.rstrip(".'\u2019")
        is_lone_start = begins and " " not in match[0] and _NO_SUBJECT.match(text, match.end())
        if name and name not in found:
            (doubtful if is_lone_start else found).append(name)
    return found or doubtful


def _number(text: str) -> float | int:
    """Return a written number."""
    plain = text.replace(",", "")
    return float(plain) if "." in plain else int(plain)
