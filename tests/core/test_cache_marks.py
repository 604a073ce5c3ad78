"""Marks for the prompt cache that a user set are sent as Claude takes them, or refused by their place."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.check_cache_marks import check_cache_marks
from tests.properties.strategies import examples
from tests.test_outgoing import langchain, llama_index
from texapi_core.request.payload import build_payload

MARK = {"type": "ephemeral"}
FIVE, HOUR = {**MARK, "ttl": "5m"}, {**MARK, "ttl": "1h"}
ILLEGAL: list[Any] = [
    *(True, "ephemeral", {"type": "x"}, {"ttl": "5m"}),
    *({**MARK, "ttl": "24h"}, {**MARK, "ttl": 5}),
]


def text(words: str, mark: Any = None) -> dict[str, Any]:
    part = {"type": "text", "text": words}
    return {**part, "cache_control": mark} if mark is not None else part


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


def built(messages: list[Any], **parameters: Any) -> dict[str, Any]:
    given_ = copy.deepcopy((messages, parameters))
    payload, _ = build_payload({"model": "m", **parameters}, messages)
    assert (messages, parameters) == given_
    return payload


def marks(payload: dict[str, Any]) -> list[tuple[str, Any]]:
    """The texts that have marks, with the marks."""
    return [
        (part["text"], part["cache_control"])
        for each in payload["messages"]
        if isinstance(each["content"], list)
        for part in each["content"]
        if "cache_control" in part
    ]


def test_of_many_marks_the_start_and_the_last_stay() -> None:
    turns = [message("user", text(str(at), MARK)) for at in range(5)]
    tools = [{"type": "function", "function": {"name": "f"}, "cache_control": MARK}]

    payload = built([message("system", text("Be kind.", MARK)), *turns], tools=tools)

    assert [words for words, _ in marks(payload)] == ["Be kind.", "2", "3", "4"]
    assert "cache_control" not in payload["tools"][0]
    assert payload["messages"][1]["content"] == "0"


def test_a_mark_of_the_whole_request_counts() -> None:
    turns = [message("user", text(str(at), MARK)) for at in range(4)]

    payload = built(turns, cache_control=MARK)

    assert [words for words, _ in marks(payload)] == ["1", "2", "3"]
    assert payload["cache_control"] == MARK


def test_a_blank_text_has_no_mark() -> None:
    payload = built([message("user", text(" ", MARK), text("a", {}))])

    assert payload["messages"] == [{"role": "user", "content": "a"}]


def test_a_longer_lifetime_after_a_shorter_one_is_shortened() -> None:
    payload = built([message("user", text("a", HOUR), text("b", MARK), text("c", HOUR), text("d", FIVE))])

    assert marks(payload) == [("a", HOUR), ("b", MARK), ("c", FIVE), ("d", FIVE)]


def test_what_was_mended_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "texapi"):
        built([message("user", text(" ", MARK), text("b", MARK), text("c", HOUR))])

    (line,) = caplog.messages
    assert "mark on a blank text (1), lifetime longer than one before it (1)" in line


def test_legal_marks_are_sent_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    messages = [message("system", text("a", HOUR)), message("user", text("b", FIVE), text("c", MARK))]

    assert built(messages)["messages"] == messages
    assert caplog.messages == []


@pytest.mark.parametrize("mark", ILLEGAL, ids=repr)
def test_what_is_no_mark_is_refused_by_its_place(gateway: Gateway, endpoint: Endpoint, mark: Any) -> None:
    with pytest.raises(ValueError, match=r"`cache_control` of message 1 .*ephemeral"):
        langchain(endpoint).invoke([SystemMessage("Be kind."), HumanMessage([text("a", mark)])])
    kwargs = {"cache_control": mark}
    with pytest.raises(ValueError, match=r"`cache_control` of .*ephemeral"):
        llama_index(endpoint).chat([ChatMessage("a", additional_kwargs=kwargs)])
    tool = {"type": "function", "function": {"name": "f"}, **kwargs}
    with pytest.raises(ValueError, match=r"`cache_control` of `tools\[0\]`"):
        langchain(endpoint).invoke("a", tools=[tool])
    assert not gateway.requests


def test_both_frameworks_send_five_marks_as_four(gateway: Gateway, endpoint: Endpoint) -> None:
    texts = ["a", "b", " ", "c", "d", "e"]
    given_: list[Any] = [HumanMessage([text(each, HOUR if each == "d" else MARK)]) for each in texts]
    langchain(endpoint).invoke([*given_, AIMessage("So."), HumanMessage("And now?")])
    of_langchain = gateway.requests[-1].body["messages"]
    points = [
        ChatMessage(
            role="user",
            blocks=[
                TextBlock(text=each),
                CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h" if each == "d" else "5m")),
            ],
        )
        for each in texts
    ]
    llama_index(endpoint).chat([*points, ChatMessage("So.", role="assistant"), ChatMessage("And now?")])

    assert [words for words, _ in marks({"messages": of_langchain})] == ["b", "c", "d", "e"]
    assert [words for words, _ in marks(gateway.requests[-1].body)] == ["b", "c", "d", "e"]
    assert gateway.requests[-1].body["messages"][0] == of_langchain[0] == {"role": "user", "content": "a"}


any_marks = st.sampled_from([None, {}, MARK, FIVE, HOUR, *ILLEGAL])


@examples
@given(
    messages=st.lists(
        st.builds(
            lambda role, parts: message(role, *parts),
            st.sampled_from(["system", "user", "assistant"]),
            st.lists(st.builds(text, st.sampled_from(["a", " ", ""]), any_marks), min_size=1, max_size=3),
        ),
        max_size=6,
    ),
    on_tools=st.lists(any_marks, max_size=3),
    on_all=any_marks,
    cache_prompts=st.sampled_from([False, True, "1h"]),
)
def test_any_marks_give_a_legal_request_or_an_error(
    messages: list[Any], on_tools: list[Any], on_all: Any, cache_prompts: Any
) -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{at}"}, "cache_control": mark}
        for at, mark in enumerate(on_tools)
    ]
    asked = [*messages, message("user", text("a"))]
    try:
        payload, _ = build_payload(
            {"model": "m", "tools": tools, "cache_control": on_all}, asked, cache_prompts=cache_prompts
        )
    except ValueError:
        given_ = [*on_tools, on_all, *(part.get("cache_control") for m in asked for part in m["content"])]
        assert any(mark in ILLEGAL for mark in given_)
    else:
        check_cache_marks(payload)
