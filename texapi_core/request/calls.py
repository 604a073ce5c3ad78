"""Tool calls of earlier answers as the wire takes them, from any form in which a history holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from texapi_core.request.foreign import json_text, members_of
from texapi_core.wire.custom_tools import TEXT_INPUT, tool_kinds
from texapi_core.wire.signatures import SIGNATURES, google_signature

_WRAPPERS = ("function", "custom", "function_call", "functionCall", "toolUse")
"""Members that hold name and arguments of a call."""
_TYPES = frozenset({"tool_use", "tool_call", "function_call", "custom_tool_call"})
"""Types of blocks that are calls themselves."""
_IDS = ("call_id", "toolUseId", "tool_call_id", "tool_use_id", "tool_id", "id")
_NAMES = ("name", "tool_name", "toolName")
_ARGUMENTS = ("input", "args", "arguments", "tool_kwargs", "parameters")
"""Where OpenAI, Anthropic, Bedrock, Gemini and the frameworks have the parts of a call."""
_OF_CALL = frozenset({"id", "type", "function", "custom", "index"})
_OF_FUNCTION = frozenset({"name", "arguments"})
_OF_CUSTOM = frozenset({"name", "input"})
_parse = json.JSONDecoder().raw_decode
_JSON_SPACE = " \t\n\r"


@dataclass(frozen=True, slots=True)
class ForeignCall:
    """A tool call of an earlier answer."""

    id: str | None
    name: str | None
    arguments: Any
    """An object, or its JSON."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What goes back beside them; what stands in `function` under that name."""


def read_call(given: Any, *, is_call: bool = False) -> ForeignCall | None:
    """The call in a block of a content, `None` for any other block.

    With `is_call` it is known to be one: only what has no members is `None`. A call may be of any class, or a
    dict of OpenAI, Anthropic, Bedrock, Gemini, LangChain or LlamaIndex.
    """
    call = members_of(given)
    if call is None:
        return None
    wrapper = next((name for name in _WRAPPERS if name in call and members_of(call[name]) is not None), None)
    if wrapper is None and not is_call and call.get("type") not in _TYPES:
        return None
    inner = call if wrapper is None else members_of(call[wrapper]) or {}
    name = next((str(inner[name]) for name in _NAMES if inner.get(name)), None)
    if name is None and not is_call:
        return None
    arguments: Any = next((inner[name] for name in _ARGUMENTS if inner.get(name) is not None), {})
    is_custom = wrapper == "custom" or call.get("type") == "custom_tool_call"
    if is_custom and isinstance(arguments, str):
        arguments = {TEXT_INPUT: arguments}
    extras: dict[str, Any] = {}
    if wrapper in ("function", "custom"):
        extras = {name: value for name, value in call.items() if name not in _OF_CALL}
        known = _OF_CUSTOM if is_custom else _OF_FUNCTION
        if inside := {name: value for name, value in inner.items() if name not in known}:
            extras["function"] = inside
    elif (signature := google_signature(call, "signature")) is not None:
        extras = {SIGNATURES: signature}
    return ForeignCall(_id_in(inner) or _id_in(call), name, arguments, extras)


def _id_in(call: Mapping[str, Any]) -> Any:
    """The id of a call, by whatever name, as it was given."""
    for name in _IDS:
        if name in call and call[name]:  # noqa: RUF019 # `get` is a function call for each name
            return call[name]
    return None


def wire_call(given: Any) -> dict[str, Any]:
    """A call in any form as the wire takes it.

    Raises:
        ValueError: it has no members.
    """
    call = read_call(given, is_call=True)
    if call is None:
        raise ValueError(f"Unsupported tool call in a message: {type(given).__name__}. Nothing was sent.")
    return tool_call(call.id, call.name, call.arguments, call.extras)


def tool_call(id_: Any, name: Any, arguments: Any, extras: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A call in an earlier answer. Arguments other than a JSON object are wrapped: providers refuse them.

    Raises:
        ValueError: arguments that no JSON can hold.
    """
    if not isinstance(arguments, str):
        if not isinstance(arguments, Mapping):
            arguments = {} if arguments is None else {"invalid_arguments": arguments}
        arguments = json_text(arguments, f"The arguments of a call of {name!r}")
    elif not _is_json_object(arguments):
        invalid = {"invalid_arguments": arguments}
        arguments = json.dumps(invalid, ensure_ascii=False) if arguments.strip() else "{}"
    if not extras or not isinstance(extras, Mapping):
        return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    beside = dict(extras)
    inside = beside.pop("function", None)
    inside = inside if isinstance(inside, Mapping) else {}
    function = {**inside, "name": name, "arguments": arguments}
    return {"id": id_, "type": "function", "function": function, **beside}


def with_custom_calls(messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> Sequence[dict[str, Any]]:
    """The messages with calls of the request's custom tools in the form of these.

    Any other call stays one of a function, which every provider takes.
    """
    if not any(tool.get("type") == "custom" for tool in tools):
        return messages
    custom = {name for name, kind in tool_kinds(tools).items() if kind == "custom"}
    return [
        {**message, "tool_calls": [_as_custom(call, custom) for call in message["tool_calls"]]}
        if "tool_calls" in message
        else message
        for message in messages
    ]


def _as_custom(call: dict[str, Any], custom: set[Any]) -> dict[str, Any]:
    function = call["function"]
    if function["name"] not in custom:
        return call
    text = function["arguments"]
    values = list(_parse(text.strip(_JSON_SPACE))[0].values())
    if len(values) == 1 and isinstance(values[0], str):
        (text,) = values
    beside = {name: value for name, value in call.items() if name != "function"}
    inside = {name: value for name, value in function.items() if name != "arguments"}
    return {**beside, "type": "custom", "custom": {**inside, "input": text}}


def signed_call(signature: Any) -> dict[str, Any]:
    """What goes back beside a call for Gemini's signature of it, a text or bytes."""
    found = google_signature({"signature": signature}, "signature")
    return {} if found is None else {SIGNATURES: found}


def join_calls(
    calls: Sequence[dict[str, Any]], further: Any, *, only_known: bool = False
) -> list[dict[str, Any]]:
    """The calls of a message, and `further` ones that it holds in another form; each once.

    A call that is given twice keeps the members of both. With `only_known` no call is added.
    """
    joined = list(calls)
    if not isinstance(further, list):
        return joined
    places = {call["id"]: at for at, call in enumerate(calls) if isinstance(call["id"], str) and call["id"]}
    for given in further:
        id_ = given.get("id") if type(given) is dict else getattr(given, "id", None)
        if isinstance(id_, str) and id_ in places and _has_no_extras(given):
            continue
        call = wire_call(given)
        at = _place_of(call, calls, places)
        if at is not None:
            joined[at] = _with_members_of(call, joined[at])
        elif not only_known:
            joined.append(call)
    return joined


def _has_no_extras(call: Any) -> bool:
    """Whether a call of the wire, or of the openai SDK, has no member beside id, name and arguments."""
    if type(call) is dict:
        function = call.get("function")
        return type(function) is dict and _OF_CALL.issuperset(call) and _OF_FUNCTION.issuperset(function)
    function = getattr(call, "function", None)
    return getattr(call, "model_extra", None) == {} == getattr(function, "model_extra", None)


def _place_of(
    call: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], places: Mapping[Any, int]
) -> int | None:
    """Where a call is among others: by its id, or where one has no id by name and arguments."""
    id_ = call["id"]
    if id_ and isinstance(id_, str) and id_ in places:
        return places[id_]
    named = _named(call)
    return next(
        (at for at, each in enumerate(calls) if not (id_ and each["id"]) and _named(each) == named), None
    )


def _named(call: Mapping[str, Any]) -> tuple[Any, Any]:
    return call["function"]["name"], call["function"]["arguments"]


def _with_members_of(other: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """A call with the members that another reading of it has beyond its own."""
    return {
        **other,
        **call,
        "id": call["id"] or other["id"],
        "function": {**other["function"], **call["function"]},
    }


def _is_json_object(text: str) -> bool:
    text = text.strip(_JSON_SPACE)
    try:
        value, end = _parse(text)
    except (ValueError, RecursionError):
        return False
    return value.__class__ is dict and end == len(text)
