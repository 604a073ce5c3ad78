"""Answers whose root is no object: the same by every method, whole and streamed, in both frameworks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, RootModel, TypeAdapter

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core.adapter_base.roots import wrapped_class


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class People(RootModel[list[Person]]):
    """Everybody in the text."""


class Kind(RootModel[str | int]):
    pass


class Color(Enum):
    RED = "red"
    BLUE = "blue"


ANN, BOB = {"name": "Ann", "age": 3}, {"name": "Bob", "age": 4}
CASES: dict[str, tuple[Any, Any]] = {
    "list": (People, [ANN, BOB]),
    "no name": (RootModel[list[Person]], [ANN, BOB]),
    "empty list": (People, []),
    "union": (Kind, "ba"),
    "list without a class": (list[Person], [ANN, BOB]),
    "list of texts": (list[str], ["a", "b"]),
    "text or none": (str | None, "ba"),
    "literal": (Literal["a", "b"], "b"),
    "enum": (Color, "red"),
}


def _fault(answer: Any, tool: str | None, is_streamed: bool) -> Fault:
    message: dict[str, Any] = {"role": "assistant", "content": None if tool else json.dumps(answer)}
    if tool:
        function = {"name": tool, "arguments": json.dumps(answer)}
        message["tool_calls"] = [{"index": 0, "id": "c", "type": "function", "function": function}]
    choice = {"index": 0, "delta" if is_streamed else "message": message, "finish_reason": "stop"}
    event = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()
    if is_streamed:
        return Fault(raw=event, content_type="text/event-stream")
    return Fault(body={"choices": [choice]})


def _sent_schema(gateway: Gateway) -> dict[str, Any]:
    body = gateway.requests[-1].body
    if tools := body.get("tools"):
        return dict(tools[0]["function"]["parameters"])
    return dict(body["response_format"]["json_schema"]["schema"])


def _invoke(runnable: Any) -> Any:
    return runnable.invoke("Who?")


def _ainvoke(runnable: Any) -> Any:
    return asyncio.run(runnable.ainvoke("Who?"))


def _stream(runnable: Any) -> Any:
    return list(runnable.stream("Who?"))[-1]


def _astream(runnable: Any) -> Any:
    async def last() -> Any:
        return [answer async for answer in runnable.astream("Who?")][-1]

    return asyncio.run(last())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", [_invoke, _ainvoke, _stream, _astream])
@pytest.mark.parametrize(
    ("method", "is_wrapped"),
    [
        ("function_calling", True),
        ("json_schema", True),
        ("json_schema", False),
        ("json_mode", True),
        ("json_mode", False),
    ],
)
def test_langchain(
    gateway: Gateway,
    endpoint: Endpoint,
    case: str,
    way: Callable[[Any], Any],
    method: Any,
    is_wrapped: bool,
) -> None:
    """Models that nothing forces leave the object around the answer out."""
    schema, root = CASES[case]
    tool = wrapped_class(schema).__name__ if method == "function_calling" else None
    answer = {"answer": root} if is_wrapped else root
    gateway.misbehave(_fault(answer, tool, way in (_stream, _astream)))
    model = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2"))

    found = way(model.with_structured_output(schema, method=method))

    assert found == TypeAdapter(schema).validate_python(root)
    if method != "json_mode":
        assert _sent_schema(gateway)["type"] == "object"
        assert list(_sent_schema(gateway)["properties"]) == ["answer"]


@pytest.mark.parametrize("way", [_invoke, _stream])
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_a_json_schema_with_a_list_at_its_root(
    gateway: Gateway, endpoint: Endpoint, way: Callable[[Any], Any], method: Any
) -> None:
    schema = {"title": "Names", "type": "array", "items": {"type": "string"}}
    tool = "Names" if method == "function_calling" else None
    gateway.misbehave(_fault({"answer": ["Ann"]}, tool, way is _stream))
    model = ChatTexAPI(**endpoint.for_langchain(model="gpt-5.2"))

    assert way(model.with_structured_output(schema, method=method)) == ["Ann"]
    assert _sent_schema(gateway)["type"] == "object"


PROMPT = PromptTemplate("Who?")


def _predict(llm: TexAPI, schema: Any) -> Any:
    return llm.structured_predict(schema, PROMPT)


def _apredict(llm: TexAPI, schema: Any) -> Any:
    return asyncio.run(llm.astructured_predict(schema, PROMPT))


def _stream_predict(llm: TexAPI, schema: Any) -> Any:
    return list(llm.stream_structured_predict(schema, PROMPT))[-1]


def _astream_predict(llm: TexAPI, schema: Any) -> Any:
    async def last() -> Any:
        return [answer async for answer in await llm.astream_structured_predict(schema, PROMPT)][-1]

    return asyncio.run(last())


def _structured_llm(llm: TexAPI, schema: Any) -> Any:
    return llm.as_structured_llm(schema).chat([ChatMessage("Who?")]).raw


def _streamed_structured_llm(llm: TexAPI, schema: Any) -> Any:
    return list(llm.as_structured_llm(schema).stream_chat([ChatMessage("Who?")]))[-1].raw


STREAMED = (_stream_predict, _astream_predict, _streamed_structured_llm)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", [_predict, _apredict, _structured_llm, *STREAMED])
def test_llama_index(
    gateway: Gateway, endpoint: Endpoint, case: str, way: Callable[[TexAPI, Any], Any], by_schema: bool
) -> None:
    schema, root = CASES[case]
    tool = None if by_schema else wrapped_class(schema).__name__
    gateway.misbehave(_fault({"answer": root}, tool, way in STREAMED))
    settings = endpoint.for_llama_index(model="gpt-5.2", should_use_structured_outputs=by_schema)

    found = way(TexAPI(**settings), schema)

    expected = TypeAdapter(schema).validate_python(root)
    if isinstance(found, RootModel) and not isinstance(expected, RootModel):
        assert way not in (_predict, _apredict)  # LlamaIndex's streams and `StructuredLLM` want a class
        found = found.root
    assert found == expected
    assert list(_sent_schema(gateway)["properties"]) == ["answer"]


def test_a_root_that_is_an_object_is_sent_as_it_is() -> None:
    for schema in (RootModel[Person], RootModel[dict[str, int]], Person):
        assert wrapped_class(schema) is schema


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        ({"enum": ["a", "b"]}, "b"),
        ({"const": 1, "title": "one"}, 1),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}, [1]),
        ({"type": ["string", "null"]}, None),
    ],
)
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_a_schema_of_values_without_one_type_is_wrapped(
    gateway: Gateway, endpoint: Endpoint, method: Any, schema: dict[str, Any], root: Any
) -> None:
    tool = schema.get("title", "answer") if method == "function_calling" else None
    gateway.misbehave(_fault({"answer": root}, tool, is_streamed=False))
    model = ChatTexAPI(**endpoint.for_langchain(model="claude-sonnet-4-6"))

    assert _invoke(model.with_structured_output(schema, method=method)) in (root, {"answer": root})
    assert list(_sent_schema(gateway)["properties"]) == ["answer"]


@pytest.mark.parametrize("schema", [dict[str, int], dict])
def test_a_dict_is_an_answer(gateway: Gateway, endpoint: Endpoint, schema: Any) -> None:
    model = ChatTexAPI(**endpoint.for_langchain(model="claude-sonnet-4-6"))
    llm = TexAPI(**endpoint.for_llama_index(model="claude-sonnet-4-6", should_use_structured_outputs=True))
    ways: list[Callable[[], Any]] = [
        lambda: _invoke(model.with_structured_output(schema, method="json_schema")),
        lambda: llm.structured_predict(schema, PromptTemplate("Who?")),
    ]
    for ask in ways:
        gateway.misbehave(_fault({"answer": {"a": 1}}, None, is_streamed=False))
        assert ask() == {"a": 1}
