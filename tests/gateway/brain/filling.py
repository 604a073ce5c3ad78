"""Values that are valid for a JSON schema and are drawn from a text."""

from __future__ import annotations

import re
from typing import Any

from tests.gateway.brain.evidence import Evidence
from tests.gateway.brain.schema import Schema
from tests.gateway.brain.strings import draw_string, invent_string

_CREATES = re.compile(r"\b(?:generate|create|invent|example|tạo|viết)\b", re.IGNORECASE)


class Filler:
    """Fills a schema with what a text says."""

    def __init__(self, evidence: Evidence, *, generous: bool) -> None:
        self._evidence = evidence
        self._generous = generous
        """Whether optional fields are filled with what the text says without naming them."""

    def object(self, schema: Schema) -> dict[str, Any]:
        """Return an object: fields that the text names first, then the required, then others."""
        fields = schema.properties
        required = [name for name in schema.required if name in fields]
        optional = [name for name in fields if name not in required]
        values: dict[str, Any] = {}
        for name, field in fields.items():
            value = self._named(field, name)
            if value is not None:
                values[name] = value
        is_free = self._generous or not required
        for name in [*required, *optional]:
            if name not in values and (is_free or name in required or fields[name].is_explicit):
                value = self._drawn(fields[name], name)
                if value is not None:
                    values[name] = value
        for name in required:
            if name not in values:
                values[name] = self._invented(fields[name], name)
        if not fields and schema.values is not None:
            return self._map(schema.values)
        return {name: values[name] for name in fields if name in values}

    def value(self, schema: Schema, name: str) -> Any:
        """Return a value that the text gives, or an invented one."""
        for found in (self._named(schema, name), self._drawn(schema, name)):
            if found is not None:
                return found
        return self._invented(schema, name)

    def _named(self, schema: Schema, name: str) -> Any:
        """Return the value that the text or a hint gives for a field of this name."""
        for branch in schema.branches:
            hinted = branch.as_allowed(self._evidence.hints.get(name))
            for value in (hinted, self._named_in(branch, name)):
                if value is not None and branch.allows(value):
                    return value
        return None

    def _named_in(self, schema: Schema, name: str) -> Any:
        evidence = self._evidence
        if schema.constant is not None:
            return schema.constant
        if schema.options:
            labelled = evidence.labelled(name)
            return Evidence(labelled).mentioned(schema.options) if labelled else None
        if schema.kind in ("number", "integer"):
            number = evidence.labelled_number(name)
            return None if number is None else schema.fit_number(number)
        if schema.kind == "string" and not schema.format:
            labelled = evidence.labelled(name)
            return schema.fit_string(labelled) if labelled else None
        return None

    def _drawn(self, schema: Schema, name: str) -> Any:
        """Return a value from the text that suits a field."""
        for branch in schema.branches:
            value = self._drawn_in(branch, name)
            if value is not None and branch.allows(value):
                return value
        return None

    def _drawn_in(self, schema: Schema, name: str) -> Any:
        evidence = self._evidence
        if schema.has_branches:
            return self._drawn(schema, name)
        if schema.kind in ("array", "object") and schema.is_deep:
            return None
        if schema.options:
            return evidence.mentioned(schema.options)
        if schema.kind in ("number", "integer"):
            number = evidence.next_number()
            return None if number is None else schema.fit_number(number)
        if schema.kind == "boolean":
            return evidence.truth(name)
        if schema.kind == "string":
            text = draw_string(schema, name, evidence, generous=self._generous)
            return None if text is None else schema.fit_string(text)
        if schema.kind == "array":
            return self._array(schema, name) or None
        if schema.kind == "object" and (schema.required or schema.properties):
            return self.object(schema)
        if schema.kind == "object" and schema.values is not None:
            return self._map(schema.values) or None
        return None

    def _array(self, schema: Schema, name: str) -> list[Any]:
        """Return the items that a text lists."""
        item = schema.items
        branch = item.branches[0]
        evidence = self._evidence
        found: list[Any]
        if branch.options:
            texts = re.split(r",|;|\band\b|\bvà\b", evidence.text)
            found = [each for each in (Evidence(t).mentioned(branch.options) for t in texts) if each]
            found = list(dict.fromkeys(found))
        elif branch.kind in ("number", "integer"):
            found = [branch.fit_number(each) for each in evidence.numbers]
            evidence.numbers = []
        elif branch.kind == "object":
            hinted = evidence.hints.get(name) or []
            if all(isinstance(each, dict) for each in hinted) and hinted:
                found = [self._record(branch, each) for each in hinted]
            else:
                found = [Filler(each, generous=True).object(branch) for each in self._records()]
                missing = schema.least - len(found)
                found += [self._record(branch, {}) for _ in range(missing)]
            found = found[: schema.most]
        else:
            found = self._strings(name)
        found = [each for each in found if item.allows(each)][: schema.most]
        return found if len(found) >= schema.least else []

    def _record(self, schema: Schema, hints: dict[str, Any]) -> dict[str, Any]:
        """Return one object of a list for which some fields are known."""
        evidence = Evidence(self._evidence.text, {**self._evidence.hints, **hints})
        return Filler(evidence, generous=True).object(schema)

    def _records(self) -> list[Evidence]:
        """Divide a text at its lines or at its names, one part for each object of a list."""
        text = self._evidence.text
        lines = [line for line in text.splitlines() if re.match(r"\s*(?:[-*•]|\d+[.)])\s", line)]
        if len(lines) > 1:
            return [Evidence(re.sub(r"^\s*(?:[-*•]|\d+[.)])\s+", "", line)) for line in lines]
        names = self._evidence.names
        starts = sorted(text.find(name) for name in names)
        if not starts:
            return []
        parts = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
        return [Evidence(part.strip(" ,.;")) for part in parts]

    def _strings(self, name: str) -> list[Any]:
        """Return the strings that a text lists."""
        hinted = self._evidence.hints.get(name)
        if isinstance(hinted, list):
            return hinted
        if len(self._evidence.quoted) > 0:
            return self._evidence.quoted
        labelled = re.search(
            rf"\b{re.escape(name)}\b[^:\n]{{0,20}}:\s*([^\n]+)", self._evidence.text, re.IGNORECASE
        )
        if labelled:
            parts = re.split(r",|;|\band\b|\bvà\b", labelled[1])
            return [part.strip(" .\"'") for part in parts if part.strip(" .\"'")]
        return self._evidence.names or list(self._evidence.hints.get("keywords", []))

    def _map(self, values: Schema) -> dict[str, Any]:
        """Return the labelled values of a text."""
        pairs = re.findall(r"([\w ]{1,30}?)\s*[:=]\s*([^,;\n]+)", self._evidence.text)
        return {
            name.strip(): Filler(Evidence(text), generous=True).value(values, name)
            for name, text in pairs
            if name.strip()
        }

    def _invented(self, schema: Schema, name: str) -> Any:
        """Return a valid value for a required field about which the text says nothing."""
        if schema.is_nullable:
            return None
        branch = schema.branches[0]
        if branch.has_branches:
            return self._invented(branch, name)
        if branch.constant is not None:
            return branch.constant
        if branch.default is not None:
            return branch.default
        if branch.options:
            return branch.options[0]
        if branch.kind in ("number", "integer"):
            return branch.fit_number(1)
        if branch.kind == "boolean":
            return False
        if branch.kind == "array":
            is_free = _CREATES.search(self._evidence.text) and not branch.is_deep
            wanted = max(branch.least, 2 if is_free else 0)
            return [self._invented(branch.items, name) for _ in range(min(wanted, branch.most))]
        if branch.kind == "object":
            return self.object(branch)
        if branch.kind == "null":
            return None
        return branch.fit_string(invent_string(branch, name, self._evidence))
