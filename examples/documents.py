"""The documents that the examples answer."""

from __future__ import annotations

import os

COUNT = int(os.environ.get("DOCUMENTS", "200"))
_SUBJECTS = ("invoices", "contracts", "repairs", "deliveries", "complaints", "returns", "prices")


def documents() -> list[dict[str, object]]:
    """Rows with `number` and `text`."""
    return [{"number": number, "text": f"What is {number} + 1000?"} for number in range(COUNT)]


def texts() -> list[tuple[int, str]]:
    """Numbered texts to extract metadata from and to summarise."""
    return [
        (
            number,
            f"Report {number} is about {_SUBJECTS[number % len(_SUBJECTS)]}. It counts {number * 7} of them.",
        )
        for number in range(COUNT)
    ]
