"""How well a question fits a tool."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.gateway.brain.conversation import Tool
from tests.gateway.brain.word_sets import CAPITALS, word_set
from tests.gateway.brain.words import fold, stem, stems, words

_SYNONYMS = (
    (r"\d\s*\+\s*\d|\bplus\b|\bsum\b|\bcong\b|\btong\b", "add sum"),
    (
        r"\d\s*[*\u00d7x]\s*\d|\btimes\b|\bmultipl\w*|\bproduct\b|\bnhan\b|\btich\b",
        "multiply product",
    ),
    (r"\d\s+-\s+\d|\bminus\b|\bsubtract\b|\bdifference\b|\btru\b", "subtract minus"),
    (r"\d\s*[/÷]\s*\d|\bdivided?\b|\bchia\b", "divide"),
    (r"\bsquared?\b|\bbinh phuong\b", "square"),
    (r"\d\s*[-+*/^]\s*\d|\btinh\b", "calculate calculator evaluate expression math"),
    (r"\bthoi tiet\b|\bnhiet do\b|\btemperature\b|\bforecast\b|\bsunny\b|\brain\b", "weather"),
    (r"\bmay gio\b|\bbay gio\b", "time clock"),
    (r"\btim (?:kiem)?\b|\btra cuu\b|\blook up\b|\bfind\b", "search lookup find"),
    (r"\bgui (?:email|thu)\b", "send email mail"),
    (r"\bdat (?:ban|ve|phong|lich)\b", "book reserve schedule"),
    (r"\bgia\b|\bcost\b|\bhow much\b", "price cost"),
    (r"\bco phieu\b|\bshares?\b", "stock"),
    (r"\bdich\b", "translate"),
    (r"\bty gia\b|\bdoi tien\b", "exchange currency convert rate"),
    (r"\bdan so\b", "population"),
)
_GENERIC = frozenset(
    map(
        stem,
        word_set("""
            tool function get use my call fn query engine agent run do make fetch the given return
            returns useful input output value result two number numbers integer integers string
            text user int float argument information question answer natural language name list
            data first second one and about provide current
        """),
    )
)
_SEARCHES = frozenset(
    map(stem, word_set("search retrieve retriever retrieval lookup knowledge query documents docs"))
)
_SEARCH_FIELDS = frozenset({"query", "input", "question", "q", "search", "text", "search_query"})
_BREAK = re.compile(r"(\s+(?:and then|and|then|và|rồi|sau đó)\s+|[;,.?!]\s+|\n+)")

STRONG = 10.0
ENOUGH = 2.0


@dataclass(frozen=True)
class Fit:
    """A part of a question and the tool that it asks for."""

    tool: Tool
    clause: str
    score: float


def fits(question: str, tools: tuple[Tool, ...]) -> list[Fit]:
    """Divide a question into the parts that ask for one tool each."""
    found: list[Fit] = []
    pending = ""
    for piece in _BREAK.split(question):
        best = _best(piece, tools)
        if best is not None:
            clause = piece if found or (len(tools) > 1 and _has_value(piece)) else f"{pending}{piece}"
            found.append(Fit(best[0], clause, best[1]))
        elif found:
            last = found[-1]
            found[-1] = Fit(last.tool, last.clause + piece, last.score)
        else:
            pending += piece
    if not found:
        best = _best(question, tools)
        return [Fit(best[0], question, best[1])] if best else []
    return _joined(found, question)


def unserved(question: str, tools: tuple[Tool, ...]) -> str:
    """Return the parts of a question that none of the tools is for."""
    return " ".join(piece for piece in _BREAK.split(question) if _best(piece, tools) is None)


def score(tool: Tool, text: str) -> float:
    """Return how strongly a text asks for a tool."""
    folded = fold(text)
    spoken_name = re.escape(" ".join(words(_apart(tool.name))))
    if re.search(rf"(?<!\w){re.escape(fold(tool.name))}(?!\w)", folded) or (
        " " in spoken_name and re.search(rf"(?<!\w){spoken_name}(?!\w)", folded)
    ):
        return STRONG
    asked = stems(text) | stems(" ".join(more for p, more in _SYNONYMS if re.search(p, folded)))
    named = stems(_apart(tool.name)) - _GENERIC
    described = stems(tool.description) - _GENERIC - named
    fields = stems(" ".join(map(_apart, tool.properties))) - _GENERIC - named - described
    options = stems(" ".join(_options(tool))) - named - described - fields
    return (
        3.0 * len(asked & named)
        + 1.0 * len(asked & described)
        + 0.5 * len(asked & fields)
        + 1.5 * len(asked & options)
    )


def is_search(tool: Tool) -> bool:
    """Tell whether a tool looks up whatever it is asked."""
    is_open = bool(_SEARCH_FIELDS & set(tool.properties))
    said = stems(f"{_apart(tool.name)} {tool.description}")
    return is_open and bool(said & _SEARCHES)


def _best(piece: str, tools: tuple[Tool, ...]) -> tuple[Tool, float] | None:
    """Return the tool that a piece of a question asks for, if any."""
    scored = [(tool, score(tool, piece)) for tool in tools]
    best = max(scored, key=lambda each: each[1], default=None)
    return best if best is not None and best[1] >= ENOUGH else None


def _joined(found: list[Fit], question: str) -> list[Fit]:
    """Join parts for the same tool that only repeat what they are about."""
    joined: list[Fit] = []
    for fit in found:
        last = joined[-1] if joined else None
        if last is not None and last.tool == fit.tool and not _has_value(last.clause):
            joined[-1] = Fit(fit.tool, f"{last.clause} {fit.clause}", max(last.score, fit.score))
        else:
            joined.append(fit)
    return joined


def _has_value(clause: str) -> bool:
    """Tell whether a part names something to call a tool with."""
    return re.search(rf"\d|[\"'“]|\s[{CAPITALS}]\w", clause) is not None


def _apart(name: str) -> str:
    """Return the words in the name of a tool or of a field."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ")


def _options(tool: Tool) -> list[str]:
    """Return the values that the fields of a tool list."""
    nodes = [node for node in tool.properties.values() if isinstance(node, dict)]
    return [str(option) for node in nodes for option in node.get("enum") or []]
