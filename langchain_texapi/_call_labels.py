"""What records and traces show of a call: its tags, its metadata, and its arguments without secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, BaseRunManager, Callbacks
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from texapi_core._version import __version__
from texapi_core.accounting.record import NO_LABELS, CallLabels, labels_of
from texapi_core.accounting.sinks import sinks_of
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.adapter_base.parameters import SECRET_OPTIONS
from texapi_core.settings_checks import reveal_secret

_TRACERS = ("ls_", "lc_")
"""Prefixes of the metadata that LangChain and this package add for tracers."""
_PLACE_IN_CHAIN = re.compile(
    r"(seq:step|graph:step|condition):\d+|branch:(\d+|default)|(map:key|langsmith):.*", re.DOTALL
)
"""Tags that LangChain and LangGraph add for the parts of a chain, and for tracers."""


def add_version(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Metadata with the version of this package, which traces show beside LangChain's."""
    versions = {**(metadata or {}).get("lc_versions", {}), "texapi-integrations": __version__}
    return {**(metadata or {}), "lc_versions": versions}


def call_labels(run_manager: BaseRunManager | None) -> CallLabels:
    """The user's tags and metadata of a run, without those that are for tracers only."""
    if run_manager is None:
        return _run_to_stream.get()
    return _labels(run_manager.tags, run_manager.metadata, run_manager.run_id)


def _labels(tags: Sequence[str], metadata: Mapping[str, Any], run_id: UUID | None) -> CallLabels:
    own = {name: value for name, value in metadata.items() if not str(name).startswith(_TRACERS)}
    return labels_of([tag for tag in tags if not _PLACE_IN_CHAIN.fullmatch(tag)], own, run_id=run_id)


def _without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for traces and cache keys, with headers and queries as digests.

    They may hold secrets, and they may change an answer.
    """
    return {
        name: digest(value) if name in SECRET_OPTIONS and isinstance(value, Mapping) else value
        for name, value in arguments.items()
    }


def digest(mapping: Mapping[str, Any]) -> str:
    """The same digest for equal mappings; their contents cannot be read from it."""
    pairs = sorted((name.lower(), str(reveal_secret(value))) for name, value in mapping.items())
    return "sha256:" + hashlib.sha256(repr(pairs).encode()).hexdigest()[:16]


class RecordedChatModel(BaseChatModel, AccountingParameters):
    """Finds the run of a streamed call too: LangChain passes no run manager to `_stream`."""

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """See `BaseChatModel.stream`."""
        return super().stream(input, self._with_recorder_in_config(config), **kwargs)

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """See `BaseChatModel.astream`."""
        return super().astream(input, self._with_recorder_in_config(config), **kwargs)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """See `BaseChatModel.generate`."""
        return super().generate(messages, stop, self._with_recorder(callbacks), **kwargs)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """See `BaseChatModel.agenerate`."""
        return await super().agenerate(messages, stop, self._with_recorder(callbacks), **kwargs)

    def _with_recorder_in_config(self, config: RunnableConfig | None) -> RunnableConfig | None:
        if not self._is_recorded:
            return config
        config = ensure_config(config)
        return {**config, "callbacks": self._with_recorder(config.get("callbacks"))}

    def _with_recorder(self, callbacks: Callbacks) -> Callbacks:
        if not self._is_recorded:
            return callbacks
        if isinstance(callbacks, BaseCallbackManager):
            manager = callbacks.copy()
            manager.add_handler(_RUN_RECORDER, inherit=False)
            return manager
        return [*(callbacks or []), _RUN_RECORDER]

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """What traces show of a call: no headers."""
        return super()._get_invocation_params(stop=stop, **_without_secrets(kwargs))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The key of LangChain's caches: what changes an answer, headers as digests.

        LangChain's own for models that it can save holds what is saved: no headers, but budgets.
        """
        public = _without_secrets(kwargs)
        params = {**self._get_invocation_params(stop=stop, **kwargs), **public}
        return str(sorted(params.items()))

    @property
    def _is_recorded(self) -> bool:
        return bool(sinks_of(self.accounting))


class _RunRecorder(BaseCallbackHandler):
    """Records the run that begins, for the stream that is opened right after it in the same context."""

    run_inline = True
    ignore_llm = True

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Runs that begin together get no id: their streams cannot be distinguished."""
        alone = kwargs.get("batch_size", 1) == 1
        _run_to_stream.set(_labels(tags or (), metadata or {}, run_id if alone else None))


_RUN_RECORDER = _RunRecorder()
_run_to_stream: ContextVar[CallLabels] = ContextVar("texapi_run_to_stream", default=NO_LABELS)
