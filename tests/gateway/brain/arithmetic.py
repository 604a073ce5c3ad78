"""Simple calculations in plain words."""

from __future__ import annotations

import re

from tests.gateway.brain.words import fold

_NUMBER_NAMES = """
zero/khong one/mot two/hai three/ba four/bon five/nam six/sau seven/bay eight/tam nine/chin
ten/muoi eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty
"""
_NUMBER_WORDS = {
    word: number for number, names in enumerate(_NUMBER_NAMES.split()) for word in names.split("/")
}
_SIGNS = {
    "+": r"\+|plus|cong(?: voi)?|added to",
    "-": r"-|\u2212|minus|tru(?: di)?",
    "*": r"\*|\u00d7|x|times|multiplied by|nhan(?: voi)?",
    "/": r"/|÷|divided by|chia(?: cho)?",
    "**": r"\*\*|\^|to the power of",
}
_NUMBER = r"\(*\s*-?\d+(?:\.\d+)?\s*\)*"
_EXPRESSION = re.compile(rf"{_NUMBER}(?:\s*(?:\*\*|[-+*/])\s*{_NUMBER})+")
_DATE = re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}\b")
_COMMANDS = (
    (r"(?:sum|total|tong) (?:of |cua )?({n}) (?:and|va) ({n})", "+"),
    (r"(?:add|cong) ({n}) (?:and|to|with|va|voi) ({n})", "+"),
    (r"(?:product|tich) (?:of |cua )?({n}) (?:and|va) ({n})", "*"),
    (r"(?:multiply|nhan) ({n}) (?:by|and|with|va|voi) ({n})", "*"),
    (r"(?:divide|chia) ({n}) (?:by|cho) ({n})", "/"),
    (r"(?:difference) (?:of |between )?({n}) and ({n})", "-"),
)


def find_expression(text: str) -> str | None:
    """Return the calculation that a text asks for, in digits and signs."""
    plain = _DATE.sub(" ", fold(text))
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", re.sub(r"\s+", " ", plain))
    named = "|".join(_NUMBER_WORDS)
    value = rf"(?:{named}|-?\d+(?:\.\d+)?)"
    for pattern, sign in _COMMANDS:
        match = re.search(rf"\b{pattern.format(n=value)}", plain)
        if match:
            return f"{_digits(match[1])} {sign} {_digits(match[2])}"
    for sign in ("**", "+", "-", "*", "/"):
        spelled = rf"({value}\)*)\s*(?:{_SIGNS[sign]})\s*(?=\(*{value}(?!\w))"
        for match in re.finditer(rf"(?<!\w){spelled}", plain):
            plain = plain.replace(match[0], f"{_digits(match[1])} {sign} ", 1)
    for match in re.finditer(rf"(?<=[-+*/] )({named})\b", plain):
        plain = plain.replace(match[0], _digits(match[1]), 1)
    found = _EXPRESSION.search(plain)
    if found is None:
        return None
    expression = re.sub(r"\s+", " ", found[0].strip())
    return expression if expression.count("(") == expression.count(")") else None


def calculate(expression: str) -> str | None:
    """Return the value of a calculation as text."""
    try:
        value = _Reader(expression).sum()
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def single_steps(expression: str) -> list[tuple[str, float, float]]:
    """Return the calculation as a list of signs with the two numbers each of them joins."""
    reader = _Reader(expression)
    try:
        reader.sum()
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return []
    return reader.steps


def _digits(text: str) -> str:
    """Return a number in digits."""
    word = text.rstrip(")")
    return str(_NUMBER_WORDS.get(word, word)) + text[len(word) :]


class _Reader:
    """Reads a calculation from left to right."""

    def __init__(self, expression: str) -> None:
        self._tokens = re.findall(r"\d+(?:\.\d+)?|\*\*|[-+*/()]", expression)
        self.steps: list[tuple[str, float, float]] = []

    def sum(self) -> float:
        """Return the value of terms joined by plus and minus."""
        value = self._product()
        while self._tokens and self._tokens[0] in "+-":
            sign = self._tokens.pop(0)
            other = self._product()
            self.steps.append((sign, value, other))
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> float:
        value = self._power()
        while self._tokens and self._tokens[0] in ("*", "/"):
            sign = self._tokens.pop(0)
            other = self._power()
            self.steps.append((sign, value, other))
            value = value * other if sign == "*" else value / other
        return value

    def _power(self) -> float:
        value = self._number()
        if self._tokens and self._tokens[0] == "**":
            self._tokens.pop(0)
            exponent = self._power()
            if abs(exponent) > 64:
                raise OverflowError
            self.steps.append(("**", value, exponent))
            return float(value**exponent)
        return value

    def _number(self) -> float:
        token = self._tokens.pop(0)
        if token == "-":
            return -self._number()
        if token == "(":
            value = self.sum()
            self._tokens.pop(0)
            return value
        return float(token)
