"""Exceptions for all failures of the gateway; most subclass the openai SDK's exception for the same failure.

    TexAPIError
    ├── TexAPISettingsError                (openai.OpenAIError, ValueError)  before anything is sent
    ├── TexAPIBudgetExceededError          before anything is sent, by the user's own budget
    │   └── TexAPIBudgetUnavailableError   before anything is sent: the budget cannot be checked
    ├── TexAPIConnectionError              (openai.APIConnectionError)       retried if never sent
    │   └── TexAPITimeoutError             (openai.APITimeoutError)          retried if never sent
    ├── TexAPIStreamInterruptedError       (openai.APIConnectionError)       a stream that had begun
    ├── TexAPIResponseError                (openai.APIResponseValidationError)  not a chat completion
    ├── TexAPIResponseTooLargeError        (openai.APIResponseValidationError)  too long
    └── TexAPIStatusError                  (openai.APIStatusError)
        ├── TexAPIBadRequestError          (openai.BadRequestError)          400
        │   ├── TexAPIContextLengthError   the prompt is longer than the model's context
        │   └── TexAPIToolChoiceError      the model cannot be forced to call a tool
        ├── TexAPIAuthenticationError      (openai.AuthenticationError)      401
        ├── TexAPIInsufficientCreditsError 402, or the same with another status: never retried
        │   └── TexAPIInsufficientQuotaError  (openai.RateLimitError)        429
        ├── TexAPIPermissionDeniedError    (openai.PermissionDeniedError)    403
        │   └── TexAPIModelDeniedError     it names the model
        ├── TexAPINotFoundError            (openai.NotFoundError)            404
        ├── TexAPIRequestTimeoutError      408
        ├── TexAPIConflictError            (openai.ConflictError)            409
        ├── TexAPIRequestTooLargeError     413
        ├── TexAPIUnprocessableEntityError (openai.UnprocessableEntityError) 422
        ├── TexAPIRateLimitError           (openai.RateLimitError)           429, retried
        ├── TexAPISpendingLimitError       (openai.RateLimitError)           429, never retried
        │   ├── TexAPIDailySpendingCapError
        │   └── TexAPIMonthlyKeyLimitError
        ├── TexAPIRedirectError            3xx to another host, or without the body: refused
        └── TexAPIServerError              (openai.InternalServerError)      5xx, retried
            ├── TexAPIAllRoutesFailedError
            └── TexAPIProviderUnavailableError

"retried": sent again up to `max_retries` times before the error is raised, as
`texapi_core.transport.retries` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from texapi_core.wire.usage import TokenUsage
    from texapi_core.wire.values import ChatReply


class TexAPIError(openai.OpenAIError):
    """Base class of all errors of this package."""

    is_retryable = False
    """Whether the same request may succeed later."""
    advice = ""
    """What to do, in one sentence."""

    request_id: str | None = None
    """The gateway's `x-request-id`, if a response came."""
    type: str | None = None
    """The gateway's error type or code, e.g. `insufficient_credits`."""
    reason: str | None = None
    """Why money ended the call: `balance`, `overdue`, `spending_limit`, `key_limit`, `daily_cap` or
    `monthly_key_limit`."""
    retry_after: float | None = None
    """Seconds that the gateway asked to wait."""
    partial: ChatReply | None = None
    """The part of a stream that came before it broke."""
    usage: TokenUsage | None = None
    """The usage that the gateway reported before the failure."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors are pickled with `request` and `response` set to `None`."""
        kept = {name: value for name, value in vars(self).items() if name in _PICKLED}
        return _restore, (type(self), self.args, kept)

    def __copy__(self) -> TexAPIError:
        twin = type(self).__new__(type(self), *self.args)
        vars(twin).update(vars(self))
        return twin

    @property
    def partial_text(self) -> str:
        """The text of a stream that came before it broke."""
        return self.partial.choice.text if self.partial else ""


_PICKLED = frozenset(
    {
        "message",
        "body",
        "code",
        "param",
        "type",
        "status_code",
        "request_id",
        "retry_after",
        "partial",
        "usage",
        "reason",
        "advice",
        "was_sent",
        "was_stale",
        "is_retryable",
    }
)


def _restore(error_class: type[TexAPIError], args: tuple[Any, ...], kept: dict[str, Any]) -> TexAPIError:
    error = error_class.__new__(error_class, *args)
    left_behind: dict[str, Any] = {}
    if isinstance(error, openai.APIError):
        left_behind["request"] = None
    if isinstance(error, (openai.APIStatusError, openai.APIResponseValidationError)):
        left_behind["response"] = None
    vars(error).update({**left_behind, **kept})
    return error


class TexAPISettingsError(TexAPIError, ValueError):
    """A setting is missing or invalid. Nothing was sent."""


class TexAPIBudgetExceededError(TexAPIError):
    """The call would exceed `max_cost` or `max_tokens_total`. Nothing was sent."""

    advice = "Raise the budget, shorten the call, or wait until earlier calls leave `budget_window`."


class TexAPIBudgetUnavailableError(TexAPIBudgetExceededError):
    """The ledger that the budget is kept in cannot be reached or written. Nothing was sent."""

    is_retryable = True
    advice = (
        'Check the database of `usage_ledger` and call again, or pass `on_ledger_error="open"` to let calls '
        "pass meanwhile."
    )


class TexAPIConnectionError(TexAPIError, openai.APIConnectionError):
    """The gateway could not be reached, or the connection broke before an answer came."""

    status_code: int | None = None
    """Status of the response, if its headers arrived."""

    is_retryable = True
    advice = "Check the network and `base_url`, then try again."
    was_sent = True
    """Whether the request may have reached the gateway, which may then charge for it."""
    was_stale = False
    """Whether the gateway closed an idle connection as the request was sent over it."""

    def __init__(self, message: str, *, request: Any) -> None:
        super().__init__(message=message, request=request)


class TexAPITimeoutError(TexAPIConnectionError, openai.APITimeoutError):
    """No answer, or no further content of a stream, came in time."""

    advice = "Try again, or raise `timeout` (for a stream also `stream_idle_timeout`)."

    def __init__(self, message: str, *, request: Any) -> None:
        openai.APIConnectionError.__init__(self, message=message, request=request)


class TexAPIStreamInterruptedError(TexAPIError, openai.APIConnectionError):
    """A stream that had begun broke, stalled or failed. The part that came is in `partial`, `partial_text`.

    If an error of another class ended it, that is the `__cause__`, and its attributes are here too.
    """

    status_code: int | None = None
    is_retryable = True
    advice = "The answer is incomplete; the part that came is in `partial_text`. Send the call again."
    was_sent = True

    def __init__(self, message: str, *, request: Any) -> None:
        openai.APIConnectionError.__init__(self, message=message, request=request)

    @classmethod
    def of(cls, error: TexAPIError) -> TexAPIStreamInterruptedError:
        """The same failure as one of a stream that had begun."""
        interrupted = cls.__new__(cls, *error.args)
        interrupted.__dict__.update(vars(error), advice=error.advice, is_retryable=error.is_retryable)
        interrupted.__cause__ = error
        return interrupted


class TexAPIResponseError(TexAPIError, openai.APIResponseValidationError):
    """The gateway's answer is not a chat completion."""

    advice = "If `base_url` is right, report the request id to the gateway's support."

    def __init__(self, message: str, *, response: Any, body: object | None) -> None:
        super().__init__(response, body, message=message)


class TexAPIResponseTooLargeError(TexAPIError, openai.APIResponseValidationError):
    """An answer or a stream has more bytes than `max_response_bytes`. A stream's part is in `partial`."""

    advice = "If such an answer is meant, raise `max_response_bytes`; it was not read further."

    def __init__(self, message: str, *, response: Any, body: object | None) -> None:
        super().__init__(response, body, message=message)


class TexAPIStatusError(TexAPIError, openai.APIStatusError):
    """The gateway answered with an error status, `status_code`."""


class TexAPIBadRequestError(TexAPIStatusError, openai.BadRequestError):
    """400: the gateway or the provider rejects the request."""

    advice = "Change the request as the message says; sending it again will not help."


class TexAPIContextLengthError(TexAPIBadRequestError):
    """The prompt is longer than the model's context."""

    advice = "Shorten the prompt or choose a model with a longer context."


class TexAPIToolChoiceError(TexAPIBadRequestError):
    """400 about `tool_choice`: some models refuse to be forced while they reason."""

    advice = 'Pass `tool_choice="auto"`, or turn reasoning off for this call.'


class TexAPIAuthenticationError(TexAPIStatusError, openai.AuthenticationError):
    """401: the key is unknown, revoked or expired."""

    advice = "Check the key: set `TEXAPI_API_KEY` or pass `api_key=...`."


class TexAPIInsufficientCreditsError(TexAPIStatusError):
    """402, or another status with such an error: the balance is used up. Sent once, never retried."""

    advice = "Top up the balance of your TexAPI account; the call was not retried."


class TexAPIInsufficientQuotaError(TexAPIInsufficientCreditsError, openai.RateLimitError):
    """An empty balance reported as 429. Sent once, never retried."""


class TexAPIPermissionDeniedError(TexAPIStatusError, openai.PermissionDeniedError):
    """403: the key may not do this."""

    advice = "Use a key that may use this model, or change the key's rights."


class TexAPIModelDeniedError(TexAPIPermissionDeniedError):
    """403 that names the model: the key may not use this one."""


class TexAPINotFoundError(TexAPIStatusError, openai.NotFoundError):
    """404: the model or the URL does not exist."""

    advice = "Check `model` against `list_models()`, and `base_url`."


class TexAPIRequestTimeoutError(TexAPIStatusError):
    """408: the gateway gave up waiting."""

    is_retryable = True
    advice = "Try again."


class TexAPIConflictError(TexAPIStatusError, openai.ConflictError):
    """409: the gateway is busy with a conflicting request."""

    is_retryable = True
    advice = "Try again."


class TexAPIRequestTooLargeError(TexAPIStatusError):
    """413: the request's body is too large."""

    advice = "Send a shorter prompt, or smaller images and files."


class TexAPIUnprocessableEntityError(TexAPIStatusError, openai.UnprocessableEntityError):
    """422: the gateway understands the request but cannot process it."""

    advice = "Change the request as the message says; sending it again will not help."


class TexAPIRateLimitError(TexAPIStatusError, openai.RateLimitError):
    """429: too many requests."""

    is_retryable = True
    advice = "Wait and try again, or send fewer requests at a time."


class TexAPISpendingLimitError(TexAPIStatusError, openai.RateLimitError):
    """A spending limit is reached. Sent once, never retried."""

    advice = "Raise the limit in your TexAPI account or wait for its reset; it was not retried."


class TexAPIDailySpendingCapError(TexAPISpendingLimitError):
    """The account's daily spending cap is reached. Sent once, never retried."""


class TexAPIMonthlyKeyLimitError(TexAPISpendingLimitError):
    """The key's monthly limit is reached. Sent once, never retried."""


class TexAPIRedirectError(TexAPIStatusError):
    """A redirect to another host, which must not get the key, or without the request body: refused."""

    advice = "Set `base_url` to the address that is meant to receive your key."


class TexAPIServerError(TexAPIStatusError, openai.InternalServerError):
    """5xx: the gateway or the provider behind it failed."""

    is_retryable = True
    advice = "Try again later."


class TexAPIAllRoutesFailedError(TexAPIServerError):
    """503 `all_routes_failed`: no provider of this model answered."""

    advice = "Try again later, or choose another model."


class TexAPIProviderUnavailableError(TexAPIServerError):
    """503 `provider_unavailable`: the provider of this model is down."""

    advice = "Try again later, or choose another model."


FALLBACK_ERRORS: tuple[type[TexAPIError], ...] = (
    TexAPIConnectionError,
    TexAPIResponseError,
    TexAPIContextLengthError,
    TexAPIToolChoiceError,
    TexAPIModelDeniedError,
    TexAPINotFoundError,
    TexAPIRequestTimeoutError,
    TexAPIRequestTooLargeError,
    TexAPIRateLimitError,
    TexAPIServerError,
)
"""Errors that another model may mend.

The others are those of the account, the key, the budget or the request, with which any model would fail,
and those of an answer that has begun, which is charged: those of a stream after its first content are all
`TexAPIStreamInterruptedError`, or one of the others.
"""
