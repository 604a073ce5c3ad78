"""Tool results get the ids of their calls, whatever ids the history has."""

from __future__ import annotations

from typing import Any

import pytest

from texapi_core.request.history import match_tool_results


def calls(*ids_and_names: tuple[Any, str]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}
            for id_, name in ids_and_names
        ],
    }


def result(id_: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "ok", "tool_call_id": id_, **more}


def ids(messages: list[dict[str, Any]]) -> list[Any]:
    """The ids: lists for messages with calls, single ids for results."""
    return [
        [call["id"] for call in message["tool_calls"]]
        if "tool_calls" in message
        else message.get("tool_call_id")
        for message in messages
    ]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([calls(("a", "f"), ("b", "g")), result("b"), result("a")], [["a", "b"], "b", "a"]),
        (
            [calls((None, "f"), (None, "f")), result(None), result(None)],
            [["call_0_0", "call_0_1"], "call_0_0", "call_0_1"],
        ),
        ([calls(("", "f"), ("b", "g")), result("b"), result("")], [["call_0_0", "b"], "b", "call_0_0"]),
        (
            [calls((None, "f"), (None, "g")), result("g"), result("f")],
            [["call_0_0", "call_0_1"], "call_0_1", "call_0_0"],
        ),
        (
            [calls((None, "f"), (None, "g")), result(None, name="g"), result(None)],
            [["call_0_0", "call_0_1"], "call_0_1", "call_0_0"],
        ),
        ([calls(("f", "f"), ("f", "f")), result("f"), result("f")], [["f", "call_0_1"], "f", "call_0_1"]),
        (
            [calls(("0", "f")), result("0"), calls(("0", "g")), result("0")],
            [["0"], "0", ["call_2_0"], "call_2_0"],
        ),
        ([calls((None, "f")), result("z")], [["call_0_0"], "call_0_0"]),
        ([calls(("a", "f")), result("z")], [["a"], "z"]),
        ([result("a")], ["a"]),
    ],
    ids=[
        "good ids stay, in any order",
        "no ids: by order",
        "one id missing",
        "the tool's name as the result's id",
        "the tool's name beside it",
        "the tool's name as every id",
        "every turn numbered from zero",
        "a result that says something else, of the only call",
        "a result of no call is the gateway's to refuse",
        "no call at all",
    ],
)
def test_ids(messages: list[dict[str, Any]], expected: list[Any]) -> None:
    assert ids(match_tool_results(messages)) == expected


def test_a_result_with_the_legacy_role_becomes_a_tool_result() -> None:
    history = [calls((None, "f")), {"role": "function", "name": "f", "content": "ok"}]

    assert match_tool_results(history)[1] == {"role": "tool", "content": "ok", "tool_call_id": "call_0_0"}


def test_a_correct_history_is_not_changed() -> None:
    history = [
        {"role": "user", "content": "Hi"},
        calls(("a", "f")),
        result("a"),
        {"role": "function", "name": "g", "content": ""},
    ]

    assert match_tool_results(history) == history


def test_the_caller_s_messages_are_not_changed() -> None:
    history = [calls((None, "f")), result(None)]

    match_tool_results(history)

    assert history == [calls((None, "f")), result(None)]
