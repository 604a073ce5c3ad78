"""The verdicts on a class, kept in a file as they come: a run that was stopped goes on where it was."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.faults.peers import Row

ROOT = Path(__file__).parent.parent.parent
KEPT_IN = ROOT / "build" / "faults"
_JUDGES = ("tests/faults/*.py", "tests/gateway/**/*", "tests/asking.py", "tests/test_outgoing*.py")
"""What decides about every verdict: the tables and the stand-in."""
_OURS = ("texapi_core/**/*", "langchain_texapi/**/*", "llama_index_texapi/**/*")


class Verdicts:
    """What is wrong with each row of a class so far.

    The file is that of these versions and of this code: of the table, the stand-in and, for a class of this
    project, of its packages. After a change the class is judged again.
    """

    def __init__(self, subject: str, versions: Sequence[str], *, ours: bool, kept_in: Path = KEPT_IN) -> None:
        judged_by = _digest(versions, _JUDGES + (_OURS if ours else ()))
        self.path = kept_in / f"{subject}-{judged_by}.jsonl"
        self._wrong: dict[Row, str] = {}
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                # The last line is cut if the run was killed as it was written.
                try:
                    row, wrong = json.loads(line)
                except ValueError:
                    continue
                self._wrong[Row(*row)] = wrong

    def add(self, row: Row, wrong: str) -> None:
        """Keep what is wrong with a row."""
        self._wrong[row] = wrong
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"\n" + json.dumps([row, wrong]).encode())

    def forget(self) -> None:
        """Forget all verdicts."""
        self._wrong.clear()
        self.path.unlink(missing_ok=True)

    def missing(self, rows: Iterable[Row]) -> list[Row]:
        """Those of these rows that have no verdict yet."""
        return [row for row in rows if row not in self._wrong]

    def of(self, rows: Iterable[Row], *, missing: str = "") -> dict[Row, str]:
        """What is wrong with these rows, in their order; `missing` of one that has no verdict."""
        return {row: self._wrong.get(row, missing) for row in rows}

    @property
    def day(self) -> str:
        """The day of the last verdict, or today."""
        written = self.path.stat().st_mtime if self.path.exists() else time.time()
        return datetime.date.fromtimestamp(written).isoformat()


def _digest(versions: Sequence[str], patterns: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(versions).encode())
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        is_code = path.is_file() and "__pycache__" not in path.parts
        if is_code and not (path.parent.name == "faults" and path.name.startswith("test_")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
