"""The gateway refuses what a strict provider refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import Gateway
from tests.standin.plain_http import CALL, CALLING, RESULT, TOOL, USER, send


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(gateway: Gateway) -> None:
    gateway.reset()


def call_with(**changes: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{**CALL, **changes}]}


def tool_with(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": function}


def user_with(part: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


TWO_CALLS = {**CALLING, "tool_calls": [CALL, {**CALL, "id": "c2"}]}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "model"),
    "empty model": ({"model": ""}, "model"),
    "no messages": ({"messages": None}, "messages"),
    "empty messages": ({"messages": []}, "messages"),
    "messages as text": ({"messages": "Hello"}, "messages"),
    "message as text": ({"messages": ["Hello"]}, "messages[0].role"),
    "unknown role": ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
    "user content number": (
        {"messages": [{"role": "user", "content": 1}]},
        "messages[0].content",
    ),
    "user content null": (
        {"messages": [{"role": "user", "content": None}]},
        "messages[0].content",
    ),
    "user content no part": (
        {"messages": [{"role": "user", "content": []}]},
        "messages[0].content",
    ),
    "system content object": (
        {"messages": [{"role": "system", "content": {}}, USER]},
        "messages[0].content",
    ),
    "unknown part": (
        {"messages": [user_with({"type": "video", "video": "x"})]},
        "messages[0].content[0].type",
    ),
    "image from system": (
        {
            "messages": [
                {
                    "role": "system",
                    "content": [{"type": "image_url", "image_url": {"url": "https://e.com/a"}}],
                }
            ]
        },
        "messages[0].content[0].type",
    ),
    "text part without text": (
        {"messages": [user_with({"type": "text"})]},
        "messages[0].content[0].text",
    ),
    "empty image": (
        {"messages": [user_with({"type": "image_url", "image_url": {"url": ""}})]},
        "messages[0].content[0].image_url.url",
    ),
    "image without address": (
        {"messages": [user_with({"type": "image_url", "image_url": {}})]},
        "messages[0].content[0].image_url.url",
    ),
    "audio without data": (
        {"messages": [user_with({"type": "input_audio", "input_audio": {"format": "wav"}})]},
        "messages[0].content[0].input_audio.data",
    ),
    "file without data": (
        {"messages": [user_with({"type": "file", "file": {"filename": "a.pdf"}})]},
        "messages[0].content[0].file.file_data",
    ),
    "no tools": ({"tools": []}, "tools"),
    "tools null": ({"tools": None}, "tools"),
    "tool choice null": ({"tools": [TOOL], "tool_choice": None}, "tool_choice"),
    "tool of unknown type": ({"tools": [{"type": "web"}]}, "tools[0].type"),
    "tool without name": ({"tools": [tool_with()]}, "tools[0].function.name"),
    "tool with spaces": ({"tools": [tool_with(name="a b")]}, "tools[0].function.name"),
    "parameters as text": (
        {"tools": [tool_with(name="f", parameters="x")]},
        "tools[0].function.parameters",
    ),
    "parameters null": (
        {"tools": [tool_with(name="f", parameters=None)]},
        "tools[0].function.parameters",
    ),
    "same name twice": ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
    "choice without tools": ({"tool_choice": "auto"}, "tool_choice"),
    "unknown choice": ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
    "choice of unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "tool_choice",
    ),
    "choice among unknown tools": (
        {
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [tool_with(name="g")]},
            },
        },
        "tool_choice",
    ),
    "arguments as object": (
        {"messages": [USER, call_with(function={"name": "f", "arguments": {}}), RESULT]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "arguments no JSON": (
        {"messages": [USER, call_with(function={"name": "f", "arguments": "{"}), RESULT]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "arguments as list": (
        {"messages": [USER, call_with(function={"name": "f", "arguments": "[]"}), RESULT]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "call without id": (
        {"messages": [USER, call_with(id=None), RESULT]},
        "messages[1].tool_calls[0].id",
    ),
    "call without name": (
        {"messages": [USER, call_with(function={"arguments": "{}"}), RESULT]},
        "messages[1].tool_calls[0].function.name",
    ),
    "empty calls": (
        {"messages": [USER, {"role": "assistant", "content": "x", "tool_calls": []}]},
        "messages[1].tool_calls",
    ),
    "result of nothing": ({"messages": [USER, RESULT]}, "messages[1].tool_call_id"),
    "result of another call": (
        {"messages": [USER, CALLING, {**RESULT, "tool_call_id": "c2"}]},
        "messages[2].tool_call_id",
    ),
    "result twice": ({"messages": [USER, CALLING, RESULT, RESULT]}, "messages[3].tool_call_id"),
    "call without result": ({"messages": [USER, CALLING]}, "messages"),
    "call before user": ({"messages": [USER, CALLING, USER]}, "messages[2]"),
    "result with image": (
        {
            "messages": [
                USER,
                CALLING,
                {
                    **RESULT,
                    "content": [{"type": "image_url", "image_url": {"url": "https://e.com/a"}}],
                },
            ]
        },
        "messages[2].content[0].type",
    ),
    "result as object": (
        {"messages": [USER, CALLING, {**RESULT, "content": {"a": 1}}]},
        "messages[2].content",
    ),
    "assistant without content": (
        {"messages": [USER, {"role": "assistant", "content": None}, USER]},
        "messages[1].content",
    ),
    "assistant with white space": (
        {"messages": [USER, {"role": "assistant", "content": " \n"}, USER]},
        "messages[1].content",
    ),
    "assistant with empty parts": (
        {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": ""}]}]},
        "messages[1].content",
    ),
    "white space beside calls": (
        {"messages": [USER, {**CALLING, "content": "\n"}, RESULT]},
        "messages[1].content",
    ),
    "ids twice": (
        {"messages": [USER, CALLING, RESULT, CALLING, RESULT]},
        "messages[3].tool_calls",
    ),
    "results in another order": (
        {"messages": [USER, TWO_CALLS, {**RESULT, "tool_call_id": "c2"}, RESULT]},
        "messages[2].tool_call_id",
    ),
    "result as texts": (
        {"messages": [USER, CALLING, {**RESULT, "content": [{"type": "text", "text": "x"}]}]},
        "messages[2].content",
    ),
    "name with an accent": ({"messages": [{**USER, "name": "Trợ lý"}]}, "messages[0].name"),
    "long name": ({"messages": [{**USER, "name": "a" * 65}]}, "messages[0].name"),
    "tool with a dot": ({"tools": [tool_with(name="ns.ping")]}, "tools[0].function.name"),
    "tool with a long name": ({"tools": [tool_with(name="a" * 65)]}, "tools[0].function.name"),
    "schema with brackets in its name": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "Page[int]", "schema": {}}}},
        "response_format.json_schema.name",
    ),
    "stream options alone": ({"stream_options": {"include_usage": True}}, "stream_options"),
    "stream as text": ({"stream": "yes"}, "stream"),
    "two limits": ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "tokens as text": ({"max_tokens": "9"}, "max_tokens"),
    "no choices": ({"n": 0}, "n"),
    "too hot": ({"temperature": 2.5}, "temperature"),
    "too cold": ({"temperature": -0.1}, "temperature"),
    "alternatives alone": ({"top_logprobs": 2}, "top_logprobs"),
    "stop number": ({"stop": 3}, "stop"),
    "unknown format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "format as text": ({"response_format": "json"}, "response_format.type"),
    "schema without name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(gateway: Gateway, case: str) -> None:
    changes, param = REFUSED[case]
    body = {"model": "gpt-5.2", "messages": [USER], **changes}
    for name in ("model", "messages"):
        if body[name] is None:
            del body[name]
    response = send(gateway, body)
    error = response.json["error"]
    assert (response.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert set(error) == {"type", "code", "message", "param"}
    assert error["message"]
    assert gateway.ledger[0].status == 400
    assert not gateway.ledger[0].completed


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"null"])
def test_refuses_a_body_that_is_no_object(gateway: Gateway, raw: bytes) -> None:
    assert send(gateway, raw).status == 400


@pytest.mark.parametrize("key", [None, "", "sk-wrong"])
def test_refuses_an_unknown_key(gateway: Gateway, key: str | None) -> None:
    for response in (
        send(gateway, {"model": "gpt-5.2", "messages": [USER]}, key=key),
        send(gateway, method="GET", path="/v1/models", key=key),
    ):
        error = response.json["error"]
        assert (response.status, error["type"], error["code"]) == (
            401,
            "invalid_api_key",
            "invalid_api_key",
        )


def test_refuses_an_unknown_model(gateway: Gateway) -> None:
    response = send(gateway, {"model": "gpt-1", "messages": [USER]})
    assert (response.status, response.json["error"]["type"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/chat/completions"),
        ("GET", "/"),
    ],
)
def test_refuses_unknown_paths(gateway: Gateway, method: str, path: str) -> None:
    response = send(gateway, {}, method=method, path=path)
    assert (response.status, response.json["error"]["type"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/json"


PNG, JPEG = "iVBORw0KGgoAAAANSUhEUg==", "/9j/4AAQSkZJRgABAQ=="


def function(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [tool_with(name="f", parameters=parameters)]}


def image(declared: str, data: str) -> dict[str, Any]:
    url = {"url": f"data:{declared};base64,{data}"}
    return {"messages": [user_with({"type": "image_url", "image_url": url})]}


NESTED = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "array"}}}}
SCHEMAS_AND_MEDIA: dict[str, tuple[dict[str, Any], str]] = {
    "object without properties": (function({"type": "object"}), "object schema missing properties"),
    "nested array without items": (function(NESTED), "('properties', 'a', 'items')"),
    "tuple without items": (
        function({"type": "object", "properties": {"a": {"prefixItems": [{}]}}}),
        "array schema missing items",
    ),
    "alternatives at the root": (
        function({"type": "object", "properties": {}, "anyOf": [{"required": []}]}),
        "at the top level",
    ),
    "null for a list": (function({"type": "object", "properties": {}, "required": None}), "'array'"),
    "required property that is not there": (
        function({"type": "object", "properties": {}, "required": ["a"]}),
        "property is not defined",
    ),
    "unknown type": (
        function({"type": "object", "properties": {"a": {"type": "str"}}}),
        "'str' is not valid",
    ),
    "boolean for a schema": (function({"type": "object", "properties": {"a": True}}), "True is not of type"),
    "reference to nothing": (
        function({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}),
        "was not found in the schema",
    ),
    "answer without properties": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "f", "schema": {"type": "object"}},
            }
        },
        "Invalid schema for response_format 'f'",
    ),
    "schema without type": (function({}), "'type: \"object\"'"),
    "array without items": (
        function({"type": "object", "properties": {"a": {"type": "array"}}}),
        "array schema missing items",
    ),
    "schema with its dialect": (
        function({"type": "object", "properties": {}, "$schema": "https://json-schema.org/draft-07/schema"}),
        "$schema",
    ),
    "JPEG as PNG": (
        image("image/png", JPEG),
        "image/png media type, but the image appears to be a image/jpeg",
    ),
}


@pytest.mark.parametrize("case", SCHEMAS_AND_MEDIA)
def test_refuses_schemas_and_media(gateway: Gateway, case: str) -> None:
    changes, says = SCHEMAS_AND_MEDIA[case]
    body = {"model": "gpt-5.2", "messages": [USER], **changes}

    refused = send(gateway, body)

    assert refused.status == 400
    assert says in refused.json["error"]["message"]


def test_takes_a_legal_schema_and_image(gateway: Gateway) -> None:
    body = {"model": "gpt-5.2", **function({"type": "object", "properties": {}}), **image("image/png", PNG)}

    assert send(gateway, body).status == 200
