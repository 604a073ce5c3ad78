"""Notebooks: executed and recorded by `make notebooks`, replayed by the tests."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the notebooks and their files are; a notebook may be opened from any folder."""
