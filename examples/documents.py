"""The documents that the examples answer."""

from __future__ import annotations

import os

COUNT = int(os.environ.get("DOCUMENTS", "200"))


def documents() -> list[dict[str, object]]:
    """Rows with `number` and `text`."""
    return [{"number": number, "text": f"What is {number} + 1000?"} for number in range(COUNT)]
