"""TexAPI's errors as LangChain's `ModelError` family, so that middleware knows what to retry.

Each class is the one of `texapi_core.errors` with the same name, hence the openai SDK's class too, and
LangChain's sibling; `is_retryable` is right for LangChain's retry middleware. A class is made when it is
first needed: `texapi_core.errors` imports the SDK, and importing this module does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

import texapi_core

if TYPE_CHECKING:
    from texapi_core import TexAPIError

_SIBLINGS: dict[str, type[ModelError]] = {
    "TexAPIBudgetExceededError": ModelError,
    "TexAPIConnectionError": ModelConnectionError,
    "TexAPITimeoutError": ModelTimeoutError,
    "TexAPIStreamInterruptedError": ModelConnectionError,
    "TexAPIResponseError": ModelAPIError,
    "TexAPIResponseTooLargeError": ModelAPIError,
    "TexAPIStatusError": ModelError,
    "TexAPIBadRequestError": ModelInvalidRequestError,
    "TexAPIContextLengthError": ContextOverflowError,
    "TexAPIAuthenticationError": ModelAuthenticationError,
    "TexAPIPermissionDeniedError": ModelPermissionDeniedError,
    "TexAPINotFoundError": ModelNotFoundError,
    "TexAPIRequestTimeoutError": ModelTimeoutError,
    "TexAPIConflictError": ModelAPIError,
    "TexAPIRequestTooLargeError": ContextOverflowError,
    "TexAPIUnprocessableEntityError": ModelInvalidRequestError,
    "TexAPIRateLimitError": ModelRateLimitError,
    "TexAPIServerError": ModelAPIError,
}
"""Class of `texapi_core.errors` -> LangChain's sibling. A class without a row has the sibling of its parent.

Plain `ModelError` is not retryable: LangChain has no sibling for an empty balance, and it would retry
`ModelRateLimitError`."""

_model_errors: dict[str, type[TexAPIError]] = {}


def __getattr__(name: str) -> type[TexAPIError]:
    """A class by its name, by which `pickle` looks it up."""
    if name.startswith("TexAPI") and name in texapi_core.__all__:
        model_error = _model_error_class(getattr(texapi_core, name))
        if model_error is not None:
            return model_error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def as_model_error(error: TexAPIError) -> TexAPIError:
    """The error as one that is a `ModelError` too, to be raised from its cause."""
    error_class = None if isinstance(error, ModelError) else _model_error_class(type(error))
    if error_class is None:
        return error
    model_error = error_class.__new__(error_class, *error.args)
    model_error.__dict__.update(error.__dict__)
    return model_error


def _model_error_class(error_class: type[TexAPIError]) -> type[TexAPIError] | None:
    """The class of `texapi_core.errors` with LangChain's sibling; `None` for one that has no sibling."""
    known = [base for base in error_class.__mro__ if base.__module__ == texapi_core.TexAPIError.__module__]
    sibling = next((_SIBLINGS[base.__name__] for base in known if base.__name__ in _SIBLINGS), None)
    if sibling is None:
        return None
    name = known[0].__name__
    if name not in _model_errors:
        made = type(name, (known[0], sibling), {"__doc__": known[0].__doc__})
        _model_errors.setdefault(name, made)  # another thread may have been first: `pickle` wants one class
    return _model_errors[name]
