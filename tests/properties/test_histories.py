"""Any history that a framework can hold is sent as one that every provider takes, with nothing lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from tests.gateway.check_messages import check_messages
from tests.gateway.check_tools import check_kinds
from tests.properties.line import Line
from tests.properties.strategies import examples, texts
from texapi_core.request.history import mend_history
from texapi_core.request.names import legal_name, with_legal_names

IMAGE = "https://images.example/a.png"
PEOPLE = st.sampled_from([None, None, "an", "Trợ lý", "Tro ly", "助手", "帮手", "x" * 70])
TOOLS = st.sampled_from(["f", "g", "ns.ping", "tìm kiếm", "y" * 70])


@dataclass(frozen=True)
class Said:
    """One message of a history, in the terms of neither framework."""

    role: str
    text: str
    name: str | None = None
    image: bool = False
    reasoning: str = ""
    calls: tuple[tuple[str | None, str], ...] = ()
    answers: str | None = None


@st.composite
def conversations(draw: st.DrawFn, *, ids_repeat: bool) -> list[Said]:
    """A legal history: texts are unique, so that each can be found in the request."""
    said: list[Said] = []

    def unique(kind: str) -> str:
        return f"{kind}{len(said)}! {draw(texts)}"

    for turn in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            said.append(Said("system", unique("system")))
        said.append(Said("user", unique("user"), draw(PEOPLE), image=draw(st.booleans())))
        for step in range(draw(st.integers(0, 2))):
            number = draw(st.integers(1, 3))
            ids = [f"call_{at}" if ids_repeat else f"call_{turn}{step}{at}" for at in range(number)]
            calls = tuple((id_, draw(TOOLS)) for id_ in ids)
            text = draw(st.sampled_from(["", unique("thought")]))
            said.append(Said("assistant", text, reasoning=draw(st.sampled_from(["", "Hm."])), calls=calls))
            for id_ in ids:
                said.append(Said("tool", unique("result"), answers=id_, image=draw(st.booleans())))
        said.append(Said("assistant", unique("answer"), draw(PEOPLE), reasoning=draw(st.just("Hm.") | texts)))
    said.append(Said("user", unique("user")))
    return said


ODD = st.sampled_from([":0", "|fc_1", " ", "ệ", "助手", "z" * 40])
"""What makes the id of a call illegal."""


def _with_odd_ids(said: Said, odd: str) -> Said:
    calls = tuple((id_ and id_ + odd, name) for id_, name in said.calls)
    return replace(said, calls=calls, answers=said.answers and said.answers + odd)


BLANK = st.sampled_from(["", " ", "\n\u3000"])


@st.composite
def deformed(draw: st.DrawFn) -> list[Said]:
    """A legal history after any deletions, duplications, moves and cuts."""
    said = draw(conversations(ids_repeat=draw(st.booleans())))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(said) - 1))
        kind = draw(
            st.sampled_from(
                ["delete", "duplicate", "move", "cut", "trim", "blank", "shuffle", "no id", "odd ids"]
            )
        )
        if kind == "delete":
            said = said[:at] + said[at + 1 :]
        elif kind == "duplicate":
            said.insert(draw(st.integers(0, len(said))), said[at])
        elif kind == "move":
            moved = said.pop(at)
            said.insert(draw(st.integers(0, len(said))), moved)
        elif kind == "cut":
            said = said[: at + 1]
        elif kind == "trim":
            said = said[at:]
        elif kind == "blank":
            said.insert(at, Said("assistant", draw(BLANK), draw(PEOPLE)))
        elif kind == "shuffle":
            said = draw(st.permutations(said))
        elif kind == "odd ids":
            odd = draw(ODD)
            said = [_with_odd_ids(each, odd) for each in said]
        elif said[at].calls:
            without_ids = tuple((None, name) for _, name in said[at].calls)
            said[at] = Said("assistant", said[at].text, calls=without_ids)
        assume(said)
    return said


def langchain(said: Said) -> Any:
    content: Any = said.text
    if said.image:
        content = [{"type": "text", "text": said.text}, {"type": "image", "url": IMAGE}]
    if said.role == "system":
        return SystemMessage(content)
    if said.role == "user":
        return HumanMessage(content, name=said.name)
    if said.role == "tool":
        return ToolMessage(content, tool_call_id=said.answers)
    calls: Any = [{"name": name, "args": {}, "id": id_} for id_, name in said.calls]
    kwargs = {"reasoning_content": said.reasoning} if said.reasoning else {}
    return AIMessage(content, tool_calls=calls, name=said.name, additional_kwargs=kwargs)


def llama_index(said: Said) -> Any:
    blocks: list[Any] = [ThinkingBlock(content=said.reasoning)] if said.reasoning else []
    blocks.append(TextBlock(text=said.text))
    if said.image:
        blocks.append(ImageBlock(url=IMAGE))
    blocks += [ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs={}) for id_, name in said.calls]
    kwargs: dict[str, Any] = {"name": said.name} if said.name else {}
    if said.role == "tool":
        kwargs["tool_call_id"] = said.answers
    return ChatMessage(role=said.role, blocks=blocks, additional_kwargs=kwargs)


Send = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module", params=["LangChain", "LlamaIndex"])
def send(request: pytest.FixtureRequest, line: Line) -> Send:
    """Sends a history and returns the messages of the request."""
    requests: list[Any] = []

    def answer(body: Any) -> Sequence[bytes]:
        requests.append(body)
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    def send(said_so_far: Sequence[Said], **options: Any) -> list[dict[str, Any]]:
        line.answer = answer
        if request.param == "LangChain":
            messages = [langchain(said) for said in said_so_far]
            given = copy.deepcopy(messages)
            line.chat_texapi.invoke(messages, **options)
        else:
            messages = [llama_index(said) for said in said_so_far]
            given = copy.deepcopy(messages)
            line.texapi.chat(messages, **options)
        assert messages == given
        found: list[dict[str, Any]] = requests.pop()["messages"]
        return found

    return send


def says_anything(history: Sequence[Said]) -> bool:
    """Whether a history holds more than answers that say nothing: such a one is refused before it is sent."""
    return any(said.role != "assistant" or said.text.strip() or said.calls for said in history)


def is_prefix(start: list[Any], whole: list[Any]) -> bool:
    return json.dumps(whole[: len(start)]) == json.dumps(start)


@examples
@given(history=deformed())
def test_what_is_sent_is_legal_and_whole(send: Send, history: list[Said]) -> None:
    assume(says_anything(history))

    sent = send(history)

    check_messages(sent)
    text = json.dumps(sent, ensure_ascii=False)
    for said in history:
        if said.role != "assistant" or said.text.strip():
            assert json.dumps(said.text, ensure_ascii=False)[1:-1] in text
    assert sum(said.image for said in history) == text.count(IMAGE)
    assert mend_history(sent) == with_legal_names(sent) == sent


@examples
@given(history=deformed(), data=st.data())
def test_each_turn_is_a_prefix_of_the_next(send: Send, history: list[Said], data: st.DataObject) -> None:
    """A request was sent before each answer that does not continue another one."""
    ends = [
        end
        for end in range(1, len(history) + 1)
        if (
            end == len(history) or (history[end].role == "assistant" and history[end - 1].role != "assistant")
        )
        and says_anything(history[:end])
    ]
    assume(ends)
    end = data.draw(st.sampled_from(ends))

    assert is_prefix(send(history[:end]), send([*history, Said("user", "And now?")]))


@examples
@given(history=deformed(), name=TOOLS)
def test_calls_of_a_custom_tool_are_legal_too(send: Send, history: list[Said], name: str) -> None:
    assume(says_anything(history))

    sent = send(history, tools=[{"type": "custom", "name": name}])

    check_messages(sent)
    tool = {"type": "custom", "custom": {"name": legal_name(name)}}
    check_kinds({"messages": sent, "tools": [tool]})


@examples
@given(history=conversations(ids_repeat=False))
def test_a_legal_history_is_sent_as_it_is(send: Send, history: list[Said]) -> None:
    assert json.dumps(send(history)) == json.dumps(send(history, history="as_is"))
