"""Retries a call that forces a tool with `tool_choice="auto"` if the model cannot be forced.

Claude refuses a forced tool while it reasons, some routes always do. A refused request costs nothing.
"""

from __future__ import annotations

import logging

from texapi_core.call import Call
from texapi_core.errors import TexAPIToolChoiceError

logger = logging.getLogger("texapi")


class Attempt:
    """The attempts of one call, without I/O: `while True: with attempt as call: ...`.

    The block returns with its answer. If a forced tool is refused, the error is suppressed, and the next
    iteration gets the call with `tool_choice="auto"`. Other errors propagate.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_begun = False
        """Whether the caller has a part of the answer, which rules out another attempt."""

    def __enter__(self) -> Call:
        return self._call

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, TexAPIToolChoiceError):
            return False
        call = self._call
        if self.has_begun or call.payload.get("tool_choice") in (None, "auto", "none"):
            return False
        logger.warning(
            "The model %s cannot be forced to call a tool; retrying with `tool_choice` set to `auto`.",
            call.payload.get("model"),
        )
        self._call = Call(call.settings, {**call.payload, "tool_choice": "auto"}, call.options)
        return True
