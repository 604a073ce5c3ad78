"""Answers in JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.gateway.brain.evidence import Evidence
from tests.gateway.brain.filling import Filler
from tests.gateway.brain.hints import field_hints
from tests.gateway.brain.schema import Schema

_INSTRUCTIONS = re.compile(
    r"(?:STRICT OUTPUT FORMAT:|The output should be (?:formatted as|ONLY JSON)"
    r"|Here's a JSON schema to follow:).*",
    re.DOTALL,
)
_QUOTED_KEY = re.compile(r"""['"`](\w+)['"`]""")
_NAMED_KEYS = re.compile(
    r"\b(?:keys?|fields?|properties|các trường|khóa)\b\s*(?:named|called|are|:|là)?\s*([\w ,]+)",
    re.IGNORECASE,
)


def fill_schema(node: dict[str, Any], text: str, answer: str) -> dict[str, Any]:
    """Return an object that is valid for a schema and says what a text says."""
    schema = Schema(node)
    filler = Filler(Evidence(text, field_hints(text, answer)), generous=True)
    value = filler.value(schema, "") if schema.kind != "object" else filler.object(schema)
    return value if isinstance(value, dict) else {"value": value}


def answer_in_json(schema: dict[str, Any] | None, text: str, answer: str) -> str:
    """Return the JSON that a request wants, for its schema or for the keys that it names."""
    found = schema or find_schema(text)
    plain = _INSTRUCTIONS.sub("", text).strip() or text
    if found is not None:
        return _encode(fill_schema(found, plain, answer))
    keys = _keys(text)
    if not keys:
        return _encode({"answer": answer})
    node = {"properties": {key: {"type": _kind(key)} for key in keys}, "required": keys}
    return _encode(fill_schema(node, _without_keys(plain), answer))


def asks_for_json(text: str) -> bool:
    """Tell whether a prompt without a wanted format asks for JSON by a schema in its text."""
    return _INSTRUCTIONS.search(text) is not None and find_schema(text) is not None


def find_schema(text: str) -> dict[str, Any] | None:
    """Return the last JSON schema that is written in a text."""
    text = text.replace("{{", "{").replace("}}", "}") if '{{"' in text else text
    decoder = json.JSONDecoder()
    found: dict[str, Any] | None = None
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            if isinstance(value, dict) and ("properties" in value or "$ref" in value):
                found = value
        at = text.find("{", end)
    return found


def _keys(text: str) -> list[str]:
    """Return the keys that a prompt names."""
    sentences = [each for each in re.split(r"(?<=[.!?])\s|\n", text) if _speaks_of_keys(each)]
    quoted = [key for each in sentences for key in _QUOTED_KEY.findall(each)]
    if quoted:
        return list(dict.fromkeys(quoted))
    for each in sentences:
        match = _NAMED_KEYS.search(each)
        if match:
            names = re.split(r",|\band\b|\bvà\b", match[1])
            keys = [name.strip() for name in names if re.fullmatch(r"\s*\w+\s*", name)]
            if keys:
                return keys
    return []


def _speaks_of_keys(sentence: str) -> bool:
    """Tell whether a sentence is about the keys of a JSON object."""
    return re.search(r"\b(?:json|keys?|fields?|khóa|trường)\b", sentence, re.IGNORECASE) is not None


def _without_keys(text: str) -> str:
    """Return a prompt without the sentences about the keys."""
    kept = [each for each in re.split(r"(?<=[.!?])\s|\n", text) if not _speaks_of_keys(each)]
    return "\n".join(kept) or text


def _kind(key: str) -> str:
    """Return the type that a key without a schema has."""
    if re.search(r"^(?:is|has)_", key):
        return "boolean"
    numeric = r"(?:^|_)(?:age|year|count|score|confidence|price|amount|population|number|quantity|total)$"
    return "number" if re.search(numeric, key) else "string"


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
