"""Tool calls of earlier answers as the wire takes them, from any form in which a history holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from texapi_core.request.foreign import arguments_in, id_in, json_text, members_of, name_in

_WRAPPERS = ("function", "function_call", "functionCall", "toolUse")
"""Members that hold name and arguments of a call."""
_NOT_EXTRAS = frozenset({"id", "type", "function", "index"})


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
    beside = dict(extras) if isinstance(extras, Mapping) else {}
    inside = beside.pop("function", None)
    inside = inside if isinstance(inside, Mapping) else {}
    function = {**inside, "name": name, "arguments": arguments}
    return {"id": id_, "type": "function", "function": function, **beside}


def wire_call(given: Any) -> dict[str, Any]:
    """A call of any class or dict: of OpenAI, Anthropic, Bedrock, Gemini, LangChain or LlamaIndex.

    Raises:
        ValueError: it has no members.
    """
    call = members_of(given)
    if call is None:
        raise ValueError(f"Unsupported tool call in a message: {type(given).__name__}. Nothing was sent.")
    wrapper = next((name for name in _WRAPPERS if members_of(call.get(name)) is not None), None)
    inner = call if wrapper is None else members_of(call[wrapper]) or {}
    extras: dict[str, Any] = {}
    if wrapper == "function":
        extras = {name: value for name, value in call.items() if name not in _NOT_EXTRAS}
        if inside := {k: v for k, v in inner.items() if k not in ("name", "arguments")}:
            extras["function"] = inside
    return tool_call(id_in(inner) or id_in(call), name_in(inner), arguments_in(inner), extras)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
