"""Marks for providers that cache what a request marks, and a key for those that cache by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

from texapi_core.request.cache_marks import DEFAULT_LIFETIME, INSTRUCTIONS, LIFETIMES, MAX_MARKS
from texapi_core.settings_checks import settings_error

CachePrompts = Literal[False, True, "5m", "1h", "key"]
"""What is done for the provider's prompt cache: nothing; marks, with the provider's own lifetime or with
one; or a `prompt_cache_key`."""

CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")
"""Members that mark the end of what a provider caches: Claude's, and OpenAI's."""

_CHOICES = (*LIFETIMES, "key")


def check_cache_prompts(value: Any) -> Any:
    """The setting, with `None` for off. Raises `TexAPISettingsError` for anything it cannot be, also 1."""
    if value is None:
        return False
    if isinstance(value, bool) or (isinstance(value, str) and value in _CHOICES):
        return value
    raise settings_error(f'`cache_prompts` must be True, False, "5m", "1h" or "key", not {value!r}.')


def with_prompt_cache(payload: dict[str, Any], cache_prompts: CachePrompts) -> dict[str, Any]:
    """The payload, with the longest start that the next request may share marked, or with its key.

    Marked are the last function among the tools, the instructions at the start, and, once a conversation
    grows, the end of it and the end of the request before. A conversation grows if it has tools or an answer:
    what only one request has would be written into the cache for nothing, which costs more. If nothing else
    can be marked, its end is. A mark goes where the user set none, and together they are four at most.

    Nothing is changed in place.
    """
    cache_prompts = check_cache_prompts(cache_prompts)
    if not cache_prompts:
        return payload
    if cache_prompts == "key":
        return {"prompt_cache_key": _key(payload), **payload}
    lifetime = None if cache_prompts is True else cache_prompts
    tools, messages = payload.get("tools") or (), payload["messages"]
    # Providers read a prompt in this order.
    places = [*tools, *messages]
    marks = _new_marks(places, len(tools), lifetime, payload.get("cache_control"))
    marked = [
        _marked(place, marks[at], is_tool=at < len(tools)) if at in marks else place
        for at, place in enumerate(places)
    ]
    with_marks = {"tools": marked[: len(tools)]} if tools else {}
    return {**payload, **with_marks, "messages": marked[len(tools) :]}


def _new_marks(
    places: Sequence[Any], tools: int, lifetime: str | None, of_the_whole: Any
) -> dict[int, dict[str, Any]]:
    """Place -> the mark that it gets. The first `tools` places are tools, the others are messages."""
    set_by_user = {at: found for at, place in enumerate(places) if (found := list(_marks_of(place)))}
    if of_the_whole:  # Claude marks the end by itself
        set_by_user[len(places)] = [of_the_whole]
    room = MAX_MARKS - sum(map(len, set_by_user.values()))
    new: dict[int, dict[str, Any]] = {}
    for at in _places_to_mark(places, tools, has_marked_end=bool(of_the_whole), is_marked=bool(set_by_user)):
        if room <= len(new):
            break
        if at in set_by_user or at in new:
            continue
        # Claude refuses a longer lifetime after a shorter one.
        seconds = min([_seconds(lifetime), *_lifetimes(set_by_user, range(at))])
        if all(later <= seconds for later in _lifetimes(set_by_user, range(at, len(places) + 1))):
            is_own = lifetime is not None and seconds == LIFETIMES[lifetime]
            new[at] = {"type": "ephemeral", "ttl": lifetime} if is_own else {"type": "ephemeral"}
    return new


def _places_to_mark(
    places: Sequence[Any], tools: int, *, has_marked_end: bool, is_marked: bool
) -> Iterator[int]:
    """Where marks belong, the most useful first."""
    messages = len(places)
    start = tools
    while start < messages and places[start].get("role") in INSTRUCTIONS:
        start += 1
    instructions = _last(places, tools, start, INSTRUCTIONS)
    answers = [at for at in range(start, messages) if places[at].get("role") == "assistant"]
    end = None if has_marked_end else _last(places, start, messages)
    has_other_marks = is_marked or instructions is not None
    if end is not None and (tools or answers or not has_other_marks):
        yield end
    if instructions is not None:
        yield instructions
    # A provider's own tool, e.g. `{"google_search": {}}`, takes no further member.
    functions = (at for at in range(tools - 1, -1, -1) if _is_function(places[at]))
    if (function := next(functions, None)) is not None:
        yield function
    if answers and not has_marked_end:
        last_answer = answers[-1]
        while last_answer - 1 in answers:
            last_answer -= 1
        if (earlier := _last(places, start, last_answer)) is not None:
            yield earlier


def _is_function(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == "function"


def _last(
    places: Sequence[Any], start: int, stop: int, roles: Sequence[str] = ("user", "tool", "function")
) -> int | None:
    """The last message of such a role that can have a mark."""
    for at in range(stop - 1, start - 1, -1):
        if places[at].get("role") in roles and _part_to_mark(places[at].get("content")) is not None:
            return at
    return None


def _part_to_mark(content: Any) -> int | None:
    """The part of a content that takes a mark: the last one, but no empty text."""
    if isinstance(content, str):
        return 0 if content.strip() else None
    parts = content if isinstance(content, list) else ()
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, Mapping) and (part.get("type") != "text" or str(part.get("text", "")).strip()):
            return at
    return None


def _marked(place: Mapping[str, Any], mark: Mapping[str, Any], *, is_tool: bool) -> dict[str, Any]:
    if is_tool:
        return {**place, "cache_control": mark}
    content, at = place["content"], _part_to_mark(place["content"])
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    parts[at or 0] = {**parts[at or 0], "cache_control": mark}
    return {**place, "content": parts}


def _marks_of(place: Any) -> Iterator[Any]:
    """The marks of a tool or a message."""
    if not isinstance(place, Mapping):
        return
    inner = [place.get("function"), *(place.get("tool_calls") or ())]
    content = place.get("content")
    for holder in (place, *inner, *(content if isinstance(content, list) else ())):
        if isinstance(holder, Mapping):
            yield from (holder[name] for name in CACHE_MARKS if holder.get(name))


def _lifetimes(marks: Mapping[int, Sequence[Any]], places: range) -> Iterator[int]:
    """Seconds of the marks at some places."""
    for at, of_place in marks.items():
        if at in places:
            yield from (_seconds(mark.get("ttl") if isinstance(mark, Mapping) else None) for mark in of_place)


def _seconds(lifetime: Any) -> int:
    return LIFETIMES.get(lifetime or DEFAULT_LIFETIME, LIFETIMES[DEFAULT_LIFETIME])


def _key(payload: Mapping[str, Any]) -> str:
    """A key for requests that start alike: of the tools and the instructions, else of the first content.

    OpenAI takes 64 characters.
    """
    messages = payload["messages"]
    start = []
    for message in messages:
        if message.get("role") not in INSTRUCTIONS:
            break
        start.append(message.get("content"))
    if not start and not payload.get("tools"):
        first = messages[0].get("content")
        start = first[:1] if isinstance(first, list) else [first]
    text = json.dumps([payload.get("tools"), start], sort_keys=True, default=str)
    return f"texapi-{sha256(text.encode()).hexdigest()[:32]}"
