"""Where the marks for a provider's prompt cache go."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from texapi_core.request.payload import build_payload
from texapi_core.request.prompt_cache import CachePrompts

MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
SYSTEM = {"role": "system", "content": "Be kind."}
ASK = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi"}
AGAIN = {"role": "user", "content": "Who are you?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "done", "tool_call_id": "c1"}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("e", "f")]
IMAGE = {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}}


def text(content: str, mark: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": content, **mark}


def built(
    messages: list[Any], cache_prompts: CachePrompts = True, *extra_bodies: Any, **parameters: Any
) -> dict[str, Any]:
    members = {"model": "m", **parameters}
    return build_payload(members, messages, *extra_bodies, cache_prompts=cache_prompts)[0]


def marked(payload: dict[str, Any]) -> list[str]:
    """The places with a mark, in short."""
    found = [f"tool {at}" for at, tool in enumerate(payload.get("tools", ())) if "cache_control" in tool]
    for at, message in enumerate(payload["messages"]):
        if any("cache_control" in part for part in message["content"] or () if isinstance(part, dict)):
            found.append(f"message {at}")
    return found


@pytest.mark.parametrize(
    ("messages", "tools", "places"),
    [
        pytest.param([SYSTEM, ASK], [], ["message 0"], id="one request with instructions"),
        pytest.param([ASK], [], ["message 0"], id="one request of one message"),
        pytest.param([SYSTEM, ASK], TOOLS, ["tool 1", "message 0", "message 1"], id="an agent's start"),
        pytest.param([ASK], TOOLS, ["tool 1", "message 0"], id="an agent without instructions"),
        pytest.param([ASK, ANSWER, AGAIN], [], ["message 0", "message 2"], id="a chat"),
        pytest.param(
            [SYSTEM, ASK, ANSWER, AGAIN], [], ["message 0", "message 1", "message 3"], id="a chat of one"
        ),
        pytest.param(
            [SYSTEM, ASK, CALLING, RESULT],
            TOOLS,
            ["tool 1", "message 0", "message 1", "message 3"],
            id="an agent's second turn",
        ),
        pytest.param(
            [SYSTEM, SYSTEM, ASK, ANSWER, AGAIN, ANSWER],
            [],
            ["message 1", "message 4"],
            id="an answer that is to be continued has no mark",
        ),
    ],
)
def test_places(messages: list[Any], tools: list[Any], places: list[str]) -> None:
    given = copy.deepcopy((messages, tools))

    assert marked(built(messages, tools=tools)) == places
    assert (messages, tools) == given


def test_a_string_becomes_one_part_only_where_a_mark_is() -> None:
    payload = built([SYSTEM, ASK, ANSWER, AGAIN, ANSWER, ASK], tools=TOOLS)

    assert payload["messages"] == [
        {"role": "system", "content": [text("Be kind.", MARK)]},
        ASK,
        ANSWER,
        {"role": "user", "content": [text("Who are you?", MARK)]},
        ANSWER,
        {"role": "user", "content": [text("Hello", MARK)]},
    ]
    assert payload["tools"] == [TOOLS[0], {**TOOLS[1], **MARK}]


@pytest.mark.parametrize(("lifetime", "mark"), [("1h", HOUR), (True, MARK)])
def test_the_lifetime_is_in_each_mark(lifetime: CachePrompts, mark: dict[str, Any]) -> None:
    payload = built([SYSTEM, ASK], lifetime, tools=TOOLS)

    assert payload["tools"][1] == {**TOOLS[1], **mark}
    assert [message["content"] for message in payload["messages"]] == [
        [text("Be kind.", mark)],
        [text("Hello", mark)],
    ]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ([text("a", {}), IMAGE], [text("a", {}), {**IMAGE, **MARK}]),
        ([IMAGE, text(" ", {})], [{**IMAGE, **MARK}]),
    ],
)
def test_the_mark_is_on_the_last_part_that_is_sent(content: Any, parts: Any) -> None:
    assert built([{"role": "user", "content": content}])["messages"][0]["content"] == parts


def test_a_message_without_text_is_passed_over() -> None:
    payload = built([SYSTEM, ASK, CALLING, {**RESULT, "content": ""}])

    assert marked(payload) == ["message 0", "message 1"]


# Marks of the user


@pytest.mark.parametrize(
    ("messages", "tools", "places"),
    [
        pytest.param(
            [{"role": "user", "content": [text("a long document", MARK), text("a question", {})]}],
            [],
            ["message 0"],
            id="a document that is marked",
        ),
        pytest.param(
            [SYSTEM, {"role": "user", "content": [text("a", MARK), text("b", {})]}, ANSWER, AGAIN],
            [{**TOOLS[0], **MARK}, TOOLS[1]],
            ["tool 0", "message 0", "message 1", "message 3"],
            id="other places are marked still",
        ),
        pytest.param(
            [{"role": "user", "content": [text(each, MARK) for each in "abcd"]}, ANSWER, AGAIN],
            TOOLS,
            ["message 0"],
            id="four are the most",
        ),
    ],
)
def test_marks_of_the_user_stay_and_count(messages: list[Any], tools: list[Any], places: list[str]) -> None:
    payload = built(messages, tools=tools)

    assert marked(payload) == places
    for before, after in zip(messages, payload["messages"], strict=True):
        if isinstance(before["content"], list):
            assert after == before


def test_the_end_is_the_provider_s_where_it_marks_that_by_itself() -> None:
    payload = built([SYSTEM, ASK, ANSWER, AGAIN], True, {"cache_control": {"type": "ephemeral"}})

    assert marked(payload) == ["message 0"]


def test_lifetimes_never_grow() -> None:
    """Claude refuses a mark of an hour after one of five minutes."""
    document = {"role": "user", "content": [text("a", MARK)]}
    an_hour = {"role": "user", "content": [text("a", HOUR)]}

    after = built([SYSTEM, document, ANSWER, AGAIN], "1h")["messages"]
    before = built([SYSTEM, an_hour, ANSWER, AGAIN])["messages"]

    assert after[0]["content"] == [text("Be kind.", HOUR)]
    assert after[3]["content"] == [text("Who are you?", MARK)]
    assert before[0] == SYSTEM
    assert before[3]["content"] == [text("Who are you?", MARK)]


def test_messages_of_an_extra_body_are_sent_as_they_are() -> None:
    payload = built([SYSTEM, ASK], True, {"messages": [SYSTEM]}, tools=TOOLS)

    assert payload["messages"] == [SYSTEM]
    assert payload["tools"] == TOOLS


# A key


def test_a_key_is_that_of_the_start() -> None:
    first = built([SYSTEM, ASK], "key", tools=TOOLS)
    later = built([SYSTEM, AGAIN, CALLING, RESULT], "key", tools=TOOLS)
    other = built([{**SYSTEM, "content": "Be rude."}, ASK], "key", tools=TOOLS)

    assert first["prompt_cache_key"] == "texapi-e030e2f811fa3ca8675633a79e72cec9"
    assert later["prompt_cache_key"] == first["prompt_cache_key"] != other["prompt_cache_key"]
    assert marked(first) == []


def test_a_key_without_instructions_is_that_of_the_first_content() -> None:
    document = {"type": "text", "text": "A long document"}
    ask = [{"role": "user", "content": [document, {"type": "text", "text": each}]} for each in ("a", "b")]

    assert built(ask[:1], "key")["prompt_cache_key"] == built(ask[1:], "key")["prompt_cache_key"]
    assert built([ASK], "key")["prompt_cache_key"] != built([AGAIN], "key")["prompt_cache_key"]


def test_a_key_of_the_user_wins() -> None:
    assert built([ASK], "key", prompt_cache_key="mine")["prompt_cache_key"] == "mine"
