"""Whatever an answer holds, the next request is the same wherever the application kept the message.

Whole or streamed, in LangChain or LlamaIndex: through checkpoints, memories, chat stores, dumps and pickles.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import MemorySaver
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import SimpleChatStore
from sqlalchemy.ext.asyncio import create_async_engine

from tests.properties.line import Line
from tests.properties.strategies import arguments, examples, json_values, names, some_text, texts
from texapi_core.wire.reasoning import DETAIL_FIELDS, REASONING_FIELDS

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_IMAGES = st.sampled_from(["https://example.com/a.png", f"data:image/png;base64,{_PNG}", "data:image/png,x"])
_huge = st.integers(min_value=2**64) | st.integers(max_value=-(2**63) - 1)
_unknown = st.dictionaries(some_text, json_values | _huge | st.floats(), min_size=1, max_size=2)


@st.composite
def _images(draw: st.DrawFn) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": draw(_IMAGES)}}


@st.composite
def _sounds(draw: st.DrawFn) -> dict[str, Any]:
    expires_at = draw(st.sampled_from([1, int(time.time()) + 10**6]))
    sound = {
        "id": "audio_1",
        "data": draw(st.sampled_from(["UklGRiQAAABXQVZF", "AAAA"])),
        "transcript": draw(some_text),
    }
    return {**sound, "expires_at": expires_at}


@st.composite
def _annotations(draw: st.DrawFn) -> dict[str, Any]:
    cited = {"url": "https://example.com/", "title": draw(texts), "start_index": 0, "end_index": draw(_ends)}
    flat = draw(st.booleans())
    return {"type": "url_citation", **(cited if flat else {"url_citation": cited})}


_ends = st.integers(0, 40)


@st.composite
def _calls(draw: st.DrawFn, position: int) -> dict[str, Any]:
    function: dict[str, Any] = {"name": draw(names), "arguments": json.dumps(draw(arguments))}
    if draw(st.booleans()):
        function["provider_specific_fields"] = draw(_unknown)
    call = {"id": f"call_{position}", "type": "function", "function": function}
    return {**call, "extra_content": draw(_unknown)} if draw(st.booleans()) else call


@st.composite
def _messages(draw: st.DrawFn) -> dict[str, Any]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "images": st.lists(_images(), min_size=1, max_size=2),
        "audio": _sounds(),
        "annotations": st.lists(_annotations(), min_size=1, max_size=2),
        "extra_content": _unknown,
        "reasoning_content": some_text,
        "reasoning": some_text,
        "reasoning_details": st.lists(
            st.fixed_dictionaries(
                {"type": st.just("reasoning.text"), "text": some_text, "signature": some_text}
            ),
            min_size=1,
            max_size=1,
        ),
        "thinking_blocks": st.lists(
            st.fixed_dictionaries({"type": st.just("thinking"), "thinking": some_text, "signature": texts}),
            min_size=1,
            max_size=1,
        ),
        "novel_member": json_values | _huge,
        "signed_member": st.fixed_dictionaries({"signatures": st.lists(some_text, min_size=1)}),
    }
    message: dict[str, Any] = {"role": "assistant", "content": draw(texts)}
    for name, values in optional.items():
        if draw(st.integers(0, 2)) == 0:
            message[name] = draw(values)
    if count := draw(st.integers(0, 2)):
        message["tool_calls"] = [draw(_calls(position)) for position in range(count)]
    if draw(st.integers(0, 2)) == 0:
        thoughts = draw(st.lists(_thoughts(is_signed=draw(st.booleans())), max_size=2))
        message["content"] = [*thoughts, {"type": "text", "text": draw(some_text)}, draw(_images())]
    return message


@st.composite
def _thoughts(draw: st.DrawFn, is_signed: bool) -> dict[str, Any]:
    """Reasoning in a content: Claude's has signatures, Mistral's none.

    A stream has no border between a part without a signature and one with it.
    """
    if not is_signed:
        return {"type": "thinking", "thinking": draw(some_text)}
    if draw(st.integers(0, 3)) == 0:
        return {"type": "redacted_thinking", "data": draw(some_text)}
    return {"type": "thinking", "thinking": draw(some_text), "signature": draw(some_text)}


def _document(message: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c1", "created": 1, "model": "m", "choices": [choice]}).encode()


def _events(message: dict[str, Any]) -> bytes:
    """The message as a stream: reasoning in one chunk, other members one by one, text in two pieces."""
    reasoning = {name: value for name, value in message.items() if name in REASONING_FIELDS}
    deltas: list[dict[str, Any]] = [{"role": "assistant", **reasoning}]
    for name, value in message.items():
        if name == "content" and isinstance(value, str):
            deltas += [{name: value[:3]}, {name: value[3:]}]
        elif name == "content":
            deltas += [{name: [piece]} for part in value for piece in _pieces(part)]
        elif name == "tool_calls":
            deltas += [{name: [{**call, "index": index}]} for index, call in enumerate(value)]
        elif name != "role" and name not in REASONING_FIELDS:
            deltas.append({name: value})
    chunks = [{"id": "c1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _pieces(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part as a stream sends it: of reasoning, the text in two pieces, then its signature."""
    if part["type"] != "thinking" or "signature" not in part:
        yield part
        return
    text = part["thinking"]
    yield {"type": "thinking", "thinking": text[:3]}
    yield {"type": "thinking", "thinking": text[3:]}
    yield {"type": "thinking", "signature": part["signature"]}


def _checkpointed(message: BaseMessage) -> Any:
    saver = MemorySaver()
    config: Any = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_versions"] = {"messages": 1}
    checkpoint["channel_values"] = {"messages": [message]}
    saver.put(config, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {"messages": 1})
    restored = saver.get_tuple(config)
    assert restored is not None
    return restored.checkpoint["channel_values"]["messages"][0]


def _whole_from_chunk(message: BaseMessage) -> AIMessage:
    fields = {name: value for name, value in message if name in AIMessage.model_fields and name != "type"}
    return AIMessage(**fields) if isinstance(message, AIMessageChunk) else message  # type: ignore[return-value]


LANGCHAIN_STORES: dict[str, Callable[[BaseMessage], Any]] = {
    "checkpoint": _checkpointed,
    "dumps": lambda message: loads(dumps(message), allowed_objects="messages"),
    "JSON": lambda message: type(message).model_validate_json(message.model_dump_json()),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)),
    "message of a chunk": _whole_from_chunk,
}


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("version", ["v0", "v1"])
@examples
@given(message=_messages())
def test_langchain(line: Line, version: str, message: dict[str, Any]) -> None:
    model = line.chat_texapi.model_copy(update={"output_version": version})
    line.send(_document(message))
    whole = model.invoke("Hello")
    line.send(_events(message))
    streamed = reduce(add, model.stream("Hello"))
    line.send(_document({"content": "ok"}))

    def sent(answer: Any) -> Any:
        results = [ToolMessage("done", tool_call_id=call["id"]) for call in answer.tool_calls]
        history = [HumanMessage("Hello"), answer, *results, HumanMessage("Again")]
        return _request(line, lambda: model.invoke(history))

    expected = sent(whole)
    assert sent(streamed) == expected
    for name, through in LANGCHAIN_STORES.items():
        for kind, answer in {"whole": whole, "streamed": streamed}.items():
            assert sent(through(answer)) == expected, (name, kind)
    _check_once(expected, message)


def _through_buffer(message: ChatMessage) -> ChatMessage:
    memory = ChatMemoryBuffer.from_defaults(token_limit=10**9)
    memory.put(message)
    return ChatMemoryBuffer.from_string(memory.to_string()).get_all()[0]


def _through_store(message: ChatMessage) -> ChatMessage:
    store = SimpleChatStore()
    store.add_message("user", message)
    return SimpleChatStore.model_validate_json(store.model_dump_json()).get_messages("user")[0]


def _works(through: Callable[[ChatMessage], ChatMessage]) -> bool:
    """Whether LlamaIndex can save a message so: 0.14.17 fails on a URL, 0.14.25 with pydantic 2.14 on any."""
    try:
        through(ChatMessage(blocks=[ImageBlock(url="https://example.com/a.png")]))
    except (TypeError, ValueError):
        return False
    return True


_STORES = {
    "JSON": lambda message: ChatMessage.model_validate_json(message.model_dump_json()),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)),
    **({"ChatMemoryBuffer": _through_buffer} if _works(_through_buffer) else {}),
    **({"SimpleChatStore": _through_store} if _works(_through_store) else {}),
}


@pytest.fixture(scope="module")
def through_memory(line: Line) -> Iterator[Callable[[ChatMessage], ChatMessage]]:
    """LlamaIndex's `Memory`, which keeps messages as JSON in a database."""
    engine = create_async_engine("sqlite+aiosqlite://")
    memory = Memory.from_defaults(session_id="user", token_limit=10**9, async_engine=engine)

    async def through(message: ChatMessage) -> ChatMessage:
        await memory.aput(message)
        return (await memory.aget_all())[-1]

    yield lambda message: line.run(through(message))
    line.run(engine.dispose())


@examples
@given(message=_messages())
def test_llama_index(
    line: Line, through_memory: Callable[[ChatMessage], ChatMessage], message: dict[str, Any]
) -> None:
    llm = line.texapi
    line.send(_document(message))
    whole = llm.chat([ChatMessage("Hello")]).message
    line.send(_events(message))
    *_, last = llm.stream_chat([ChatMessage("Hello")])
    line.send(_document({"content": "ok"}))

    def sent(answer: ChatMessage) -> Any:
        calls = [block for block in answer.blocks if isinstance(block, ToolCallBlock)]
        results = [
            ChatMessage("done", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": call.tool_call_id})
            for call in calls
        ]
        history = [ChatMessage("Hello"), answer, *results, ChatMessage("Again")]
        return _request(line, lambda: llm.chat(history))

    expected = sent(whole)
    assert sent(last.message) == expected
    for name, through in {**_STORES, "Memory": through_memory}.items():
        for kind, answer in {"whole": whole, "streamed": last.message}.items():
            assert sent(through(answer)) == expected, (name, kind)
    _check_once(expected, message)


def _request(line: Line, ask: Callable[[], Any]) -> Any:
    seen = []
    answer = line.answer

    def note(request: Any) -> Any:
        seen.append(request["messages"])
        return answer(request)

    line.answer = note
    try:
        ask()
    finally:
        line.answer = answer
    (messages,) = seen
    return messages


def _check_once(messages: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Each image once, the sound once in one of its forms, the members of the calls unchanged."""
    parts = [part for each in messages if isinstance(each["content"], list) for part in each["content"]]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    inside = message["content"][-1:] if isinstance(message["content"], list) else []
    generated = [image["image_url"]["url"] for image in [*message.get("images", []), *inside]]
    in_base64 = {"data:image/png,x": "data:image/png;base64,eA=="}
    assert sorted(urls) == sorted({in_base64.get(url, url) for url in generated})
    answers = [each for each in messages if each["role"] == "assistant"]
    if audio := message.get("audio"):
        by_id = [each for each in answers if each.get("audio") == {"id": audio["id"]}]
        assert len(by_id) + sum(part["type"] == "input_audio" for part in parts) <= 1
        if not by_id and audio["data"] == "UklGRiQAAABXQVZF":
            assert any(part["type"] == "input_audio" for part in parts)
    if not answers:  # an answer that says nothing is left out
        parts = message["content"] if isinstance(message["content"], list) else []
        assert not "".join(part.get("text", "") for part in parts).strip()
        assert message.keys().isdisjoint({"images", "audio", "extra_content", "tool_calls", "signed_member"})
        return
    assert answers[0].get("signed_member") == message.get("signed_member")
    if "tool_calls" in message and message.keys().isdisjoint(DETAIL_FIELDS):
        thoughts = message["content"][:-2] if isinstance(message["content"], list) else []
        signed = [each for each in thoughts if "signature" in each or "data" in each]
        assert answers[0].get("thinking_blocks", []) == signed
    for sent, call in zip(answers[0].get("tool_calls", []), message.get("tool_calls", []), strict=True):
        assert sent.keys() == call.keys()
        assert sent["function"].keys() == call["function"].keys()
    assert ("extra_content" in message) == ("extra_content" in answers[0])
