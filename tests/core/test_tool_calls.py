"""Tool calls are assembled correctly however a gateway splits and numbers their deltas."""

from __future__ import annotations

from typing import Any

import pytest

from texapi_core.wire.fragments import tool_call_entries
from texapi_core.wire.tool_calls import ToolCall, ToolCallAssembler, read_tool_calls


def parse_tool_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    return read_tool_calls(tool_call_entries(message))


def entry(index: int | None, id_: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    found: dict[str, Any] = {"function": {key: value for key, value in function.items() if value is not None}}
    if index is not None:
        found["index"] = index
    if id_ is not None:
        found["id"] = id_
    return found


ADD = ("a", "add", '{"x": 1}')
MUL = ("b", "mul", '{"y": 2}')

SHAPES: dict[str, tuple[list[list[dict[str, Any]]], list[tuple[str, str, str]]]] = {
    "by the standard": (
        [[entry(0, "a", "add", "")], [entry(0, None, None, '{"x"')], [entry(0, None, None, ": 1}")]],
        [ADD],
    ),
    "two calls, one after the other": (
        [
            [entry(0, "a", "add", "")],
            [entry(0, None, None, '{"x": 1}')],
            [entry(1, "b", "mul", "")],
            [entry(1, None, None, '{"y": 2}')],
        ],
        [ADD, MUL],
    ),
    "two calls, interleaved": (
        [
            [entry(0, "a", "add", ""), entry(1, "b", "mul", "")],
            [entry(1, None, None, '{"y"')],
            [entry(0, None, None, '{"x"')],
            [entry(0, None, None, ": 1}"), entry(1, None, None, ": 2}")],
        ],
        [ADD, MUL],
    ),
    "two whole calls in one chunk": ([[entry(0, *ADD), entry(1, *MUL)]], [ADD, MUL]),
    "every call numbered 0": ([[entry(0, *ADD)], [entry(0, *MUL)]], [ADD, MUL]),
    "every call numbered 0, in pieces": (
        [
            [entry(0, "a", "add", "")],
            [entry(0, None, None, '{"x": 1}')],
            [entry(0, "b", "mul", "")],
            [entry(0, None, None, '{"y": 2}')],
        ],
        [ADD, MUL],
    ),
    "every call numbered 0, in one chunk": ([[entry(0, *ADD), entry(0, *MUL)]], [ADD, MUL]),
    "no index, whole": ([[entry(None, *ADD)], [entry(None, *MUL)]], [ADD, MUL]),
    "no index, in pieces": (
        [
            [entry(None, "a", "add", "")],
            [entry(None, None, None, '{"x": 1}')],
            [entry(None, "b", "mul", "")],
            [entry(None, None, None, '{"y": 2}')],
        ],
        [ADD, MUL],
    ),
    "no index, by id": (
        [
            [entry(None, "a", "add", ""), entry(None, "b", "mul", "")],
            [entry(None, "b", None, '{"y": 2}')],
            [entry(None, "a", None, '{"x": 1}')],
        ],
        [ADD, MUL],
    ),
    "no index, by position": (
        [
            [entry(None, "a", "add", ""), entry(None, "b", "mul", "")],
            [entry(None, None, None, '{"x"'), entry(None, None, None, '{"y"')],
            [entry(None, None, None, ": 1}"), entry(None, None, None, ": 2}")],
        ],
        [ADD, MUL],
    ),
    "id and name in every chunk": (
        [[entry(0, "a", "add", '{"x"')], [entry(0, "a", "add", ": 1}")], [entry(0, "a", "add", "")]],
        [ADD],
    ),
    "id new in every chunk": (
        [[entry(0, "a", "add", '{"x"')], [entry(0, "other", None, ": 1}")]],
        [ADD],
    ),
    "name in pieces": (
        [[entry(0, "a", "ad", None)], [entry(0, None, "d", None)], [entry(0, None, None, '{"x": 1}')]],
        [ADD],
    ),
    "name growing": (
        [[entry(0, "a", "ad", None)], [entry(0, None, "add", None)], [entry(0, None, None, '{"x": 1}')]],
        [ADD],
    ),
    "arguments as a dict": ([[entry(0, "a", "add", {"x": 1})]], [ADD]),
    "arguments null": (
        [[{"index": 0, "id": "a", "function": {"name": "add", "arguments": None}}]],
        [("a", "add", "")],
    ),
    "function null at first": (
        [
            [{"index": 0, "id": "a", "type": "function", "function": None}],
            [entry(0, None, "add", '{"x": 1}')],
        ],
        [ADD],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_deltas_become_the_calls_that_the_model_made(shape: str) -> None:
    chunks, expected = SHAPES[shape]
    assembler = ToolCallAssembler()
    for entries in chunks:
        assembler.feed(entries)
    assembler.finish()

    assert [(call.id, call.name, call.arguments) for call in assembler.tool_calls()] == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_emitted_deltas_add_up_to_the_calls(shape: str) -> None:
    chunks, expected = SHAPES[shape]
    assembler = ToolCallAssembler()
    added: dict[int, list[str]] = {}
    for entries in chunks:
        for delta in assembler.feed(entries):
            call = added.setdefault(delta.index, ["", "", ""])
            for place, text in enumerate((delta.id, delta.name, delta.arguments)):
                call[place] += text or ""

    assert [tuple(added[index]) for index in sorted(added)] == expected


def test_two_calls_of_the_same_tool_without_ids_stay_two() -> None:
    calls = parse_tool_calls({"tool_calls": [entry(None, None, *ADD[1:]), entry(None, None, *ADD[1:])]})

    assert [call.arguments for call in calls] == [ADD[2], ADD[2]]
    assert len({call.id for call in calls}) == 2


def test_an_id_that_two_calls_share_stays_with_the_first() -> None:
    calls = parse_tool_calls({"tool_calls": [entry(None, "a", "f", "{}"), entry(None, "a", "g", "{}")]})

    assert calls[0].id == "a"
    assert calls[1].id not in ("", "a")


def test_a_call_without_id_gets_one() -> None:
    (call,) = parse_tool_calls({"tool_calls": [entry(0, None, "f", "{}")]})

    assert call.id.startswith("call_")


def test_a_legacy_function_call_is_a_tool_call() -> None:
    (call,) = parse_tool_calls({"function_call": {"name": "add", "arguments": '{"x": 1}'}})

    assert (call.name, call.parse_arguments()) == ("add", {"x": 1})


def test_extra_fields_of_a_call_are_kept() -> None:
    signed = {**entry(0, *ADD), "extra_content": {"google": {"thought_signature": "c2ln"}}}

    (call,) = parse_tool_calls({"tool_calls": [signed]})

    assert call.as_wire()["extra_content"] == {"google": {"thought_signature": "c2ln"}}


@pytest.mark.parametrize("arguments", ['{"x": 1', "[1]", "no", '"text"', "1"])
def test_arguments_that_are_not_a_json_object_are_none(arguments: str) -> None:
    (call,) = parse_tool_calls({"tool_calls": [entry(0, "a", "f", arguments)]})

    assert call.parse_arguments() is None
    assert call.arguments == arguments


@pytest.mark.parametrize("arguments", ["", "  ", None])
def test_no_arguments_are_an_empty_dict(arguments: str | None) -> None:
    (call,) = parse_tool_calls({"tool_calls": [entry(0, "a", "f", arguments)]})

    assert call.parse_arguments() == {}


@pytest.mark.parametrize("tool_calls", [None, [], "text", [None], [1]])
def test_malformed_tool_calls_are_ignored(tool_calls: Any) -> None:
    assert parse_tool_calls({"tool_calls": tool_calls}) == ()
