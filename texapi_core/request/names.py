"""Names of people, agents, tools and schemas as the wire takes them: `[a-zA-Z0-9_-]{1,64}`; ids of calls too.

That is OpenAI's rule, with 40 characters for ids; one name beyond it refuses the whole request.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from texapi_core.wire.custom_tools import described, tool_kinds
from texapi_core.wire.values import SAME_NAMES, OwnNames

MAX_LENGTH = 64
_is_legal = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_LENGTH}}}").fullmatch
MAX_ID_LENGTH = 40
is_legal_call_id = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_ID_LENGTH}}}").fullmatch
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_UNCOMPOSED = str.maketrans({"đ": "d", "Đ": "D", "ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss"})
"""Latin letters that Unicode does not decompose into a letter and a mark."""
_HASH_LENGTH = 8
_UNNAMED = "unnamed"
_ARE_LEGAL_PROPERTIES = re.compile(r"[a-zA-Z0-9_.-]{1,64}(\n[a-zA-Z0-9_.-]{1,64})*").fullmatch
"""Names of properties, a line for each: Claude's rule."""
_TO_PROPERTIES = "#/properties/"


def legal_name(given: Any) -> str:
    """The name for the wire: `"Trợ lý"` becomes `"Tro_ly"`, a legal name stays.

    A short hash of the name is added where letters were lost or the name was cut: names stay distinct.
    """
    name = str(given or _UNNAMED)
    if _is_legal(name):
        return name
    letters = _without_accents(name)
    legal = _ILLEGAL.sub("_", letters)
    lost = any(char.isalnum() and not char.isascii() for char in letters) or not legal.strip("_")
    return _with_hash(legal, name) if lost or len(legal) > MAX_LENGTH else legal


def legal_call_id(given: str) -> str:
    """The id of a call for the wire: a legal one stays; of another, what is legal, and a short hash of it.

    It depends on nothing else: it is the same in each turn and process.
    """
    if is_legal_call_id(given):
        return given
    legal = _ILLEGAL.sub("_", _without_accents(given)).strip("_") or "call"
    return _with_hash(legal, given, MAX_ID_LENGTH)


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.translate(_UNCOMPOSED))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _with_hash(legal: str, name: str, max_length: int = MAX_LENGTH) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{legal[: max_length - _HASH_LENGTH - 1]}_{digest}"


def _assign(name: Any, assigned: dict[Any, str]) -> str:
    """The name for the wire, which none of the assigned names has."""
    if name not in assigned:
        legal = legal_name(name)
        assigned[name] = _with_hash(legal, str(name)) if legal in assigned.values() else legal
    return assigned[name]


def with_legal_tool_names(payload: dict[str, Any]) -> tuple[dict[str, Any], OwnNames]:
    """The payload with legal names of tools and of their properties, and the own names of both."""
    payload, own_names = _with_legal_names_of_tools(payload, payload["tools"])
    properties: dict[str, Mapping[str, str]] = {}
    legal = [_with_legal_properties(tool, properties) for tool in payload["tools"]]
    if not properties:
        return payload, OwnNames(own_names) if own_names else SAME_NAMES
    return {**payload, "tools": legal}, OwnNames(own_names, properties)


def _with_legal_properties(tool: Any, renamed: dict[str, Mapping[str, str]]) -> Any:
    """A tool with names of properties that Claude takes; their own names are added to `renamed`."""
    function = _function_of(tool)
    schema = function.get("parameters") if function else None
    if not isinstance(schema, Mapping) or not (properties := schema.get("properties")):
        return tool
    if _ARE_LEGAL_PROPERTIES("\n".join(properties)):
        return tool
    assigned = {name: name for name in properties if _ARE_LEGAL_PROPERTIES(name) and "\n" not in name}
    for name in properties:
        _assign(name, assigned)
    renamed[function["name"]] = {sent: own for own, sent in assigned.items() if own != sent}
    legal = _with_references(schema, assigned)
    legal["properties"] = {
        assigned[name]: each if assigned[name] == name else {"title": name, **each}
        for name, each in legal["properties"].items()
    }
    if "required" in schema:
        legal["required"] = [assigned.get(name, name) for name in schema["required"]]
    return {**tool, "function": {**function, "parameters": legal}}


def _with_references(value: Any, assigned: Mapping[str, str]) -> Any:
    """A copy of a schema whose references lead to properties by their new names."""
    if isinstance(value, list):
        return [_with_references(each, assigned) for each in value]
    if not isinstance(value, Mapping):
        return value
    copied = {name: _with_references(each, assigned) for name, each in value.items()}
    reference = copied.get("$ref")
    if isinstance(reference, str) and reference.startswith(_TO_PROPERTIES):
        name, *rest = reference.removeprefix(_TO_PROPERTIES).split("/")
        own = unquote(name).replace("~1", "/").replace("~0", "~")
        copied["$ref"] = _TO_PROPERTIES + "/".join([assigned.get(own, name), *rest])
    return copied


def _with_legal_names_of_tools(
    payload: dict[str, Any], tools: Sequence[Any]
) -> tuple[dict[str, Any], Mapping[str, str]]:
    names = list(tool_kinds(tools))
    if all(isinstance(name, str) and _is_legal(name) for name in names):
        return payload, {}
    assigned: dict[Any, str] = {name: name for name in names if isinstance(name, str) and _is_legal(name)}
    for name in names:
        _assign(name, assigned)
    renamed = {**payload, "tools": [_renamed(tool, assigned) for tool in payload["tools"]]}
    if isinstance(choice := payload.get("tool_choice"), dict):
        renamed["tool_choice"] = _renamed_choice(choice, assigned)
    return renamed, {wire_name: own for own, wire_name in assigned.items() if own != wire_name}


def with_legal_schema_name(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with a legal name of its response format, e.g. for the class `Page[int]`."""
    response_format = payload["response_format"]
    schema = response_format.get("json_schema") if isinstance(response_format, dict) else None
    if not isinstance(schema, dict) or "name" not in schema or _is_legal(schema["name"]):
        return payload
    named = {**schema, "name": legal_name(schema["name"])}
    return {**payload, "response_format": {**response_format, "json_schema": named}}


def _function_of(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function if isinstance(function, Mapping) else None


def _renamed(tool: Any, wire_names: Mapping[Any, str]) -> Any:
    """A tool, a call or a choice of one with the name for the wire."""
    found = described(tool)
    name = found[1].get("name") if found else None
    if not found or name not in wire_names or wire_names[name] == name:
        return tool
    member, value = found
    return {**tool, member: {**value, "name": wire_names[name]}}


def _renamed_choice(choice: dict[str, Any], wire_names: Mapping[Any, str]) -> dict[str, Any]:
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
        tools = [_renamed(tool, wire_names) for tool in allowed["tools"]]
        return {**choice, "allowed_tools": {**allowed, "tools": tools}}
    renamed: dict[str, Any] = _renamed(choice, wire_names)
    return renamed


def with_legal_names(
    messages: Sequence[dict[str, Any]], own_names: OwnNames = SAME_NAMES
) -> list[dict[str, Any]]:
    """The messages with legal names of people, agents, called tools and the properties in their arguments.

    Names are assigned in the order of the
    history: each turn stays a prefix of the next.
    """
    people: dict[Any, str] = {}
    tools: dict[Any, str] = {own: wire_name for wire_name, own in own_names.tools.items()}
    legal: list[dict[str, Any]] = []
    for message in messages:
        if "name" in message:
            name = _assign(str(message["name"]), people)
            if name != message["name"]:
                message = {**message, "name": name}
        if "tool_calls" in message:
            message = _with_legal_calls(message, tools)
            if own_names.properties:
                message = _with_sent_properties(message, own_names.properties)
        legal.append(message)
    return legal


def _with_legal_calls(message: dict[str, Any], tools: dict[Any, str]) -> dict[str, Any]:
    calls = message["tool_calls"]
    names = [call["function"].get("name") for call in calls]
    if all(isinstance(name, str) and _is_legal(name) for name in names):
        return message
    renamed = []
    for call, given in zip(calls, names, strict=True):
        own = str(given or "")
        name = tools.setdefault(own, legal_name(own))
        renamed.append({**call, "function": {**call["function"], "name": name}})
    return {**message, "tool_calls": renamed}


def _with_sent_properties(
    message: dict[str, Any], properties: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """The message with arguments by the names of properties that are sent."""
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        if own_names := properties.get(function["name"]):
            sent = {own: name for name, own in own_names.items()}
            given = json.loads(function["arguments"])
            arguments = {sent.get(name, name): value for name, value in given.items()}
            if arguments.keys() != given.keys():
                text = json.dumps(arguments, ensure_ascii=False)
                call = {**call, "function": {**function, "arguments": text}}
        calls.append(call)
    return {**message, "tool_calls": calls}
