"""`strict: true` holds in the request, or is refused before sending with the place that forbids it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_outgoing import LI_Q, MODEL, Q, ask, langchain, llama_index

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "default": "Hanoi", "format": "uri"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "place": {"$ref": "#/$defs/Place", "description": "Where."},
        "kind": {"enum": ["a", 1]},
        "pet": {
            "oneOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}],
            "discriminator": {"propertyName": "x"},
        },
        "old": {"allOf": [{"$ref": "#/$defs/Place"}]},
    },
    "required": ["city"],
    "$defs": {"Place": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}
STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"description": "Where.", "anyOf": [{"$ref": "#/$defs/Place"}]},
        "kind": {"type": ["string", "integer"], "enum": ["a", 1]},
        "pet": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        "old": {"$ref": "#/$defs/Place"},
    },
    "required": ["city", "tags", "place", "kind", "pet", "old"],
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}


def with_schema(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool and a response format of the schema, as arguments of a call."""
    named = {"name": "f", "strict": True}
    tool = {"type": "function", "function": {**named, "parameters": schema}}
    return [
        {"tools": [tool]},
        {"response_format": {"type": "json_schema", "json_schema": {**named, "schema": schema}}},
    ]


@pytest.mark.parametrize("how", WAYS)
async def test_a_strict_schema_is_sent_as_strict_demands(
    gateway: Gateway, endpoint: Endpoint, how: str
) -> None:
    for arguments in with_schema(SCHEMA):
        await ask(how, langchain(endpoint), [Q], **arguments)
        await ask(how, llama_index(endpoint), [LI_Q], **arguments)

    assert len(gateway.requests) == 4
    for request in gateway.requests:
        body = request.body
        if "tools" in body:
            assert body["tools"][0]["function"]["parameters"] == STRICT
        else:
            assert body["response_format"]["json_schema"]["schema"] == STRICT


@pytest.mark.parametrize(
    ("schema", "place", "why"),
    [
        ({"type": "object"}, "properties.x", "members of any name"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "properties.x",
            "members of any name",
        ),
        ({}, "properties.x", "it has no type"),
        ({"type": "array", "items": {}}, "properties.x.items", "it has no type"),
        ({"type": "string", "not": {"const": "a"}}, "properties.x", "it has 'not'"),
        ({"allOf": [{"type": "string"}, {"type": "string"}]}, "properties.x", "it has 'allOf' of several"),
    ],
)
def test_what_strict_cannot_hold_is_refused_by_its_place(
    gateway: Gateway, endpoint: Endpoint, schema: dict[str, Any], place: str, why: str
) -> None:
    for arguments in with_schema({"type": "object", "properties": {"x": schema}}):
        for send in (
            lambda: langchain(endpoint).invoke([Q], **arguments),  # noqa: B023
            lambda: llama_index(endpoint).chat([LI_Q], **arguments),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=rf"'f'.*`strict` cannot hold at `{place}`.*{why}"):
                send()
    assert not gateway.requests


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "default": "a"}, "'default' is not permitted."),
        (
            {"type": "object", "properties": {}},
            "'additionalProperties' is required to be supplied and",
        ),
        ({"description": "Any."}, "schema must have a 'type' key."),
        ({"type": "string", "format": "uri"}, "'uri' is not a valid format."),
    ],
)
def test_the_stand_in_refuses_what_openai_refuses(
    gateway: Gateway, endpoint: Endpoint, schema: dict[str, Any], words: str
) -> None:
    root = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    with openai.OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0) as client:
        for arguments in with_schema(root):
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "Hi"}], **arguments
                )
            assert f"In context=('properties', 'x'), {words}" in str(caught.value)
