"""With `cache_prompts` any history is sent with marks that Claude takes, and otherwise as without it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.gateway.check_cache_marks import check_cache_marks
from tests.properties.strategies import examples
from tests.properties.test_histories import Said, Send, deformed, says_anything, send
from texapi_core.request.payload import build_payload

__all__ = ["send"]

LIFETIMES = st.sampled_from([True, "5m", "1h"])
MARKS = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])


def unmarked(messages: Sequence[Any]) -> list[Any]:
    """The messages without marks, and with a string where one text is the only part."""
    plain = []
    for message in messages:
        content = message["content"]
        if isinstance(content, list):
            content = [{name: part[name] for name in part if name != "cache_control"} for part in content]
            if len(content) == 1 and content[0].keys() == {"type", "text"}:
                content = content[0]["text"]
        plain.append({**message, "content": content})
    return plain


@examples
@given(history=deformed(), lifetime=LIFETIMES)
def test_only_marks_are_added(send: Send, history: list[Said], lifetime: Any) -> None:
    assume(says_anything(history))

    sent = send(history, cache_prompts=lifetime)

    check_cache_marks({"messages": sent})
    assert json.dumps(unmarked(sent)) == json.dumps(unmarked(send(history)))


@examples
@given(history=deformed(), lifetime=LIFETIMES)
def test_each_turn_is_a_prefix_of_the_next(send: Send, history: list[Said], lifetime: Any) -> None:
    assume(says_anything(history) and history[-1].role == "user")

    first = send(history, cache_prompts=lifetime)
    second = send([*history, Said("assistant", "So."), Said("user", "And now?")], cache_prompts=lifetime)

    assert json.dumps(unmarked(second)[: len(first)]) == json.dumps(unmarked(first))


@st.composite
def marked_requests(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Messages and tools with up to four marks of a user, as Claude takes them."""
    marks = draw(st.lists(MARKS, max_size=4))
    marks.sort(key=lambda mark: mark.get("ttl", ""), reverse=True)
    names = [f"tool{at}" for at in range(draw(st.integers(0, 3)))]
    tools: list[Any] = [{"type": "function", "function": {"name": name}} for name in names]
    messages: list[Any] = []
    for at in range(draw(st.integers(1, 8))):
        role = draw(st.sampled_from(["system", "user", "assistant"])) if at else "user"
        texts = draw(st.lists(st.sampled_from(["", " ", "a", "b"]), min_size=1, max_size=3))
        messages.append({"role": role, "content": [{"type": "text", "text": text} for text in texts]})
    if draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": "Be kind."}]})
    places = [*tools, *(part for message in messages for part in message["content"] if part["text"].strip())]
    chosen = draw(st.sets(st.integers(0, len(places) - 1), max_size=len(marks))) if places else set()
    for at, mark in zip(sorted(chosen), marks, strict=False):
        places[at]["cache_control"] = mark
    return messages, tools


@examples
@given(request=marked_requests(), lifetime=LIFETIMES)
def test_marks_of_the_user_are_kept_and_the_whole_is_legal(
    request: tuple[list[Any], list[Any]], lifetime: Any
) -> None:
    messages, tools = request
    given_ = json.dumps(request)
    check_cache_marks({"messages": messages, "tools": tools})

    built, _ = build_payload(
        {"model": "m", "tools": tools}, messages, history="as_is", cache_prompts=lifetime
    )

    check_cache_marks(built)
    assert json.dumps(request) == given_
    for before, after in zip([*tools, *messages], [*built.get("tools", ()), *built["messages"]], strict=True):
        if "cache_control" in json.dumps(before):
            assert after == without_blank_texts(before)


def without_blank_texts(holder: dict[str, Any]) -> dict[str, Any]:
    """A tool, or a message without its blank texts, which are not sent beside others."""
    if "content" not in holder:
        return holder
    return {**holder, "content": [part for part in holder["content"] if part["text"].strip()]}
