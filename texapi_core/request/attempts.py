"""Calls that force a tool, tried once more with the choice left to the model when it cannot be forced.

Claude refuses while it thinks, some routes always do. A refused request costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from texapi_core.call import Call
from texapi_core.errors import TexAPIToolChoiceError

logger = logging.getLogger("texapi")


class Attempt:
    """One request after the other for one call, until one is not refused: `while True: with attempt: ...`.

    The block returns when it has its answer. A refusal of a forced tool ends the block instead, and the
    next round of the loop has a call that forces none. Any other error leaves the loop. No I/O.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_begun = False
        """Whether a part of the answer was handed on: it cannot be taken back then."""

    def __enter__(self) -> Call:
        return self._call

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, TexAPIToolChoiceError):
            return False
        call = self._call
        if self.has_begun or call.payload.get("tool_choice") in (None, "auto", "none"):
            return False
        logger.warning(
            "The model %s cannot be forced to call a tool; asked again with the choice left to it.",
            call.payload.get("model"),
        )
        self._call = Call(call.settings, with_auto_choice(call.payload), call.options)
        return True


def with_auto_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload that leaves it to the model whether it calls a tool."""
    return {**payload, "tool_choice": "auto"}
