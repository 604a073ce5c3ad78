"""A digest of each of many requests of both frameworks, for processes with different hash seeds."""

import enum
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from tests.properties.line import Line

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Place(BaseModel):
    """A place."""

    city: str
    kinds: set[str] = {"port", "capital", "village", "market"}
    colors: frozenset[Color] = frozenset(Color)


class Order(BaseModel):
    """An order of a customer."""

    place: Place | None = None
    to: Place
    notes: dict[str, list[int | str]] = Field(default_factory=dict, examples=[{"a": [1]}])
    speed: Literal["slow", "fast", "free"] = "free"
    home: Place = Place(city="Huế")
    groups: list[frozenset[str]] = [frozenset({"aa", "bb", "cc", "dd"})]
    maybe: set[str] | None = {"aa", "bb", "cc"}


class Parcel(BaseModel):
    """A parcel: what `strict` can hold, which no members of any name are."""

    to: Place
    speed: Literal["slow", "fast", "free"] = "free"
    groups: list[frozenset[str]] = [frozenset({"aa", "bb", "cc", "dd"})]
    maybe: set[str] | None = {"aa", "bb", "cc"}


@dataclass
class Stop:
    """A stop of a trip."""

    tags: set[str]


class Trip(TypedDict):
    """A trip."""

    start: str
    end: str


def find(place: Place, tags: set[str], speed: Literal["a", "b"] = "a") -> str:
    """Find a place."""
    return f"{place}{tags}{speed}"


MCP: dict[str, Any] = {
    "name": "tìm kiếm",
    "description": "Search.",
    "inputSchema": {
        "$defs": {"a": {"type": "string"}, "b": {"type": "array"}},
        "properties": {"q": {"$ref": "#/$defs/a"}, "more": {"$ref": "#/$defs/b"}},
        "anyOf": [{"required": ["q"]}, {"required": ["more"]}],
    },
}
ARGUMENTS: Any = {"tags": {"a", "b", "c", "d"}, "place": {"city": "Huế"}, "thing": object()}
ARGUMENTS |= {"home": Place(city="Huế"), "stop": Stop({"aa", "bb", "cc", "dd"})}


def conversation() -> list[Any]:
    """LangChain's messages, with what is mended, moved and wrapped."""
    block = {"type": "image", "base64": PIXEL, "mime_type": "image/jpeg"}
    return [
        SystemMessage("Be kind."),
        HumanMessage([{"type": "text", "text": "Look"}, block], name="Chị Hoa"),
        AIMessage(
            "",
            tool_calls=[
                {"name": "find", "args": ARGUMENTS, "id": "c1"},
                {"name": "tìm kiếm", "args": {"q": "a"}, "id": ""},
            ],
            additional_kwargs={"reasoning_content": "Hm.", "reasoning_details": [{"type": "t", "text": "x"}]},
        ),
        ToolMessage([{"type": "text", "text": "Found"}, block], tool_call_id="c1"),
        HumanMessage("And now?"),
    ]


def llama_conversation() -> list[ChatMessage]:
    """The like in LlamaIndex."""
    image = ImageBlock(image=PIXEL.encode(), image_mimetype="image/jpeg")
    return [
        ChatMessage("Be kind.", role="system"),
        ChatMessage(role="user", blocks=[TextBlock(text="Look"), image]),
        ChatMessage(
            role="assistant",
            blocks=[
                ThinkingBlock(content="Hm."),
                ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs=ARGUMENTS),
                ToolCallBlock(tool_call_id=None, tool_name="tìm kiếm", tool_kwargs={"q": "a"}),
            ],
        ),
        ChatMessage(
            role="tool", blocks=[TextBlock(text="Found"), image], additional_kwargs={"tool_call_id": "c1"}
        ),
        ChatMessage("And now?", role="user"),
    ]


def requests() -> Iterator[Any]:
    """The bodies of requests: tools and schemas in every form, whole and streamed."""
    line, found = Line(), []

    def answer(body: Any) -> Sequence[bytes]:
        found.append(body)
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    line.answer = answer
    chat = line.chat_texapi
    for model in (
        chat,
        chat.bind_tools([tool(find), Order, Trip, MCP], parallel_tool_calls=False),
        chat.bind_tools([MCP, find], tool_choice="any", cache_prompts="1h"),
        chat.bind(response_format=Order, cache_prompts="key", logit_bias={5: 1, 1: 2}, stop=["b", "a"]),
        chat.bind(extra_body={"provider": {"order": ["a", "b"]}}, verbosity="low"),
    ):
        model.invoke(conversation())
    for structured in (
        chat.with_structured_output(Parcel, include_raw=True, strict=True),
        chat.with_structured_output(Order, include_raw=True, method="json_schema"),
        chat.with_structured_output(Order, include_raw=True, method="json_mode"),
    ):
        structured.invoke(conversation())
    llm = line.texapi
    llm.chat(llama_conversation(), cache_prompts=True)
    tools: list[Any] = [FunctionTool.from_defaults(find)]
    llm.chat_with_tools(tools, chat_history=llama_conversation())
    llm.chat(llama_conversation(), tools=[MCP], response_format={"type": "json_object"})
    with suppress(ValueError):  # the answer is no object
        FunctionCallingProgram.from_defaults(Order, llm=llm, prompt_template_str="{a}")(a="x")
    line.close()
    yield from found


def digests() -> list[str]:
    """A digest of each request's body."""
    return [sha256(json.dumps(body).encode()).hexdigest() for body in requests()]
