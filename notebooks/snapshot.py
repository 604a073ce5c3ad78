"""The documents of the RAG notebooks: a copy of this project's documentation in both languages.

It is a copy so that edits of the documentation do not invalidate the recordings.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = Path(__file__).parent / "documents"
_PAGES = {
    "en": ["README.md", "docs/errors.md", "docs/limits.md", "docs/models.md", "docs/usage.md"],
    "vi": ["README.vi.md", "docs/vi/errors.md", "docs/vi/quickstart.md", "docs/vi/usage.md"],
}


def take() -> None:
    """Refresh the copies."""
    for language, pages in _PAGES.items():
        folder = DOCUMENTS / language
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for page in pages:
            shutil.copyfile(ROOT / page, folder / Path(page).name.lower())
