"""TexAPI's errors as LangChain's `ModelError` family, so that middleware knows what to retry.

Each class is the one of `texapi_core.errors` with the same name, the openai SDK's class with it, and
LangChain's sibling; `is_retryable` is right for LangChain's retry middleware.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from texapi_core import errors

_SIBLINGS: dict[type[errors.TexAPIError], type[ModelError]] = {
    errors.TexAPIBudgetExceededError: ModelError,
    errors.TexAPIConnectionError: ModelConnectionError,
    errors.TexAPITimeoutError: ModelTimeoutError,
    errors.TexAPIStreamInterruptedError: ModelConnectionError,
    errors.TexAPIResponseError: ModelAPIError,
    errors.TexAPIStatusError: ModelError,
    errors.TexAPIBadRequestError: ModelInvalidRequestError,
    errors.TexAPIContextLengthError: ContextOverflowError,
    errors.TexAPIToolChoiceError: ModelInvalidRequestError,
    errors.TexAPIAuthenticationError: ModelAuthenticationError,
    errors.TexAPIInsufficientCreditsError: ModelError,
    errors.TexAPIInsufficientQuotaError: ModelError,
    errors.TexAPIPermissionDeniedError: ModelPermissionDeniedError,
    errors.TexAPINotFoundError: ModelNotFoundError,
    errors.TexAPIRequestTimeoutError: ModelTimeoutError,
    errors.TexAPIConflictError: ModelAPIError,
    errors.TexAPIRequestTooLargeError: ContextOverflowError,
    errors.TexAPIUnprocessableEntityError: ModelInvalidRequestError,
    errors.TexAPIRateLimitError: ModelRateLimitError,
    errors.TexAPISpendingLimitError: ModelError,
    errors.TexAPIDailySpendingCapError: ModelError,
    errors.TexAPIMonthlyKeyLimitError: ModelError,
    errors.TexAPIRedirectError: ModelError,
    errors.TexAPIServerError: ModelAPIError,
    errors.TexAPIAllRoutesFailedError: ModelAPIError,
    errors.TexAPIProviderUnavailableError: ModelAPIError,
}
"""Our class -> LangChain's sibling. Plain `ModelError` is not retryable: an empty balance has no
sibling of its own, and `ModelRateLimitError` would be retried."""

_MODEL_ERRORS: dict[type[errors.TexAPIError], type[errors.TexAPIError]] = {
    error_class: type(error_class.__name__, (error_class, sibling), {"__doc__": error_class.__doc__})
    for error_class, sibling in _SIBLINGS.items()
}


def __getattr__(name: str) -> type[errors.TexAPIError]:
    """The classes above by their names, by which `pickle` looks for them."""
    for error_class in _MODEL_ERRORS.values():
        if error_class.__name__ == name:
            return error_class
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@contextmanager
def model_errors() -> Generator[None]:
    """Errors of the gateway as `ModelError`s too."""
    try:
        yield
    except errors.TexAPIError as error:
        raise _as_model_error(error) from error.__cause__


def _as_model_error(error: errors.TexAPIError) -> errors.TexAPIError:
    if isinstance(error, ModelError):
        return error
    known = next((base for base in type(error).__mro__ if base in _MODEL_ERRORS), None)
    if known is None:
        return error
    error_class = _MODEL_ERRORS[known]
    model_error = error_class.__new__(error_class, *error.args)
    model_error.__dict__.update(error.__dict__)
    return model_error
