"""JSON schemas of tools and answers as the strictest providers take them.

One refused schema costs the whole request, and MCP servers send many. By public reports, providers refuse: a
root without `type: object` or `properties` (OpenAI) or with `anyOf`, `oneOf` or `allOf` (Claude, OpenAI); an
array without `items`, also a tuple (OpenAI, Gemini); `$schema` and required properties without a schema
(Gemini); `null` for a keyword, booleans, unknown types and references to nothing in the place of a schema
(OpenAI); keywords with values that JSON Schema 2020-12 does not allow, e.g. those of draft 4 (Claude). An
object without properties inside another is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from texapi_core.request.foreign import json_text
from texapi_core.request.schema_keywords import (
    CHECKS,
    as_list,
    kept_if,
    legal_dependencies,
    legal_names,
    legal_type,
)

Schema = dict[str, Any]

_REFUSED = frozenset({"$schema", "$id", "$comment"})
_NULLABLE = frozenset({"default", "const", "examples"})
"""Keywords whose value may be null."""
_REFUSED_AT_ROOT = frozenset({"allOf", "anyOf", "oneOf", "$ref", "not", "enum", "const"})
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE = ("not", "if", "then", "else", "contains", "contentSchema", "propertyNames")
_SINGLE_OR_BOOLEAN = ("additionalProperties", "additionalItems", "unevaluatedProperties", "unevaluatedItems")
_SUBSCHEMAS = frozenset({*_MAPS, *_LISTS, *_SINGLE, *_SINGLE_OR_BOOLEAN, "items"})
_MAX_KNOWN = 512

_known: dict[str, Schema] = {}
"""The last legal schema by its place: a comparison takes a hundredth of the time of a walk."""


def legal_schema(schema: Any, place: str) -> Schema:
    """The schema of an object that every provider takes: a legal one itself, else a mended copy.

    `None` and `{}` become an object without properties. Alternatives at the root become one object: the
    properties of all of them, of which it requires what each requires, and a description that names the
    alternatives. `place` names the schema in errors.

    Raises:
        ValueError: a schema of something else than an object, or one that holds itself.
    """
    try:
        if place in _known and _known[place] == schema:
            return schema  # type: ignore[no-any-return] # equal to a schema
        return _legal_schema(schema, place)
    except RecursionError:
        raise too_deep(place) from None


def too_deep(place: str) -> ValueError:
    """The error for a schema that Python cannot walk through."""
    return ValueError(
        f"{place} is nested too deeply, or holds itself: use `$defs` and `$ref` for recursion. "
        "Nothing was sent."
    )


def _legal_schema(schema: Any, place: str) -> Schema:
    if schema is not None and not isinstance(schema, Mapping):
        raise ValueError(f"{place} must be a JSON schema, not {schema!r}. Nothing was sent.")
    root = _object_root(schema or {})
    if "properties" not in root and _types_of(root) and "object" not in _types_of(root):
        raise ValueError(
            f"{place} must be the schema of an object, not of 'type': {root['type']!r}. Nothing was sent."
        )
    mended = _Mender(root).mend_root()
    if mended != schema or not isinstance(schema, dict):
        return mended
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    _known[place] = mended
    return schema


class _Mender:
    """Makes the copy of a schema whose root is an object. References are looked up in the root."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._hoisted: dict[str, dict[str, Any]] = {}

    def mend_root(self) -> Schema:
        mended = self._mend({**self._root, "type": "object", "properties": _map(self._root, "properties")})
        while self._hoisted:  # a definition may refer to further ones
            hoisted, self._hoisted = self._hoisted, {}
            for place, definitions in hoisted.items():
                self._root = {**self._root, place: {**self._root.get(place, {}), **definitions}}
                found = {name: self._mend(each) for name, each in definitions.items()}
                mended[place] = {**mended.get(place, {}), **found}
        return mended

    def _mend(self, schema: Any) -> Schema:
        if not isinstance(schema, Mapping):
            return {"not": {}} if schema is False else {}
        mended: Schema = {}
        for name, value in schema.items():
            if value is None and name not in _NULLABLE:
                continue
            if name not in _REFUSED and (kept := self._keyword(name, value)) is not None:
                mended[name] = kept[0]
        _move_exclusive_bounds(schema, mended)
        if "properties" in mended:
            missing = [name for name in mended.get("required", ()) if name not in mended["properties"]]
            if missing:
                mended["properties"] = {**mended["properties"], **{name: {} for name in missing}}
        if "array" in _types_of(mended) or "prefixItems" in mended or "items" in schema:
            given = schema.get("items")
            items = given if isinstance(given, list) else schema.get("prefixItems")
            if not isinstance(given, Mapping):
                mended["items"] = _either([self._mend(each) for each in items or ()])
        for name in ("default", "const"):
            if isinstance(mended.get(name), (dict, list)):
                mended[name] = self._in_order(mended[name], mended)
        if isinstance(mended.get("examples"), list):
            mended["examples"] = [self._in_order(each, mended) for each in mended["examples"]]
        return mended

    def _in_order(self, value: Any, *schemas: Any) -> Any:
        """A value with its sets sorted: in another order, each process would write a prompt cache."""
        known = list(self._alternatives(schemas))
        if isinstance(value, Mapping):
            return {
                name: self._in_order(
                    each, *(one for schema in known for one in _schemas_of_member(schema, name))
                )
                for name, each in value.items()
            }
        if not isinstance(value, list):
            return value
        items = [self._in_order(each, *(schema.get("items") for schema in known)) for each in value]
        is_set = any(schema.get("uniqueItems") is True for schema in known)
        return sorted(items, key=_as_text) if is_set else items

    def _alternatives(self, schemas: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
        """The schemas, with those that they refer to and that they combine."""
        waiting, followed = list(schemas), set()
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or id(schema) in followed:
                continue
            followed.add(id(schema))
            yield schema
            if "$ref" in schema:
                waiting.append(_target(schema["$ref"], self._root))
            for name in ("anyOf", "allOf", "oneOf"):
                found = schema.get(name)
                waiting += found if isinstance(found, list) else ()

    def _keyword(self, name: str, value: Any) -> tuple[Any] | None:
        """The value of a keyword; `None` if it has no meaning there."""
        if name not in _SUBSCHEMAS:
            value = _without_sets(value)
        if name == "dependencies":
            schemas = {key: self._mend(each) for key, each in _map({name: value}, name).items()}
            return kept_if(isinstance(value, Mapping), {**schemas, **(legal_dependencies(value) or ({},))[0]})
        if name in _MAPS:
            if not isinstance(value, Mapping):
                return None
            return ({str(key): self._mend(each) for key, each in value.items()},)
        if name in _LISTS:
            return ([self._mend(each) for each in value],) if isinstance(value, list) and value else None
        if name in _SINGLE or name == "items":
            return (self._mend(value),) if isinstance(value, (Mapping, bool)) else None
        if name in _SINGLE_OR_BOOLEAN:
            return (
                (self._mend(value),)
                if isinstance(value, Mapping)
                else kept_if(isinstance(value, bool), value)
            )
        if name == "$ref":
            return kept_if(self._leads_somewhere(value), value)
        check = CHECKS.get(name)
        return (value,) if check is None else check(value)

    def _leads_somewhere(self, reference: Any) -> bool:
        """Whether a reference has a target in the root; a nested definition is moved there."""
        if _target(reference, self._root) is not None:
            return True
        if next(_definitions_named(reference, self._root), None) is None:
            return False
        _, place, name, *rest = reference.split("/")
        definition = f"#/{place}/{name}"
        named = _definitions_named(definition, self._root)
        found = next(each for each in named if not rest or _target(f"#/{'/'.join(rest)}", each) is not None)
        self._hoisted.setdefault(place, {})[_key_of(name)] = found
        return True


def _move_exclusive_bounds(schema: Mapping[str, Any], mended: Schema) -> None:
    """In draft 4 and OpenAPI 3.0, `exclusiveMinimum: true` says so of `minimum`."""
    for bound in ("minimum", "maximum"):
        if schema.get(exclusive := f"exclusive{bound.title()}") is True and bound in mended:
            mended[exclusive] = mended.pop(bound)


def _schemas_of_member(schema: Mapping[str, Any], name: Any) -> Iterator[Any]:
    yield _map(schema, "properties").get(name)
    yield schema.get("additionalProperties")


def _as_text(value: Any) -> str:
    return json_text(value, "A schema")


def _without_sets(value: Any) -> Any:
    """The value with sorted lists in place of Python's sets, e.g. in `json_schema_extra`."""
    if isinstance(value, dict):
        return {name: _without_sets(each) for name, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_without_sets, value), key=_as_text)
    return [_without_sets(each) for each in value] if isinstance(value, list) else value


def _types_of(schema: Mapping[str, Any]) -> Sequence[str]:
    found = legal_type(schema.get("type"))
    return as_list(found[0]) if found else ()


def _object_root(schema: Mapping[str, Any]) -> Schema:
    """The schema without references and alternatives at its root, which become part of it."""
    if _REFUSED_AT_ROOT.isdisjoint(schema):
        return dict(schema)
    return _flat(schema, schema, frozenset())


def _flat(schema: Mapping[str, Any], root: Mapping[str, Any], followed: frozenset[str]) -> Schema:
    while "$ref" in schema:
        reference = str(schema["$ref"])
        target = None if reference in followed else _target(reference, root)
        followed |= {reference}
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**target, **rest} if isinstance(target, Mapping) else rest
    flat = {name: value for name, value in schema.items() if name not in _REFUSED_AT_ROOT}
    for keyword in ("allOf", "anyOf", "oneOf"):
        given = schema.get(keyword)
        if not isinstance(given, list):
            continue
        branches = [_flat(each, root, followed) for each in given if isinstance(each, Mapping)]
        objects = [each for each in branches if not _types_of(each) or "object" in _types_of(each)]
        if not objects:
            flat.setdefault("type", next((each["type"] for each in branches), None))
            continue
        flat.setdefault("type", "object")
        _merge(flat, objects, all_hold=keyword == "allOf")
    return flat


def _merge(flat: Schema, branches: Sequence[Mapping[str, Any]], *, all_hold: bool) -> None:
    """Add the properties of branches, of which one or all hold, to a new schema."""
    properties: dict[str, list[Any]] = {name: [each] for name, each in _map(flat, "properties").items()}
    for branch in branches:
        for name, each in _map(branch, "properties").items():
            properties.setdefault(name, []).append(each)
        for name in ("$defs", "definitions"):
            if _map(branch, name):
                flat[name] = {**_map(branch, name), **_map(flat, name)}
    flat["properties"] = {
        name: _either(found, "allOf" if all_hold else "anyOf") for name, found in properties.items()
    }
    needed = [_names(branch) for branch in branches]
    names = [name for each in needed for name in each] if all_hold else needed[0]
    kept = [name for name in names if all_hold or all(name in each for each in needed)]
    if required := list(dict.fromkeys([*_names(flat), *kept])):
        flat["required"] = required
    if not all_hold and (note := _note_on(branches)):
        flat["description"] = "\n".join(filter(None, [str(flat.get("description") or ""), note]))


def _note_on(alternatives: Sequence[Mapping[str, Any]]) -> str:
    """The description of alternatives that became one object; nothing if they are alike."""
    sets = [", ".join(_labels(each)) for each in alternatives]
    differ = all(sets) and len(set(sets)) > 1
    return f"Give the properties of one of these: {'; or '.join(dict.fromkeys(sets))}." if differ else ""


def _labels(schema: Mapping[str, Any]) -> Iterator[str]:
    properties, required = _map(schema, "properties"), _names(schema)
    for name in dict.fromkeys([*properties, *required]):
        each = properties.get(name)
        if isinstance(each, Mapping) and "const" in each:
            yield f"{name} = {json_text(each['const'], 'A schema')}"
        else:
            yield name if name in required else f"{name} (optional)"


def _names(schema: Mapping[str, Any]) -> list[str]:
    found = legal_names(schema.get("required"))
    return list(found[0]) if found else []


def _map(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = schema.get(name)
    return found if isinstance(found, Mapping) else {}


def _either(schemas: Sequence[Any], keyword: str = "anyOf") -> Any:
    """One schema for several; anything if one of them is."""
    distinct: list[Any] = []
    for each in schemas:
        if each not in distinct:
            distinct.append(each)
    if len(distinct) == 1:
        return distinct[0]
    if not distinct or (keyword == "anyOf" and {} in distinct):
        return {}
    return {keyword: distinct}


def _target(reference: Any, root: Any) -> Any:
    """What a reference such as `#/$defs/Page` leads to, `None` if to nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for part in filter(None, reference[1:].split("/")):
        key = _key_of(part)
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _key_of(part: str) -> str:
    """The key that a part of a reference stands for."""
    return unquote(part).replace("~1", "/").replace("~0", "~")


def _definitions_named(reference: Any, schema: Any) -> Iterator[Any]:
    """The definitions with the name of a reference, wherever they are."""
    if not isinstance(reference, str) or not reference.startswith(("#/$defs/", "#/definitions/")):
        return
    if isinstance(schema, Mapping):
        if (found := _target(reference, schema)) is not None:
            yield found
        for each in schema.values():
            yield from _definitions_named(reference, each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _definitions_named(reference, each)
