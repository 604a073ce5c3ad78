"""Any JSON schema of an object, and anything like one, is sent as a schema that every provider takes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.check_schemas import check_schema
from tests.properties.strategies import examples, json_values
from texapi_core.request.schemas import legal_schema

NAMES = st.sampled_from(["a", "b", "type", "properties", "$schema", "tên", "items"])
TYPES: Any = st.sampled_from(
    ["string", "integer", "array", "object", "null", "OBJECT", "str", "list", "any", "", None, 1]
)
REFERENCES = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#/definitions/a", "#/$defs/missing", "other.json", "#/properties/a", 3]
)
_KEYWORDS = [
    *("type", "properties", "items", "required", "enum", "anyOf", "oneOf", "allOf", "prefixItems"),
    *("$defs", "definitions", "$ref", "$schema", "$id", "title", "description", "default", "not"),
    *("additionalProperties", "const", "format", "if", "patternProperties", "minimum", "maximum"),
    *("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems"),
    *("maxItems", "minProperties", "uniqueItems", "deprecated", "readOnly", "examples", "$anchor"),
    *("dependentRequired", "dependencies", "contentEncoding", "contentSchema"),
]


def _schema(inner: Any) -> Any:
    maps, lists = st.dictionaries(NAMES, inner, max_size=3), st.lists(inner, max_size=3)
    values = {
        "type": TYPES | st.lists(TYPES, max_size=3),
        "items": inner | lists,
        "required": st.lists(NAMES, max_size=3) | st.booleans(),
        "enum": st.lists(json_values, max_size=2),
        "$ref": REFERENCES,
        **dict.fromkeys(("properties", "$defs", "definitions", "patternProperties"), maps),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), lists),
        **dict.fromkeys(("not", "additionalProperties", "if"), inner),
    }
    known = {name: values.get(name, json_values) for name in _KEYWORDS}
    return st.lists(st.sampled_from(_KEYWORDS), max_size=5, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: known[name] | st.none() for name in names})
    )


schemas: Any = st.recursive(st.booleans() | st.none() | st.just({}), _schema, max_leaves=12)
objects: Any = _schema(schemas).map(lambda schema: {**schema, "type": "object"})


@examples
@given(objects)
def test_any_schema_is_sent_as_a_legal_one(schema: dict[str, Any]) -> None:
    given = copy.deepcopy(schema)

    legal = legal_schema(schema, "x")

    check_schema(legal, "function 'x'")
    assert json.dumps(schema) == json.dumps(given), "the schema of the caller was changed"
    assert legal_schema(legal, "y") is legal


def test_an_exclusive_bound_of_draft_4_is_one_of_today() -> None:
    """As FastAPI's and zod's schemas for OpenAPI 3.0 have it; other values of another type are left out."""
    number = {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "multipleOf": "2"}

    legal = legal_schema({"type": "object", "properties": {"n": number}}, "x")

    assert legal["properties"]["n"] == {"type": "integer", "maximum": 9, "exclusiveMinimum": 0}


def test_a_default_that_json_does_not_hold_is_left_out() -> None:
    """As a function with `most: float = inf` has it."""
    most = {"type": "number", "default": float("inf"), "maximum": float("inf")}

    legal = legal_schema({"type": "object", "properties": {"most": most}}, "x")

    assert legal["properties"]["most"] == {"type": "number"}


@examples
@given(schemas)
def test_what_is_no_object_is_refused_by_name(schema: Any) -> None:
    """Without a type, or with `properties`, it is taken as an object."""
    try:
        legal = legal_schema(schema, "`parameters` of the tool 'x'")
    except ValueError as error:
        refusal = str(error)
    else:
        check_schema(legal, "function 'x'")
        return
    assert refusal.startswith("`parameters` of the tool 'x' must be")


LEGAL: list[dict[str, Any]] = [
    {"type": "object", "properties": {}},
    {"properties": {"a": {"type": "object"}}, "type": "object", "required": []},
    {"type": "object", "properties": {"a": {"default": None, "title": "A"}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {"type": ["array", "null"], "items": {}}}},
    {"$defs": {"N": {"properties": {"n": {"$ref": "#/$defs/N"}}, "type": "object"}}, "type": "object"}
    | {"properties": {"n": {"$ref": "#/$defs/N", "description": "The next."}}},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
    {"type": "object", "properties": {"a": {"oneOf": [{"const": 1}, {"enum": [None]}]}}},
]


@pytest.mark.parametrize("schema", LEGAL)
def test_a_legal_schema_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    assert legal_schema(schema, "x") is schema
    assert legal_schema(dict(schema), "x") == schema


def test_a_schema_that_refers_to_itself_is_read_once() -> None:
    again = [{"$ref": "#/$defs/A"}] * 4
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": again, "properties": {"a": {}}}}}

    assert legal_schema(schema, "x")["properties"] == {"a": {}}
