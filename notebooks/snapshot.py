"""The documents of the RAG notebooks: this project's documentation of 2026-11-27, in both languages.

They are not refreshed: questions, answers and figures of the notebooks belong to this text.
"""

from __future__ import annotations

from pathlib import Path

DOCUMENTS = Path(__file__).parent / "documents"
