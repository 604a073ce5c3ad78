"""Client of the TexAPI gateway for any framework: settings, chat completions, typed answers, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from texapi_core._lazy import lazy_names
from texapi_core._version import __version__

if TYPE_CHECKING:
    from texapi_core.catalog import ModelCapabilities, ModelInfo, capabilities
    from texapi_core.chat import acomplete, astream, complete, stream
    from texapi_core.errors import (
        FALLBACK_ERRORS,
        TexAPIAllRoutesFailedError,
        TexAPIAuthenticationError,
        TexAPIBadRequestError,
        TexAPIBudgetExceededError,
        TexAPIBudgetUnavailableError,
        TexAPIConflictError,
        TexAPIConnectionError,
        TexAPIContextLengthError,
        TexAPIDailySpendingCapError,
        TexAPIError,
        TexAPIInsufficientCreditsError,
        TexAPIInsufficientQuotaError,
        TexAPIModelDeniedError,
        TexAPIMonthlyKeyLimitError,
        TexAPINotFoundError,
        TexAPIPermissionDeniedError,
        TexAPIProviderUnavailableError,
        TexAPIRateLimitError,
        TexAPIRedirectError,
        TexAPIRequestTimeoutError,
        TexAPIRequestTooLargeError,
        TexAPIResponseError,
        TexAPIResponseTooLargeError,
        TexAPIServerError,
        TexAPISettingsError,
        TexAPISpendingLimitError,
        TexAPIStatusError,
        TexAPIStreamInterruptedError,
        TexAPITimeoutError,
        TexAPIToolChoiceError,
        TexAPIUnprocessableEntityError,
    )
    from texapi_core.models import alist_models, arefresh_models, awarm, list_models, refresh_models, warm
    from texapi_core.settings import CallOptions, Settings, resolve_settings
    from texapi_core.wire.tool_calls import ToolCall, ToolCallDelta
    from texapi_core.wire.usage import TokenUsage
    from texapi_core.wire.values import ChatChoice, ChatDelta, ChatReply

__all__ = [
    "FALLBACK_ERRORS",
    "CallOptions",
    "ChatChoice",
    "ChatDelta",
    "ChatReply",
    "ModelCapabilities",
    "ModelInfo",
    "Settings",
    "TexAPIAllRoutesFailedError",
    "TexAPIAuthenticationError",
    "TexAPIBadRequestError",
    "TexAPIBudgetExceededError",
    "TexAPIBudgetUnavailableError",
    "TexAPIConflictError",
    "TexAPIConnectionError",
    "TexAPIContextLengthError",
    "TexAPIDailySpendingCapError",
    "TexAPIError",
    "TexAPIInsufficientCreditsError",
    "TexAPIInsufficientQuotaError",
    "TexAPIModelDeniedError",
    "TexAPIMonthlyKeyLimitError",
    "TexAPINotFoundError",
    "TexAPIPermissionDeniedError",
    "TexAPIProviderUnavailableError",
    "TexAPIRateLimitError",
    "TexAPIRedirectError",
    "TexAPIRequestTimeoutError",
    "TexAPIRequestTooLargeError",
    "TexAPIResponseError",
    "TexAPIResponseTooLargeError",
    "TexAPIServerError",
    "TexAPISettingsError",
    "TexAPISpendingLimitError",
    "TexAPIStatusError",
    "TexAPIStreamInterruptedError",
    "TexAPITimeoutError",
    "TexAPIToolChoiceError",
    "TexAPIUnprocessableEntityError",
    "TokenUsage",
    "ToolCall",
    "ToolCallDelta",
    "__version__",
    "acomplete",
    "alist_models",
    "arefresh_models",
    "astream",
    "awarm",
    "capabilities",
    "complete",
    "list_models",
    "refresh_models",
    "resolve_settings",
    "stream",
    "warm",
]

# A package that imports its modules while another thread imports one of them may see it half made.
_HOMES = (
    "texapi_core.wire.values",
    "texapi_core.wire.tool_calls",
    "texapi_core.wire.usage",
    "texapi_core.catalog",
    "texapi_core.settings",
    "texapi_core.errors",
    "texapi_core.chat",
    "texapi_core.models",
)
__getattr__ = lazy_names(__name__, __all__, _HOMES)
