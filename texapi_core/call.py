"""One call to the gateway: its settings, payload, options and secrets, and its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from texapi_core.accounting.record import logger
from texapi_core.accounting.sinks import sinks_of
from texapi_core.errors import (
    FALLBACK_ERRORS,
    TexAPIError,
    TexAPIStreamInterruptedError,
    TexAPIToolChoiceError,
)
from texapi_core.failures.secrets import Secrets, secrets_of
from texapi_core.failures.traces import conceal
from texapi_core.limits.permit import permit_for
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.wire.finish_reasons import CUT, NORMAL_REASONS
from texapi_core.wire.text import printable
from texapi_core.wire.values import ChatReply

_NO_PAYLOAD: Mapping[str, Any] = {}
_TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")


class Call:
    """The input of every step of a call. No step changes it, except its `permit`."""

    __slots__ = (
        "is_fallback",
        "max_retries",
        "options",
        "payload",
        "permit",
        "secrets",
        "settings",
        "sinks",
        "think_tags",
        "timeout",
    )

    def __init__(
        self,
        settings: Settings,
        payload: Mapping[str, Any] = _NO_PAYLOAD,
        options: CallOptions = NO_OPTIONS,
        *,
        is_fallback: bool = False,
    ) -> None:
        self.settings = settings
        self.payload = payload
        """The JSON of the request, without `stream`."""
        self.options = options
        self.is_fallback = is_fallback
        """Whether the model is another one than was asked for first."""
        self.secrets: Secrets = secrets_of(settings, options)
        """To be redacted from answers and errors."""
        self.sinks = sinks_of(settings.accounting)
        """Receive the record of the call."""
        # What one call may set for itself, else the settings.
        self.timeout = settings.timeout if options.timeout is None else options.timeout
        self.max_retries = settings.max_retries if options.max_retries is None else options.max_retries
        self.permit = permit_for(settings, payload) if settings.limits and payload else None
        """What the call passes the gate of its rate limit with; it keeps count of the attempts."""
        self.think_tags = settings.think_tags if options.think_tags is None else options.think_tags

    def completed(self, reply: ChatReply) -> ChatReply:
        """The reply, with the token limit of the request if that cut it, which is logged once per call."""
        if self.is_fallback and reply.model is None:
            reply = replace(reply, model=self.payload["model"])
        for choice in reply.choices:
            if NORMAL_REASONS[choice.finish_reason] == CUT:
                break
        else:
            return reply
        limits = [(name, self.payload[name]) for name in _TOKEN_LIMITS if self.payload.get(name) is not None]
        name, limit = limits[0] if limits else (None, None)
        logger.warning(
            "The answer was cut at %s (finish reason `%s`). Request id: %s. %s",
            f"`{name}={limit}`" if name else "the limit of the model, for `max_tokens` is not set",
            printable(str(choice.finish_reason)),
            printable(str(reply.request_id)),
            "Raise the limit, or ask for a shorter answer." if name else "Ask for a shorter answer.",
        )
        return replace(reply, token_limit=limit if isinstance(limit, int) else None)


class Attempt:
    """The attempts of one call, without I/O: `while True: with attempt as call: ...`.

    A call that forces a tool is sent again with `tool_choice="auto"` if the model cannot be forced: Claude
    refuses a forced tool while it reasons, some routes always do. A refused request costs nothing. A call
    that failed with one of `FALLBACK_ERRORS` is sent to the next of the `fallback_models`.

    The block returns with its answer. If there is another attempt, the error is suppressed, and the next
    iteration gets its call. Other errors propagate, without what may hold a secret.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_begun = False
        """Whether the caller has a part of the answer, which rules out another attempt."""

    def __enter__(self) -> Call:
        return self._call

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, TexAPIError):
            conceal(error, self._call.secrets)
        if error is None:
            return False
        if self.has_begun:
            if isinstance(error, FALLBACK_ERRORS):  # no framework may ask another model
                interrupted = TexAPIStreamInterruptedError.of(error)
                conceal(interrupted, self._call.secrets)
                raise interrupted
            return False
        call = self._call
        if isinstance(error, TexAPIToolChoiceError) and _forces_tool(call):
            self._call = _with_auto_choice(call)
        elif isinstance(error, FALLBACK_ERRORS) and (others := _other_models(call)):
            self._call = _to_next_model(call, error, *others)
        else:
            return False
        return True


def _forces_tool(call: Call) -> bool:
    return call.payload.get("tool_choice") not in (None, "auto", "none")


def _with_auto_choice(call: Call) -> Call:
    logger.warning(
        "The model %s cannot be forced to call a tool; retrying with `tool_choice` set to `auto`.",
        printable(str(call.payload.get("model"))),
    )
    payload = {**call.payload, "tool_choice": "auto"}
    return Call(call.settings, payload, call.options, is_fallback=call.is_fallback)


def _other_models(call: Call) -> list[str]:
    """The models that are left to ask: the one that failed is not."""
    return [model for model in call.options.fallback_models if model != call.payload.get("model")]


def _to_next_model(call: Call, error: TexAPIError, model: str, *others: str) -> Call:
    logger.warning(
        "The model %s failed (%s, request id %s); the call goes to %s.",
        printable(str(call.payload.get("model"))),
        type(error).__name__,
        printable(str(error.request_id)),
        printable(model),
    )
    options = replace(call.options, fallback_models=others)
    return Call(call.settings, {**call.payload, "model": model}, options, is_fallback=True)
