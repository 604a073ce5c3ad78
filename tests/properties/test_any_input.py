"""Whatever messages and tools a framework holds: a legal request, or an error that says what is wrong."""

from __future__ import annotations

import base64
from collections import namedtuple
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from llama_index.core.base.llms.types import (
    AudioBlock,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.llms.llm import ToolSelection

from tests.gateway.check_request import check_request
from tests.gateway.refusal import Refusal
from tests.properties.line import Line
from tests.properties.strategies import examples, json_values, texts
from tests.test_outgoing_content import FILES, IMAGES, SOUNDS

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
MEDIA = [*IMAGES.values(), *SOUNDS.values(), *(file[0] for file in FILES.values())]
Record = namedtuple("Record", "id name args")

odd_values: Any = st.recursive(
    json_values
    | st.sampled_from([5, 2**70, float("nan"), (1, 2), datetime(2026, 1, 1), SimpleNamespace(a=1), b"x", {1}])
    | st.sampled_from([{(1, 2): "x"}, {1: 2}, {None: 1}, ["\ud800"]]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts | st.integers(), inner, max_size=2),
    max_leaves=4,
)
odd_names: Any = st.sampled_from(["f", "", " ", "tìm", "x" * 70, "a.b", None, 5, ["f"], {"f": 1}, ("f",)])
odd_ids: Any = st.sampled_from(["a", "b", "", None, 5, ["a"], {"a": 1}])
odd_arguments: Any = odd_values | st.sampled_from(["{}", '{"x": 1}', '{"x"', "[]", "", " "]) | texts


def _forms(id_: Any, name: Any, arguments: Any) -> list[Any]:
    """A call as the classes of other providers and frameworks leave it."""
    function = {"name": name, "arguments": arguments}
    return [
        {"id": id_, "type": "function", "function": function},
        {"id": id_, "function": SimpleNamespace(**function)},
        {"function": function, "index": 0, "extra_content": {"google": {"thought_signature": "s"}}},
        {"function": name},
        {"function_call": {"name": name, "args": arguments}},
        {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}},
        {"toolUseId": id_, "name": name, "input": arguments},
        {"type": "tool_use", "id": id_, "name": name, "input": arguments},
        {"id": id_, "name": name, "args": arguments},
        {"type": "function_call", "call_id": id_, "name": name, "arguments": arguments},
        ToolSelection.model_construct(tool_id=id_, tool_name=name, tool_kwargs=arguments),
        ToolCallBlock.model_construct(tool_call_id=id_, tool_name=name, tool_kwargs=arguments),
        SimpleNamespace(id=id_, function=SimpleNamespace(**function)),
        Record(id_, name, arguments),
        name,
    ]


calls: Any = st.builds(_forms, odd_ids, odd_names, odd_arguments).flatmap(st.sampled_from)
langchain_calls: Any = st.builds(
    lambda id_, name, args: {"id": id_, "name": name, "args": args, "type": "tool_call"},
    st.sampled_from(["a", "b", "", None]),
    st.sampled_from(["f", "", " ", "tìm", "x" * 70, "a.b"]),
    st.dictionaries(texts | st.integers() | st.just((1, 2)), odd_values, max_size=2),
)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
blocks: Any = st.lists(
    st.sampled_from(
        [
            "text",
            {"type": "text", "text": "text"},
            {"text": "text"},
            {"type": "image", "url": "https://x.example/a.png"},
            {"type": "image", "base64": base64.b64encode(PNG).decode(), "mime_type": "image/jpeg"},
            {"type": "image_url", "image_url": {"url": URL}},
            {"type": "image_url", "image_url": None},
            {"type": "image", "source": "x"},
            {"type": "file", "file": "x"},
            {"type": "audio", "base64": "UklGRl9fX19XQVZF", "mime_type": "audio/mp3"},
            {"type": "input_audio", "input_audio": "x"},
            {"type": "video", "url": "https://x.example/a.mp4"},
            {"type": "json", "json": {"a": [1]}},
            {
                "type": "search_result",
                "title": "t",
                "source": "s",
                "content": [{"type": "text", "text": "x"}],
            },
            {"type": "custom_tool_call_output", "output": "x"},
            {"type": "tool_result", "tool_use_id": "a", "content": {"rows": [1, 2]}},
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "x"}, {"a": 1}]},
            {"type": "tool_use", "id": "a", "name": "f", "input": "x"},
            {"id": 1, "name": "a row"},
            {"type": 5},
            {"type": "text", "text": None},
            {"type": "text", "text": 5},
            {"type": "text", "text": "x", "extras": "x"},
        ]
    ),
    max_size=3,
)
kwargs: Any = st.fixed_dictionaries(
    {},
    optional={
        "tool_calls": st.lists(calls, max_size=2) | calls | odd_values,
        "function_call": odd_values
        | st.builds(lambda n, a: {"name": n, "arguments": a}, odd_names, odd_arguments),
        "tool_call_id": odd_ids,
        "name": odd_names,
        "refusal": odd_values,
        "images": odd_values,
        "generated_images": odd_values,
        "audio": odd_values,
        "content_parts": odd_values,
        "reasoning_content": texts | odd_values,
        "reasoning_details": odd_values,
        "cache_control": odd_values,
        "tool_call_extras": odd_values,
        "whatever": odd_values,
    },
)
roles: Any = st.sampled_from(
    [
        "user",
        "human",
        "assistant",
        "ai",
        "tool",
        "function",
        "system",
        "developer",
        "model",
        "critic",
        "",
        "AI",
    ]
)
content: Any = texts | blocks
people: Any = st.sampled_from([None, "", "an", "Trợ lý", "x" * 70])


def built(message_class: Callable[..., Any], **fields: Any) -> Any:
    """Messages; `None` where the framework's own validators refuse one."""

    def build(given: dict[str, Any]) -> Any:
        try:
            return message_class(**given)
        except (ValueError, TypeError, AttributeError, KeyError):
            return None

    return st.fixed_dictionaries(fields).map(build)


langchain_messages: Any = st.one_of(
    built(HumanMessage, content=content, name=people, additional_kwargs=kwargs),
    built(SystemMessage, content=content, name=people, additional_kwargs=kwargs),
    built(
        AIMessage,
        content=content,
        name=people,
        tool_calls=st.lists(langchain_calls, max_size=2),
        additional_kwargs=kwargs,
    ),
    built(ToolMessage, content=content, name=people, tool_call_id=st.sampled_from(["a", "b", ""])),
    built(FunctionMessage, content=content, name=st.sampled_from(["f", "", "tìm"])),
    built(ChatMessage, content=content, role=roles, name=people, additional_kwargs=kwargs),
)
llama_blocks: Any = st.lists(
    st.sampled_from(
        [
            TextBlock(text="text"),
            TextBlock(text=" "),
            ImageBlock(url="https://x.example/a.png"),
            ImageBlock(image=PNG, image_mimetype="image/jpeg"),
            ImageBlock(),
            AudioBlock(audio=b"RIFF____WAVE", format="mp3"),
            VideoBlock(url="https://x.example/a.mp4"),
            VideoBlock(video=b"....ftypisom"),
            DocumentBlock(data=b"%PDF-1.7"),
            DocumentBlock(data=b"a,b"),
            CitableBlock(title="t", source="s", content=[TextBlock(text="x"), ImageBlock(url=URL)]),
            ThinkingBlock(content="Hm."),
            ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={}),
            ToolCallBlock(tool_call_id=None, tool_name="", tool_kwargs="x"),
        ]
    ),
    max_size=3,
)
llama_messages: Any = built(
    LlamaMessage, role=st.sampled_from(list(MessageRole)), blocks=llama_blocks, additional_kwargs=kwargs
)

_ERRORS_OF_INPUT = (ValueError, TypeError)
"""A settings error of this package is a ValueError too."""
Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def send(line: Line) -> Send:
    """Sends messages with parameters, and returns the request."""
    requests: list[Any] = []

    def answer(body: Any) -> Sequence[bytes]:
        requests.append(body)
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    def send(ask: Callable[..., Any], messages: Sequence[Any], **options: Any) -> dict[str, Any]:
        line.answer = answer
        ask(messages, **options)
        found: dict[str, Any] = requests.pop()
        return found

    return send


def check_or_refused(send: Send, ask: Callable[..., Any], messages: Sequence[Any], **options: Any) -> None:
    """The request is legal, or was refused in words of this package."""
    try:
        body = send(ask, messages, **options)
    except _ERRORS_OF_INPUT as error:
        if "Nothing was sent" not in str(error) and "Unsupported" not in str(error):
            raise
        return
    try:
        check_request(body, (body["model"],))
    except Refusal as refusal:
        pytest.fail(f"{refusal} {body}")


def conversations(strategy: Any) -> Any:
    return st.lists(strategy, min_size=1, max_size=4).map(lambda found: [each for each in found if each])


@examples
@given(conversations(langchain_messages))
def test_any_messages_of_langchain(send: Send, line: Line, messages: list[Any]) -> None:
    check_or_refused(send, line.chat_texapi.invoke, [*messages, HumanMessage("And now?")])


@examples
@given(conversations(llama_messages))
def test_any_messages_of_llama_index(send: Send, line: Line, messages: list[Any]) -> None:
    check_or_refused(send, line.texapi.chat, [*messages, LlamaMessage("And now?")])


schemas: Any = odd_values | st.sampled_from([{"type": "object"}, {}, None])
not_dicts: Any = odd_values.filter(lambda value: not isinstance(value, dict) or not value)
tools: Any = st.one_of(
    not_dicts,
    st.builds(
        lambda n, p: {"type": "function", "function": {"name": n, "parameters": p}}, odd_names, schemas
    ),
    st.builds(lambda n, p: {"name": n, "input_schema": p}, odd_names, schemas),
    st.builds(lambda n: {"type": "function", "function": {"name": n}}, odd_names),
    st.builds(lambda n: {"type": "function", "function": n}, odd_names),
)


@examples
@given(tools=st.lists(tools, min_size=1, max_size=2))
@pytest.mark.parametrize("how", ["call", "bound"])
def test_any_tools(send: Send, line: Line, how: str, tools: list[Any]) -> None:
    chat, llm = line.chat_texapi, line.texapi
    if how == "call":
        check_or_refused(send, chat.invoke, [HumanMessage("Hi")], tools=tools)
        check_or_refused(send, llm.chat, [LlamaMessage("Hi")], tools=tools)
    else:
        check_or_refused(send, lambda messages: chat.bind_tools(tools).invoke(messages), [HumanMessage("Hi")])
        check_or_refused(
            send, lambda messages: llm.chat_with_tools(tools, chat_history=messages), [LlamaMessage("Hi")]
        )


LABELS: Any = st.sampled_from(
    [
        *("image/png", "image/jpeg", "IMAGE/JPG", "audio/mpeg", "audio/wav", "video/mp4", "application/pdf"),
        *("text/csv", "text/plain; charset=utf-8", "application/octet-stream", "x", "", None),
    ]
)
ENDINGS: Any = st.sampled_from([None, "a", "a.png", "a.pdf", "a.csv", "tên.docx", ".pdf", "a b.xyz"])
CONTENTS: Any = st.sampled_from(MEDIA) | st.binary(min_size=1, max_size=60)


def _langchain_media(kind: str, content: bytes, label: str | None, name: str | None) -> list[Any]:
    data = base64.b64encode(content).decode()
    url = f"data:{label or ''};base64,{data}"
    return [
        {"type": kind, "base64": data, "mime_type": label, "filename": name},
        {"type": kind, "source_type": "base64", "data": data, "mime_type": label},
        {"type": kind, "source": {"type": "base64", "data": data, "media_type": label}},
        {"type": kind, "url": url, "mime_type": label},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "file", "file": {"file_data": url, "filename": name}},
        {"type": "input_audio", "input_audio": {"data": data, "format": str(label).rpartition("/")[2]}},
    ]


def _llama_media(content: bytes, label: str | None, name: str | None) -> list[Any]:
    return [
        ImageBlock(image=content, image_mimetype=label),
        AudioBlock(audio=content, format=label),
        VideoBlock(video=content, video_mimetype=label),
        DocumentBlock(data=content, document_mimetype=label, title=name),
    ]


@examples
@given(
    kind=st.sampled_from(["image", "audio", "video", "file", "document"]),
    content=CONTENTS,
    label=LABELS,
    name=ENDINGS,
    at=st.integers(0, 100),
    role=st.sampled_from(["user", "tool", "system", "assistant"]),
)
def test_any_bytes_of_any_label(
    send: Send, line: Line, kind: str, content: bytes, label: str | None, name: str | None, at: int, role: str
) -> None:
    blocks = _langchain_media(kind, content, label, name)
    said = ChatMessage(content=[blocks[at % len(blocks)]], role=role, additional_kwargs={"tool_call_id": "a"})
    check_or_refused(send, line.chat_texapi.invoke, [said, HumanMessage("And now?")])

    llama = _llama_media(content, label, name)
    message = LlamaMessage(role=role, blocks=[llama[at % 4]], additional_kwargs={"tool_call_id": "a"})
    check_or_refused(send, line.texapi.chat, [message, LlamaMessage("And now?")])
