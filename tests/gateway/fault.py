"""Faults that the gateway can inject."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tests.gateway.refusal import error_body

_DEFAULT_TYPES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    503: "overloaded",
}


@dataclass(frozen=True)
class Fault:
    """One misbehaviour of the gateway, used for one chat request.

    A fault that has a ``status``, an error field, a ``body`` or ``raw`` replaces the answer. Any
    other fault changes only how the ordinary answer is delivered: late (``delay``), incompletely
    (``cut_after``) or with a stall (``stall_after``).
    """

    status: int | None = None
    error_type: str | None = None
    code: str | None = None
    message: str | None = None
    body: bytes | str | dict[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    delay: float = 0.0
    """Seconds to wait before the head of the response."""
    stall_after: int | None = None
    """How many events to send before stalling."""
    stall_seconds: float = 30.0
    """The longest stall in seconds; the connection is dropped after it."""
    cut_after: int | None = None
    """How many events to send before dropping the connection."""
    keepalive: bool = False
    """Whether comments are sent while the stream is stalled."""
    raw: bytes | Sequence[bytes | float] | None = None
    """Pieces of the body to send one by one; numbers are pauses in seconds."""

    @classmethod
    def from_json(cls, text: str) -> Fault:
        data = json.loads(text)
        known = {each.name for each in fields(cls)}
        if not isinstance(data, dict) or not set(data) <= known:
            raise ValueError(f"A fault is a JSON object with some of the keys {sorted(known)}.")
        raw = data.get("raw")
        if isinstance(raw, str):
            data["raw"] = raw.encode()
        elif isinstance(raw, list):
            data["raw"] = [each.encode() if isinstance(each, str) else each for each in raw]
        return cls(**data)

    @property
    def replaces_answer(self) -> bool:
        """Whether the answer itself is replaced, not only its delivery changed."""
        return self.raw is not None or self.body is not None or self._is_error

    @property
    def replaced_status(self) -> int:
        """The status of the response that replaces the answer."""
        return self.status or (500 if self.raw is None and self.body is None else 200)

    @property
    def pieces(self) -> list[bytes | float]:
        if self.raw is None:
            return []
        return [self.raw] if isinstance(self.raw, bytes) else list(self.raw)

    def answer(self) -> tuple[int, str, bytes]:
        """Return the status, the content type and the body that replace the answer."""
        if self.body is not None:
            body = self.body
            if isinstance(body, dict):
                body = json.dumps(body, ensure_ascii=False)
            content = body.encode() if isinstance(body, str) else body
            return self.replaced_status, self.content_type or _guess_type(content), content
        status = self.replaced_status
        error_type = self.error_type or _DEFAULT_TYPES.get(status, "server_error")
        message = self.message or f"The gateway was asked to answer with status {status}."
        content = error_body(error_type, self.code or error_type, message)
        return status, self.content_type or "application/json", content

    @property
    def _is_error(self) -> bool:
        described = any((self.error_type, self.code, self.message))
        return described or self.status not in (None, 200)


def _guess_type(content: bytes) -> str:
    try:
        json.loads(content)
    except ValueError:
        is_page = content.lstrip().lower().startswith((b"<!doctype html", b"<html"))
        return "text/html" if is_page else "text/plain; charset=utf-8"
    return "application/json"
