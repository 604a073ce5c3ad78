"""Matches the tool results of a history with their calls, by valid and unique ids.

Histories of other LLM classes have empty ids, tool names as ids, or ids that restart in every turn. The
gateway refuses a result without its call, and Claude refuses a repeated id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_RESULT_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True)
class _AwaitedCall:
    given_id: Any
    name: str | None
    id: str


def match_tool_results(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with unique tool call ids, the same in each call and its result.

    A result without the id of a call belongs to the first unanswered call of the tool that it names, else, if
    the result or the call has no id, to the first unanswered one. The legacy role `function` becomes `tool`.

    Raises:
        ValueError: a result without an id follows no call.
    """
    matched: list[dict[str, Any]] = []
    taken: set[str] = set()
    awaited: list[_AwaitedCall] = []
    for position, message in enumerate(messages):
        if message["role"] in _RESULT_ROLES:
            call = _take_call(message, awaited)
            if call is None and message["role"] == "tool" and not message.get("tool_call_id"):
                raise ValueError(
                    "A tool result needs `tool_call_id`, the id of the call that it answers, or that call "
                    "before it in the history."
                )
            matched.append(message if call is None else _as_result_of(call, message))
        elif calls := message.get("tool_calls"):
            ids = [
                _usable_id(call.get("id"), f"call_{position}_{at}", taken) for at, call in enumerate(calls)
            ]
            awaited = [
                _AwaitedCall(call.get("id"), call["function"]["name"], id_)
                for call, id_ in zip(calls, ids, strict=True)
            ]
            renamed = [{**call, "id": id_} for call, id_ in zip(calls, ids, strict=True)]
            matched.append({**message, "tool_calls": renamed})
        else:
            if message["role"] == "assistant":
                awaited = []
            matched.append(message)
    return matched


def _usable_id(given: Any, substitute: str, taken: set[str]) -> str:
    id_ = given if isinstance(given, str) and given and given not in taken else substitute
    taken.add(id_)
    return id_


def _take_call(result: dict[str, Any], awaited: list[_AwaitedCall]) -> _AwaitedCall | None:
    """The call that a result answers, removed from `awaited`; `None` if there is none."""
    given = result.get("tool_call_id")
    names = [name for name in (given, result.get("name")) if name]
    candidates = (
        [call for call in awaited if given and call.given_id == given]
        or [call for call in awaited if call.name in names]
        or [call for call in awaited if not given or not call.given_id]
    )
    if not candidates:
        return None
    awaited.remove(candidates[0])
    return candidates[0]


def _as_result_of(call: _AwaitedCall, message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {**message, "tool_call_id": call.id}
    return {"role": "tool", "content": message["content"], "tool_call_id": call.id}
