"""What users may pass: names of parameters, for a constructor and for one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Generic, Literal, TypedDict, TypeVar

from langchain_core.messages import AIMessage

from texapi_core.adapter_base.parameters import NOT_IN_PAYLOAD, SECRET_OPTIONS, SENT, TOKEN_LIMITS
from texapi_core.settings import CALL_OPTIONS

StructuredMethod = Literal["function_calling", "json_schema", "json_mode"]
_Answer = TypeVar("_Answer")


class RawAndParsed(TypedDict, Generic[_Answer]):
    """What a model with `with_structured_output(..., include_raw=True)` returns."""

    raw: AIMessage
    parsed: _Answer | None
    """The answer; `None` if it could not be parsed."""
    parsing_error: BaseException | None


ALIASES = {"model_name": "model", "stop_sequences": "stop", "request_timeout": "timeout"}
"""The constructor's other names for what one call may change."""

NOT_SENT = NOT_IN_PAYLOAD | {"ls_structured_output_format"}
"""Arguments of one call that are not members of the payload themselves; the last is for tracers."""

TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "response_format"})
"""Arguments of one call that may be functions, classes or tools."""

N_AND_STREAM = "`n` above 1 cannot be streamed. Use `invoke` without `streaming`, or leave `n` out."


def check_model_kwargs(
    model_kwargs: Mapping[str, Any], given: Mapping[str, Any], fields: Collection[str]
) -> None:
    """Refuse `model_kwargs` that would be sent twice, or that are not parameters of the payload."""
    for name in model_kwargs:
        if name in CALL_OPTIONS:
            raise ValueError(
                f"`{name}` in `model_kwargs` is no parameter of the payload. Pass "
                f"`{SECRET_OPTIONS.get(name, name)}` to the constructor, or `{name}` to a call."
            )
        if given.get(name) is not None and name != "metadata":  # the constructor's is LangChain's
            raise ValueError(f"`{name}` was given twice: to the constructor and in `model_kwargs`.")
        if name in fields and name not in SENT:
            raise ValueError(
                f"`{name}` in `model_kwargs` is no parameter of the payload. Pass it to the constructor."
            )
    limits = [name for name in TOKEN_LIMITS if {**given, **model_kwargs}.get(name) is not None]
    if len(limits) > 1:
        raise ValueError(
            "`max_tokens` and `max_completion_tokens` are one limit: providers refuse both at once."
        )


OF_LANGCHAIN = {
    "name": "LangChain: name of the runnable in traces.",
    "cache": "LangChain: a cache of answers, `True` for the global one, `False` for none.",
    "verbose": "LangChain: whether to print answers; default `langchain_core.globals`.",
    "callbacks": "LangChain: handlers that follow each run.",
    "tags": "LangChain: texts that traces and the ledger's rows have.",
    "metadata": "LangChain: values that traces and the ledger's rows have.",
    "custom_get_token_ids": "LangChain: a tokenizer to count prompts with.",
    "rate_limiter": "LangChain: waits before each call of this process; see `limits` for many.",
    "disable_streaming": "LangChain: `True` makes `stream` wait for the whole answer; `tool_calling` only "
    "for calls with tools.",
    "output_version": 'LangChain: "v0" or "v1", the form of content blocks in answers.',
    "profile": "LangChain: what the model can do; default by the model table.",
}
"""LangChain's arguments -> what they do: its fields have no descriptions."""
