"""Builds payloads that strict providers accept; both adapters use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from texapi_core.request.cache_marks import with_legal_marks
from texapi_core.request.calls import with_custom_calls
from texapi_core.request.history import (
    RESULT_ROLES,
    History,
    attached_to_result,
    is_blank,
    may_be_blank,
    mend_history,
)
from texapi_core.request.names import with_legal_names, with_legal_schema_name, with_legal_tool_names
from texapi_core.request.prompt_cache import CachePrompts, with_prompt_cache
from texapi_core.request.tools import (
    distinct_tools,
    legal_tools,
    with_legal_choice,
    with_legal_response_schema,
)
from texapi_core.wire.values import SAME_NAMES, OwnNames

ReplayReasoning = Literal["auto", "always", "never"]
"""When earlier reasoning is sent back: `auto` is for messages with tool calls, in which DeepSeek, Claude and
Gemini need it; other messages with reasoning may be refused."""
ToolMedia = Literal["user_message", "tool_message"]
"""Where images and files of a tool result or an earlier answer go: a user message after it, or in place."""

WireMessage = dict[str, Any]
Part = dict[str, Any]


class _Roles(dict[str, str]):
    """Roles in any case; one of the user's own, e.g. `critic`, is a user."""

    def __missing__(self, role: str) -> str:
        return self.get(role.lower(), "user")


WIRE_ROLES: Mapping[str, str] = _Roles(
    {
        **{name: name for name in ("system", "developer", "user", "assistant", "tool", "function")},
        "human": "user",
        **dict.fromkeys(("ai", "chatbot", "model", "bot"), "assistant"),
    }
)
"""Role of a framework's message -> role of the wire."""
_ATTACHED = {
    "assistant": "Attached to the assistant's message:",
    **dict.fromkeys(("system", "developer"), "Attached to the system message:"),
}
_IN_THE_NEXT_MESSAGE = {
    "assistant": "The answer is in the next message.",
    **dict.fromkeys(("system", "developer"), "The instruction is in the next message."),
    **dict.fromkeys(RESULT_ROLES, "The result is in the next message."),
}
"""What a message says that has no text beside media."""
_TEXT_PART = {"type", "text"}
_SPEAKERS = ("system", "developer", "user", "assistant")
_PLAIN = 2
"""Members of a message that is a text: `role` and `content`."""


def build_payload(
    parameters: Mapping[str, Any],
    messages: Sequence[WireMessage],
    *extra_bodies: Mapping[str, Any] | None,
    stream_usage: bool = False,
    history: History = "mend",
    cache_prompts: CachePrompts = False,
) -> tuple[dict[str, Any], OwnNames]:
    """The JSON of one request, and the own names of what has another one in it.

    Members without effect are left out; later `extra_bodies` override earlier members. The history is
    mended, unless it is to be sent `as_is`; names of people, tools and schemas are made legal, and text alone
    is a string. `cache_prompts` marks it for prompt caches, unless an extra body replaces the messages.

    Raises:
        ValueError: there are no messages.
    """
    payload = _with_effect(parameters)
    payload["messages"] = messages
    if stream_usage:
        payload.setdefault("stream_options", {"include_usage": True})
    for extra_body in extra_bodies:
        payload |= extra_body or {}
    own_names = SAME_NAMES
    if tools := payload.get("tools"):
        payload["tools"] = distinct_tools(legal_tools(tools))
        payload, own_names = with_legal_tool_names(with_legal_choice(payload))
    if "response_format" in payload:
        payload = with_legal_schema_name(with_legal_response_schema(payload))
    if payload["messages"] is messages:
        if not _is_plain(payload):
            payload = _with_legal_messages(payload, own_names, history)
        if cache_prompts is not False and payload["messages"]:
            payload = with_prompt_cache(payload, cache_prompts)
    if not payload["messages"]:
        raise ValueError("`messages` is empty: a conversation needs at least one message. Nothing was sent.")
    return payload, own_names


def _with_effect(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without those of no effect, which strict providers refuse.

    They are `None`, empty `tools` with `tool_choice` and `parallel_tool_calls`, an empty `stop`, `n` of 1.
    """
    payload = {name: value for name, value in parameters.items() if value is not None}
    if not payload.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            payload.pop(name, None)
    if not payload.get("stop"):
        payload.pop("stop", None)
    if payload.get("n") == 1:
        del payload["n"]
    return payload


def _with_legal_messages(payload: dict[str, Any], own_names: OwnNames, history: History) -> dict[str, Any]:
    messages = payload["messages"]
    mended = mend_history(messages) if history == "mend" else messages
    payload = with_legal_marks({**payload, "messages": mended})
    legal = list(map(_with_legal_content, payload["messages"]))
    named = with_legal_names(legal, own_names)
    return {**payload, "messages": with_custom_calls(named, payload.get("tools") or ())}


def _is_plain(payload: Mapping[str, Any]) -> bool:
    """Whether all that the model is given is text: there is nothing to mend, mark, name or unpack."""
    if "tools" in payload or "cache_control" in payload:
        return False
    for message in payload["messages"]:
        text = message["content"]
        if type(text) is not str or len(message) != _PLAIN or message["role"] not in _SPEAKERS:
            return False
        if message["role"] == "assistant" and may_be_blank(text):
            return False
    return True


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


def tool_message(
    tool_call_id: str | None,
    content: str | list[Part],
    *,
    name: Any = None,
) -> WireMessage:
    """A tool result. `name` of the tool finds the call where ids do not; it is not sent."""
    message = {"role": "tool", "content": content, "tool_call_id": tool_call_id}
    if name:
        message["name"] = name
    return message


def at_message(position: int, error: ValueError) -> ValueError:
    """The error with the place of the message that it is about."""
    return ValueError(f"`messages[{position}]`: {error}")


def _with_media_apart(message: WireMessage, content: Sequence[Part]) -> tuple[WireMessage, list[Part]]:
    """The message without its images and files, and those."""
    media = [part for part in content if part.get("type") != "text"]
    if not media:
        return message, []
    texts = [part for part in content if part.get("type") == "text" and part.get("text")]
    only_text = len(texts) == 1 and texts[0].keys() == _TEXT_PART
    substitute = None if message.get("tool_calls") else _IN_THE_NEXT_MESSAGE[message["role"]]
    return {**message, "content": texts[0]["text"] if only_text else texts or substitute}, media


def place_media(messages: Sequence[WireMessage], tool_media: ToolMedia) -> list[WireMessage]:
    """The messages in order. One user message after an answer and its tool results contains their media.

    Chat completions allow only text in other messages than users'; media would be refused or ignored.
    """
    placed: list[WireMessage] = []
    media: list[Part] = []
    for message in messages:
        role, content = message["role"], message["content"]
        its_media: Sequence[Part] = ()
        if type(content) is list and role != "user" and tool_media == "user_message":
            message, its_media = _with_media_apart(message, content)
        if media and role not in RESULT_ROLES:
            placed.append({"role": "user", "content": media})
            media = []
        placed.append(message)
        if its_media:
            is_result = role in RESULT_ROLES
            note = attached_to_result(message.get("tool_call_id")) if is_result else _ATTACHED[role]
            media = [*media, {"type": "text", "text": note}, *its_media]
    return [*placed, {"role": "user", "content": media}] if media else placed


def _with_legal_content(message: WireMessage) -> WireMessage:
    """The message without blank texts beside other parts, and a string where that loses nothing.

    Many routes take nothing else for text, and Claude refuses blank parts, e.g. an image without a caption.

    Several texts stay apart as parts, which every route takes from users; those of a tool become lines.
    A part with another member, e.g. a mark for the prompt cache, stays. The name of a result's tool does not.
    """
    if message["role"] == "tool" and "name" in message:
        message = {name: value for name, value in message.items() if name != "name"}
    parts = message["content"]
    if type(parts) is not list:
        return message
    if (not parts or message["role"] == "tool") and all(map(_is_only_text, parts)):
        return {**message, "content": "\n".join(part["text"] for part in parts)}
    said = [part for part in parts if not _is_only_text(part) or not is_blank(part["text"])] or parts[:1]
    if len(said) == 1 and _is_only_text(said[0]):
        return {**message, "content": said[0]["text"]}
    return message if len(said) == len(parts) else {**message, "content": said}


def _is_only_text(part: Part) -> bool:
    return part.keys() == _TEXT_PART and part["type"] == "text"
