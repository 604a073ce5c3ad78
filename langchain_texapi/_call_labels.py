"""The user's tags and metadata of a run, for the record of its call."""

from __future__ import annotations

from langchain_core.callbacks import BaseRunManager

from texapi_core.call_record import NO_LABELS, CallLabels, labels_of

_TRACERS = ("ls_", "lc_")
"""How names begin that LangChain and this package put into metadata for tracers."""


def call_labels(run_manager: BaseRunManager | None) -> CallLabels:
    """What the user calls a run: without what is there for tracers alone."""
    if run_manager is None:
        return NO_LABELS
    metadata = {name: value for name, value in run_manager.metadata.items() if not name.startswith(_TRACERS)}
    return labels_of(run_manager.tags, metadata, run_id=run_manager.run_id)
