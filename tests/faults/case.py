"""What one row of the fault table says: what goes over the wire, and what the user must see of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tests.faults.verbatim import Verbatim
from tests.gateway import Fault
from texapi_core import TexAPIError

JSON = "application/json"


class Seen(NamedTuple):
    """What a user of either framework reads from an answer."""

    text: str
    calls: Sequence[tuple[str, dict[str, Any] | None]] = ()
    """Name and arguments; `None` for arguments that are no JSON object, which run no tool."""
    tokens: tuple[int, int] | None = (3, 2)
    """Of prompt and answer, `None` where none are reported."""


OK = Seen("ok")


@dataclass(frozen=True)
class Case:
    """One fault, and its outcome in every way of asking that it concerns."""

    fault: Fault | Verbatim
    outcome: Seen | type[TexAPIError]
    ways: Literal["all", "whole", "streamed"] = "all"
    requests: int = 1
    """How many the server must see."""
    max_retries: int = 0
    partial: str = ""
    """What the error must keep of a broken stream."""
    says: str = ""
    """Pattern that the error's text must match."""
    over_aiohttp: type[TexAPIError] | None = None
    """The error over aiohttp, where it reads HTTP more strictly."""

    limited: bool = False
    """Whether a limit of the call ends it although the server does not wait."""

    @property
    def needs_limits(self) -> bool:
        """Whether the limits of the call are to end it; other rows have none that a busy machine meets."""
        waits = 0.0 if isinstance(self.fault, Verbatim) else self.fault.delay
        waits += sum(piece for piece in self.fault.pieces if isinstance(piece, float))
        return self.limited or waits > 0.1


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def document(message: Any, usage: Any = USAGE, finish_reason: Any = "stop", **members: Any) -> dict[str, Any]:
    """A whole answer as documented but for what is given; members that are `...` are left out."""
    if isinstance(message, dict):
        message = _without_dots({"role": "assistant", **message})
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    envelope = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
    return _without_dots({**envelope, "choices": [choice], "usage": usage, **members})


def _without_dots(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


def whole(message: Any, usage: Any = USAGE, finish_reason: Any = "stop", **members: Any) -> Fault:
    return Fault(body=document(message, usage, finish_reason, **members))


def raw(content: bytes | Sequence[bytes | float], content_type: str = JSON, **headers: str) -> Fault:
    return Fault(
        raw=content,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def called(*calls: Any, **function: Any) -> dict[str, Any]:
    """A message that calls tools."""
    one = {"id": "a", "type": "function", "function": function}
    return {"content": None, "tool_calls": list(calls) or [one]}


def event(delta: Any = None, finish_reason: str | None = None, **members: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return chunk(choices=[choice], **members)


def chunk(**members: Any) -> bytes:
    """One event, with the documented envelope where it has choices; members that are `...` are left out."""
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body = _without_dots({**envelope, **members} if "choices" in members else members)
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


STOP = event({}, "stop") + chunk(choices=[], usage=USAGE)
DONE = b"data: [DONE]\n\n"
END = STOP + DONE
PLAIN = event({"role": "assistant", "content": "o"}) + event({"content": "k"}) + END
