"""Structured answers within text: between sentences, fences, reasoning and other JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel

from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import model
from tests.langchain.test_structured_output import METHODS, answer

MARKDOWN = "Run:\n```python\nprint(1)\n```"


class Code(BaseModel):
    """A piece of code."""

    code: str


class Tree(BaseModel):
    """A tree."""

    value: int
    children: list[Tree] = []


async def every_way(gateway: Gateway, structured: Any, fault: Fault) -> list[Any]:
    """The answer through invoke, stream, ainvoke and astream."""
    for _ in range(4):
        gateway.misbehave(fault)
    return [
        structured.invoke("go"),
        await structured.ainvoke("go"),
        list(structured.stream("go"))[-1],
        [part async for part in structured.astream("go")][-1],
    ]


def streamed(text: str) -> Fault:
    """The text as a stream of pieces of six characters."""
    pieces = [{"content": text[start : start + 6]} for start in range(0, len(text), 6)]
    choices: list[dict[str, Any]] = [{"delta": piece, "finish_reason": None} for piece in pieces]
    choices.append({"delta": {}, "finish_reason": "stop"})
    events = [{"id": "c", "choices": [{"index": 0, **choice}]} for choice in choices]
    raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Fault(raw=raw.encode(), content_type="text/event-stream")


@pytest.mark.parametrize("schema", [Code, Code.model_json_schema()])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (json.dumps({"code": MARKDOWN}), MARKDOWN),
        (f"```json\n{json.dumps({'code': MARKDOWN})}\n```", MARKDOWN),
        ('```python\nx = {}\n```\nAnd\n```json\n{"code": "1"}\n```', "1"),
        ('For {x} I answer {"code": "1"}', "1"),
        ('Not {"other": 2} but {"code": "1"}', "1"),
        ('<think>maybe {a}</think>{"code": "1"}', "1"),
        ('Not {"other": %s} but {"code": "1"}' % ("9" * 5000), "1"),
    ],
)
async def test_the_json_that_matches_the_schema_is_the_answer(
    gateway: Gateway, endpoint: Endpoint, schema: Any, method: Any, text: str, code: str
) -> None:
    structured = model(endpoint).with_structured_output(schema, method=method)

    for found in await every_way(gateway, structured, answer(text)):
        assert (found if isinstance(found, dict) else found.model_dump()) == {"code": code}


async def test_partial_answers_grow_while_streaming(gateway: Gateway, endpoint: Endpoint) -> None:
    structured = model(endpoint).with_structured_output(Code, method="json_schema")
    fault = streamed("For {x} I answer\n```json\n" + json.dumps({"code": MARKDOWN}) + "\n```")
    gateway.misbehave(fault)
    gateway.misbehave(fault)

    parts = list(structured.stream("go"))

    assert len(parts) > 3
    assert all(MARKDOWN.startswith(part.code.rstrip("\\")) for part in parts)
    assert parts[-1] == Code(code=MARKDOWN)
    assert [part async for part in structured.astream("go")] == parts


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "text", ['{"value": 1, "children": [{"value": 2}', '{"value": 1, "children": [{"value": 2']
)
async def test_a_part_of_a_truncated_answer_is_not_an_answer(
    gateway: Gateway, endpoint: Endpoint, method: Any, text: str
) -> None:
    structured = model(endpoint).with_structured_output(Tree, method=method)

    with pytest.raises(OutputParserException, match="raise `max_tokens`"):
        await every_way(gateway, structured, answer(text, "length"))
    gateway.reset()
    gateway.misbehave(answer(text, "length"))
    with pytest.raises(OutputParserException, match="raise `max_tokens`"):
        list(structured.stream("go"))


async def test_a_call_of_another_tool_is_named_in_the_error(gateway: Gateway, endpoint: Endpoint) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "extract", "arguments": '{"code": "1"}'}}
    structured = model(endpoint).with_structured_output(Code)

    with pytest.raises(OutputParserException, match=r'called extract with {"code": "1"} instead of Code'):
        await every_way(gateway, structured, answer(None, "tool_calls", tool_calls=[call]))
