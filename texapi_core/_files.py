"""Whether the files of an SQLite database are still those that were opened."""

from __future__ import annotations

import os

PAUSE_SECONDS = 0.2
"""How long to leave the files closed when they have changed: other processes look every 0.1 seconds, and
what they still have open must not be written beside new files."""
_BESIDE = ("-wal", "-shm")


def identity_of(path: str | os.PathLike[str]) -> object:
    """Device and inode of a database and of the files beside it, which last as long as a connection.

    `None` if the database is empty: SQLite then drops what its log still has.

    Raises:
        OSError: there is no such file.
    """
    found = os.stat(path)
    if not found.st_size:
        return None
    return found.st_dev, found.st_ino, *(_inode(path, suffix) for suffix in _BESIDE)


def _inode(path: str | os.PathLike[str], suffix: str) -> int:
    try:
        return os.stat(os.fspath(path) + suffix).st_ino
    except OSError:
        return 0
