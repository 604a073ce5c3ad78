"""One row of the fault table: what the server sends, and what the user must see."""

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
    """The parts of an answer that users of both frameworks can read."""

    text: str
    calls: Sequence[tuple[str, dict[str, Any] | None]] = ()
    """Name and arguments; `None` for arguments that are not a JSON object, which run no tool."""
    tokens: tuple[int, int] | None = (3, 2)
    """Token counts of prompt and answer; `None` if not reported."""


OK = Seen("ok")


@dataclass(frozen=True)
class Case:
    """One fault, and its outcome for every call style it applies to."""

    fault: Fault | Verbatim
    outcome: Seen | type[TexAPIError]
    ways: Literal["all", "whole", "streamed"] = "all"
    requests: int = 1
    """The number of requests the server must receive."""
    max_retries: int = 0
    partial: str = ""
    """The part of a broken stream that the error must keep."""
    says: str = ""
    """A pattern that the error message must match."""
    over_aiohttp: type[TexAPIError] | None = None
    """The error with aiohttp, where its HTTP parser is stricter."""

    limited: bool = False
    """Whether a time limit ends the call although the server keeps sending."""

    @property
    def needs_limits(self) -> bool:
        """Whether time limits must end the call; other rows have limits that no busy machine reaches."""
        waits = 0.0 if isinstance(self.fault, Verbatim) else self.fault.delay
        waits += sum(piece for piece in self.fault.pieces if isinstance(piece, float))
        return self.limited or waits > 0.1


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def document(message: Any, usage: Any = USAGE, finish_reason: Any = "stop", **members: Any) -> dict[str, Any]:
    """A whole answer as documented, with these members replaced; members set to `...` are left out."""
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
    """A message with tool calls."""
    one = {"id": "a", "type": "function", "function": function}
    return {"content": None, "tool_calls": list(calls) or [one]}


def event(delta: Any = None, finish_reason: str | None = None, **members: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return chunk(choices=[choice], **members)


def chunk(**members: Any) -> bytes:
    """One event, with the documented envelope if it has choices; members set to `...` are left out."""
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body = _without_dots({**envelope, **members} if "choices" in members else members)
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


STOP = event({}, "stop") + chunk(choices=[], usage=USAGE)
DONE = b"data: [DONE]\n\n"
END = STOP + DONE
PLAIN = event({"role": "assistant", "content": "o"}) + event({"content": "k"}) + END
