"""The file of rejected records: what cannot be in the ledger, a JSON object per line, kept for the user."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from texapi_core.accounting.ledger.schema import sqlite_path

_STATE_ENV = "XDG_STATE_HOME"


def rejected_path(url: sa.URL) -> Path:
    """The file beside an SQLite ledger, e.g. `usage.db.rejected.jsonl`.

    For PostgreSQL, and where the ledger's folder is missing: `$XDG_STATE_HOME/texapi` or
    `~/.local/state/texapi`, named by the host and the database; for a user without a home directory, as in
    some containers, `texapi` in the working directory.
    """
    path = sqlite_path(url)
    if path is not None and path.parent.is_dir():
        return path.with_name(path.name + ".rejected.jsonl")
    state = os.environ.get(_STATE_ENV) or os.path.expanduser("~/.local/state")
    folder = Path(state if os.path.isabs(state) else ".") / "texapi"
    given = path.as_posix() if path else f"{url.host or url.query.get('host') or 'localhost'}-{url.database}"
    return folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', given).strip('_')}.rejected.jsonl"


def append_rejected(path: Path, row: Mapping[str, Any], tags: object, reason: str) -> None:
    """Append one record. Reentrant, and safe in many processes: one write to a file open for appending.

    Raises:
        OSError: the file cannot be written.
    """
    line = json.dumps({"reason": reason, "tags": tags, **row}, default=_plain, ensure_ascii=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        data = line.encode()
        if os.write(descriptor, data) != len(data):
            raise OSError("the disk is full")
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
