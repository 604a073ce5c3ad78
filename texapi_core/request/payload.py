"""Builds payloads that strict providers accept; both adapters use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from texapi_core.request.history import History, attached_to_result, mend_history
from texapi_core.request.media import with_legal_media
from texapi_core.request.names import with_legal_names, with_legal_schema_name, with_legal_tool_names
from texapi_core.request.tools import legal_tools, with_legal_response_schema

ReplayReasoning = Literal["auto", "always", "never"]
"""When earlier reasoning is sent back: `auto` is for messages with tool calls, in which DeepSeek, Claude and
Gemini need it; other messages with reasoning may be refused."""
ToolMedia = Literal["user_message", "tool_message"]
"""Where images and files of a tool result or an earlier answer go: a user message after it, or in place."""

WireMessage = dict[str, Any]
Part = dict[str, Any]
MessageWithMedia = tuple[WireMessage, list[Part]]
"""A message, and the images and files of it that follow in a user message."""

_ATTACHED_TO_ANSWER = "Attached to the assistant's message:"
_TEXT_PART = {"type", "text"}


def build_payload(
    parameters: Mapping[str, Any],
    messages: Sequence[WireMessage],
    *extra_bodies: Mapping[str, Any] | None,
    stream_usage: bool = False,
    history: History = "mend",
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The JSON of one request, and the names of tools in it -> their own names where these are illegal.

    `None` values are left out; later `extra_bodies` override earlier members. The history is mended, unless
    it is to be sent `as_is`; names of people, tools and schemas are made legal, and text alone is a string.

    Members without effect are left out too, since strict providers refuse them: empty `tools` with
    `tool_choice` and `parallel_tool_calls`, an empty `stop`, `n` of 1.

    Raises:
        ValueError: there are no messages.
    """
    payload = {name: value for name, value in parameters.items() if value is not None}
    if not payload.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            payload.pop(name, None)
    if not payload.get("stop"):
        payload.pop("stop", None)
    if payload.get("n") == 1:
        del payload["n"]
    payload["messages"] = messages
    if stream_usage:
        payload.setdefault("stream_options", {"include_usage": True})
    for extra_body in extra_bodies:
        payload |= extra_body or {}
    if tools := payload.get("tools"):
        payload["tools"] = legal_tools(tools)
    payload, own_names = with_legal_tool_names(payload)
    if "response_format" in payload:
        payload = with_legal_schema_name(with_legal_response_schema(payload))
    if payload["messages"] is messages:
        mended = mend_history(messages) if history == "mend" else messages
        payload["messages"] = with_legal_names(list(map(_with_legal_content, mended)), own_names)
    if not payload["messages"]:
        raise ValueError("`messages` is empty: a conversation needs at least one message. Nothing was sent.")
    return payload, own_names


def assistant_message(
    content: str | list[Part],
    *,
    tool_calls: Sequence[Mapping[str, Any]] = (),
    reasoning: Mapping[str, Any] | None = None,
    refusal: str | None = None,
    replay_reasoning: ReplayReasoning = "auto",
) -> WireMessage:
    """An earlier answer. With tool calls, empty text becomes `null`: some providers refuse `""`."""
    message: WireMessage = {"role": "assistant", "content": content}
    if refusal:
        message["refusal"] = refusal
    if tool_calls:
        message["tool_calls"] = list(tool_calls)
    if (tool_calls or refusal) and not content:
        message["content"] = None
    if reasoning and (replay_reasoning == "always" or (replay_reasoning == "auto" and tool_calls)):
        message.update(reasoning)
    return message


def tool_call(
    id_: str | None, name: str | None, arguments: Any, extras: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A call in an earlier answer. Arguments other than a JSON object are wrapped: providers refuse them."""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str)
    elif not _is_json_object(arguments):
        invalid = {"invalid_arguments": arguments}
        arguments = json.dumps(invalid, ensure_ascii=False) if arguments.strip() else "{}"
    beside = dict(extras or {})
    inside = beside.pop("function", {})
    function = {**inside, "name": name, "arguments": arguments}
    return {"id": id_, "type": "function", "function": function, **beside}


def tool_message(
    tool_call_id: str | None, content: str | list[Part], *, tool_media: ToolMedia = "user_message"
) -> tuple[WireMessage, list[Part]]:
    """A tool result, and the parts of it that must follow in a user message.

    Chat completions allow only text in a tool message; images and files would be refused or ignored.
    """
    text, media = _split_media(content, tool_media, "The result is in the next message.")
    return {"role": "tool", "content": text, "tool_call_id": tool_call_id}, media


def assistant_media(
    message: WireMessage, *, tool_media: ToolMedia = "user_message"
) -> tuple[WireMessage, list[Part]]:
    """An assistant message, and the images and files of it that must follow in a user message."""
    substitute = None if message.get("tool_calls") else "The answer is in the next message."
    text, media = _split_media(message["content"], tool_media, substitute)
    return {**message, "content": text}, media


def _split_media(content: Any, tool_media: ToolMedia, substitute: str | None) -> tuple[Any, list[Part]]:
    """The text parts, or `substitute` if there are none, and the media parts that must move."""
    if not isinstance(content, list) or tool_media == "tool_message":
        return content, []
    media = [part for part in content if part.get("type") != "text"]
    texts = [part for part in content if part.get("type") == "text" and part.get("text")]
    if not media:
        return content, []
    only_text = len(texts) == 1 and texts[0].keys() == {"type", "text"}
    return texts[0]["text"] if only_text else texts or substitute, media


def place_messages(messages: Sequence[MessageWithMedia]) -> list[WireMessage]:
    """The messages in order. One user message after an answer and its tool results contains their media."""
    placed: list[WireMessage] = []
    media: list[Part] = []
    for message, its_media in messages:
        if media and message["role"] != "tool":
            placed.append({"role": "user", "content": media})
            media = []
        placed.append(message)
        if its_media:
            is_result = message["role"] == "tool"
            note = attached_to_result(message["tool_call_id"]) if is_result else _ATTACHED_TO_ANSWER
            media = [*media, {"type": "text", "text": note}, *its_media]
    return [*placed, {"role": "user", "content": media}] if media else placed


def _with_legal_content(message: WireMessage) -> WireMessage:
    """The message with legal media, and a string for its content where that loses nothing.

    Many routes take nothing else for text.

    Several texts stay apart as parts, which every route takes from users; those of a tool become lines.
    A part with another member, e.g. a mark for the prompt cache, stays.
    """
    parts = message["content"]
    if type(parts) is not list:
        return message
    if len(parts) > 1 and message["role"] != "tool":
        return with_legal_media(message)
    if any(part.keys() != _TEXT_PART or part["type"] != "text" for part in parts):
        return with_legal_media(message)
    return {**message, "content": "\n".join(part["text"] for part in parts)}


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
