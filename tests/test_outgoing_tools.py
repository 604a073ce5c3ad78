"""Tools that no provider takes are named before anything is sent; calls of unknown tools are noted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call
from tests.test_outgoing import LI_Q, Q, ask, langchain, llama_index
from texapi_core.request.schemas import legal_schema

ILLEGAL_TOOLS: dict[str, tuple[list[Any], str]] = {
    "no name": ([{"type": "function", "function": {"name": ""}}], r"`tools\[0\]` needs a name, not ''"),
    "a name of blanks": ([{"type": "function", "function": {"name": " "}}], r"`tools\[0\]` needs a name"),
    "a number for a name": (
        [{"type": "function", "function": {"name": 5}}],
        r"`tools\[0\]` needs a name, not 5",
    ),
    "no function": ([{"type": "function"}], r"`function` of `tools\[0\]`"),
    "nothing": ([{}], r"`tools\[0\]` needs a `type`"),
    "one name for two": (
        [{"type": "function", "function": {"name": "f", "description": str(n)}} for n in range(2)],
        r"`tools\[1\]` has the name of another: 'f'",
    ),
}


@pytest.mark.parametrize("case", ILLEGAL_TOOLS)
def test_a_tool_that_no_provider_takes_is_named(gateway: Gateway, endpoint: Endpoint, case: str) -> None:
    tools, error = ILLEGAL_TOOLS[case]

    with pytest.raises(ValueError, match=error):
        langchain(endpoint).invoke([Q], tools=tools)
    with pytest.raises(ValueError, match=error):
        llama_index(endpoint).chat([LI_Q], tools=tools)
    assert gateway.requests == []


def test_an_object_that_is_no_tool_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match=r"`tools\[0\]` must be a tool or a dict, not SimpleNamespace"):
        llama_index(endpoint).chat_with_tools([SimpleNamespace(name="f")], "Hi")  # type: ignore[list-item]


def test_the_same_tool_twice_is_sent_once(gateway: Gateway, endpoint: Endpoint) -> None:
    tool = {"type": "function", "function": {"name": "f"}}

    langchain(endpoint).invoke([Q], tools=[tool, dict(tool)])

    assert gateway.requests[0].body["tools"] == [tool]


# Calls of tools that were not given


@pytest.mark.parametrize("how", WAYS)
async def test_a_call_of_an_unknown_tool_is_noted(gateway: Gateway, endpoint: Endpoint, how: str) -> None:
    """By the same name in both frameworks, whole and streamed."""
    tool = {"type": "function", "function": {"name": "ns.ping"}}
    for calls, noted in [
        ([Call("ns_ping", {}), Call("pong", {})], ["pong"]),
        ([Call("ns_ping", {})], None),
    ]:
        gateway.answer(calls)
        answer = await ask(how, langchain(endpoint), [Q], tools=[tool])
        gateway.answer(calls)
        response = await ask(how, llama_index(endpoint), [LI_Q], tools=[tool])

        assert answer.response_metadata.get("unknown_tools") == noted
        assert response.additional_kwargs.get("unknown_tools") == noted


def test_beside_a_provider_s_own_tool_no_call_is_unknown(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer([Call("search", {})])

    answer = langchain(endpoint).invoke([Q], tools=[{"google_search": {}}])

    assert "unknown_tools" not in answer.response_metadata


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def holding_itself() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["x"] = schema
    return schema


@pytest.mark.parametrize("schema", [nested(2000), holding_itself()], ids=["deep", "holding itself"])
def test_a_schema_that_holds_itself_is_refused_by_the_name_of_the_tool(
    gateway: Gateway, endpoint: Endpoint, schema: dict[str, Any]
) -> None:
    function = {"name": "f", "description": "d", "parameters": schema}
    tool = {"type": "function", "function": function}
    strict = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema, "strict": True}}
    model, llm = langchain(endpoint), llama_index(endpoint)
    calls: list[Callable[[], Any]] = [
        lambda: model.bind_tools([tool]),
        lambda: model.bind_tools([function], strict=True),
        lambda: model.invoke("Hi", tools=[tool]),
        lambda: model.invoke("Hi", response_format=strict),
        lambda: model.with_structured_output({**schema, "title": "f"}),
        lambda: model.with_structured_output({**schema, "title": "f"}, method="json_schema"),
        lambda: llm.chat([LI_Q], tools=[tool]),
        lambda: llm.chat([LI_Q], response_format=strict),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"'f' is nested too deeply, or holds itself"):
            call()
    assert not gateway.requests


def test_a_reference_with_escapes_leads_to_its_definition() -> None:
    """In a definition that is moved to the root, too."""
    inner = {
        "type": "object",
        "properties": {"q": {"$ref": "#/$defs/a%20b/properties/z"}, "r": {"$ref": "#/$defs/a%20b"}},
        "$defs": {"a b": {"type": "object", "properties": {"z": {"type": "string"}}}},
    }

    legal = legal_schema({"type": "object", "properties": {"x": inner}}, "`parameters`")

    assert legal["properties"]["x"] == inner
    assert legal["$defs"] == inner["$defs"]
