"""Budgets under faults: four processes with 20 calls each at once, on SQLite and PostgreSQL.

`make torture` runs each fault while the calls are under way, and compares the cap and the ledger with what
the stand-in counts. It prints a line per run and fails if one has spent more, or if the ledger lacks more
calls than a fault may cost.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import psycopg

from tests.accounting import postgresql
from tests.accounting.budget_run import Processes, spent
from tests.accounting.mixed_run import read_rows
from tests.gateway import Fault, Gateway
from texapi_core.accounting.ledger.schema import parse_url

CAP = Decimal("0.15")
AT_ONCE, ROUNDS = 20, 30
_HELD_SECONDS = 1.0


class SQLite:
    """A ledger in a file, and what can happen to it."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "usage.db"
        self.url = f"sqlite:///{self.path}"

    def locked(self) -> None:
        lock = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        lock.execute("BEGIN IMMEDIATE")
        time.sleep(_HELD_SECONDS)
        lock.execute("ROLLBACK")
        lock.close()

    def away(self) -> None:
        """Another directory is in the file's place for a while."""
        kept = self.path.with_suffix(".kept")
        self.path.rename(kept)
        self.path.mkdir()
        time.sleep(_HELD_SECONDS)
        self.path.rmdir()
        kept.rename(self.path)

    def deleted(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)


class PostgreSQL:
    """A ledger in a database of its own, and what can happen to it."""

    name = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self._database = f"torture_{random.getrandbits(32):x}"
        self._server = parse_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
        self._do(f"CREATE DATABASE {self._database}")
        own = parse_url(server).set(drivername="postgresql", database=self._database)
        self.url = own.render_as_string(hide_password=False)

    def _do(self, *statements: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def locked(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("LOCK TABLE texapi_budgets IN ACCESS EXCLUSIVE MODE")
            time.sleep(_HELD_SECONDS)

    def away(self) -> None:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._database}'"
        self._do(f"ALTER DATABASE {self._database} ALLOW_CONNECTIONS false", end)
        time.sleep(_HELD_SECONDS)
        self._do(f"ALTER DATABASE {self._database} ALLOW_CONNECTIONS true")

    def deleted(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP TABLE texapi_budgets, texapi_reservations")

    def drop(self) -> None:
        self._do(f"DROP DATABASE {self._database} WITH (FORCE)")


Store = SQLite | PostgreSQL


def killed(processes: Processes) -> None:
    processes.workers[0].kill()


def run(gateway: Gateway, store: Store, fault: str) -> tuple[Decimal, Counter[str], float]:
    """The spending by the gateway's count, how the calls ended, and the seconds it took."""
    gateway.reset()
    gateway.misbehave(Fault(delay=0.2), times=100_000)
    processes = Processes(
        gateway, store.url, {"max_cost": str(CAP), "window": "month"}, at_once=AT_ONCE, rounds=ROUNDS
    )
    started = time.monotonic()
    processes.start()
    while len(gateway.requests) < 100:
        time.sleep(0.01)
    happen: dict[str, Callable[[], None]] = {
        "none": lambda: None,
        "killed": lambda: killed(processes),
        "locked": store.locked,
        "away": store.away,
        "deleted": store.deleted,
    }
    for name in fault.split("+"):
        happen[name]()
        time.sleep(0.2)
    outcomes = processes.outcomes()
    return spent(gateway)[0], outcomes, time.monotonic() - started


def missing(gateway: Gateway, store: Store) -> int:
    """Answers of the stand-in that are not in the ledger."""
    recorded = Counter(row["request_id"] for row in read_rows(store.url) if row["outcome"] == "ok")
    return (Counter(entry.request_id for entry in gateway.ledger if entry.status == 200) - recorded).total()


def may_lack(store: Store, fault: str) -> int | None:
    """How many a ledger may lack after a fault, `None` for any number: its file was deleted.

    A killed process takes along its calls under way, and those that ended since the last write.
    """
    if "deleted" in fault and isinstance(store, SQLite):
        return None
    return 2 * AT_ONCE if "killed" in fault else 0


FAULTS = ("none", "locked", "away", "killed", "deleted", "locked+killed+away")


@contextlib.contextmanager
def stores() -> Iterator[Callable[[str], Iterator[Store]]]:
    """What makes fresh stores: SQLite, and PostgreSQL where it is installed."""
    with contextlib.ExitStack() as stack:
        reason = postgresql.why_not()
        server = None if reason else stack.enter_context(postgresql.server())
        if reason:
            print("PostgreSQL skipped:", reason)

        def fresh(fault: str) -> Iterator[Store]:
            with tempfile.TemporaryDirectory() as folder:
                yield SQLite(Path(folder))
            if server is not None:
                database = PostgreSQL(server)
                yield database
                database.drop()

        yield fresh


def main(faults: list[str]) -> int:
    failed = 0
    with Gateway() as gateway, stores() as fresh:
        for fault in faults or FAULTS:
            for store in fresh(fault):
                usd, outcomes, seconds = run(gateway, store, fault)
                share = usd / CAP
                lacked, allowed = missing(gateway, store), may_lack(store, fault)
                failed += usd > CAP or (allowed is not None and lacked > allowed)
                ended = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
                print(
                    f"{store.name:10} {fault:18} {usd:.6f} of {CAP} USD ({share:.1%}) in {seconds:.1f} s, "
                    f"the ledger lacks {lacked}: {ended}",
                    flush=True,
                )
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
