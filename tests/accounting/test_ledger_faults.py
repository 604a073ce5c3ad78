"""What the ledger does when records, the file or the server are bad: what is committed, kept, or lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.accounting.filled import call as filled_call
from tests.accounting.filled import fill as write_filled
from tests.accounting.mixed_run import read_rows
from tests.forked import run
from tests.waiting import wait_until
from texapi_core.accounting import open_for_reading, read_usage
from texapi_core.accounting.ledger import rejected
from texapi_core.accounting.ledger.schema import parse_url
from texapi_core.accounting.ledger.writer import LedgerWriter
from texapi_core.accounting.record import CallLabels, CallRecord, labels_of
from texapi_core.wire.usage import TokenUsage


def record(**kwargs: Any) -> CallRecord:
    known = {"call_id": uuid4().hex, "started_at": datetime.now(UTC), "streamed": False}
    return CallRecord(**{**known, "outcome": "ok", "total_ms": 1.0, **kwargs})


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/usage.db"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    for writer in _writers:
        writer._engine.dispose()
    _writers.clear()


_writers: list[LedgerWriter] = []


def writer_of(url: str) -> LedgerWriter:
    _writers.append(LedgerWriter(parse_url(url)))
    return _writers[-1]


def kept(url: str) -> list[dict[str, Any]]:
    path = rejected.rejected_path(parse_url(url))
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


HOSTILE = "nul\0 half\ud800 " + "x" * 9_000


def test_whatever_the_gateway_sends_costs_no_record(url: str) -> None:
    writer = writer_of(url)
    sent = [
        record(request_id=HOSTILE, response_id=HOSTILE, model=HOSTILE, served_model=HOSTILE),
        record(finish_reason=HOSTILE, error=HOSTILE, error_code=HOSTILE, key_hint=HOSTILE),
        record(usage=TokenUsage(input_tokens=2**63, output_tokens=-1, cached_tokens=10**5000)),
        record(cost=Decimal("1e99999"), cost_source="gateway"),
        record(cost=Decimal("NaN"), cost_source="gateway", attempts=2**70),
        record(labels=labels_of((HOSTILE,), {HOSTILE: HOSTILE, "many digits": 10**5000, "big": 2**64})),
        record(labels=CallLabels(tags=("nul\0", "nul"), metadata={"raw": 10**5000})),
        record(request_id="last"),
    ]
    for one in sent:
        writer.put(one)

    assert writer.flush(60)
    rows = read_rows(url)
    assert {row["call_id"] for row in rows} == {one.call_id for one in sent}
    assert kept(url) == []
    assert max(len(value) for row in rows for value in row.values() if isinstance(value, str)) <= 200
    with open_for_reading(url) as engine:
        (line,) = read_usage(engine, [])
        assert (line.calls, line.input_tokens, line.cost) == (len(sent), 0, None)
        assert sum(one.calls for one in read_usage(engine, ["metadata:big"])) == len(sent)


def test_a_record_that_the_database_refuses_is_kept_alone(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = writer_of(url)
    writer.put(record())
    assert writer.flush(60)
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        # A constraint of the user's own stands for whatever a later version of a database refuses.
        if connection.dialect.name == "sqlite":
            trigger = "BEFORE INSERT ON texapi_calls WHEN NEW.model = 'bad'"
            connection.exec_driver_sql(
                f"CREATE TRIGGER refuses {trigger} BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE texapi_calls ADD CHECK (model <> 'bad')")
    engine.dispose()
    for number in range(40):
        bad = number in (3, 17)
        writer.put(
            record(request_id=f"req_{number}", model="bad" if bad else "good", labels=CallLabels(tags=("t",)))
        )

    assert not writer.flush(60)
    assert writer.flush(60)
    assert len(read_rows(url)) == 39
    lines = kept(url)
    assert [line["request_id"] for line in lines] == ["req_3", "req_17"]
    assert lines[0]["tags"] == ["t"]
    said = [line for line in caplog.messages if "rejected.jsonl" in line]
    assert len(said) == 1


@pytest.mark.parametrize("way", ["deleted", "moved", "replaced", "emptied"])
def test_a_file_that_is_no_longer_there_is_noticed(file: Path, way: str) -> None:
    writer = writer_of(f"sqlite:///{file}")
    writer.put(record(request_id="before"))
    assert writer.flush(60)
    if way == "moved":
        file.rename(file.with_name("old.db"))
    elif way == "emptied":
        os.truncate(file, 0)
    else:
        for part in file.parent.glob("usage.db*"):
            part.unlink()
    if way == "replaced":
        other = writer_of(f"sqlite:///{file}")
        other.put(record(request_id="other"))
        assert other.flush(60)
    writer.put(record(request_id="after"))
    assert writer.flush(60)

    found = {row["request_id"] for row in read_rows(f"sqlite:///{file}")}
    # What the log of an emptied file still had may come back.
    kept = {"replaced": {"after", "other"}, "emptied": {"after"} | found & {"before"}}.get(way, {"after"})
    assert found == kept


def test_a_locked_ledger_is_written_when_it_is_free(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("texapi_core.accounting.ledger.schema._BUSY_SECONDS", 0.1)
    writer = writer_of(f"sqlite:///{file}")
    writer.put(record())
    assert writer.flush(60)
    locking = sqlite3.connect(file, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    writer.put(record())
    assert not writer.flush(0.3)
    wait_until(lambda: "database is locked" in caplog.text)
    locking.execute("ROLLBACK")
    locking.close()

    assert writer.flush(60)
    assert len(read_rows(f"sqlite:///{file}")) == 2
    assert kept(f"sqlite:///{file}") == []


FULL = """
import resource, signal, sys
from tests.accounting.filled import call
from texapi_core.accounting.ledger.schema import parse_url
from texapi_core.accounting.ledger.writer import LedgerWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = LedgerWriter(parse_url(sys.argv[1]))
writer.put(call(0))
assert writer.flush(60)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
for number in range(1, 301):
    writer.put(call(number, metadata={"x": "y" * 200}))
assert not writer.flush(2)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert writer.flush(60)
"""


def test_a_full_disk_that_was_cleared_costs_nothing(file: Path) -> None:
    """The limit of a file's size stands for the disk."""
    ended, _, complained = run(FULL, f"sqlite:///{file}")

    assert ended == 0, complained
    assert len(read_rows(f"sqlite:///{file}")) == 301
    assert kept(f"sqlite:///{file}") == []


def test_a_server_that_went_away_and_came_back(postgresql_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every connection is ended while the database accepts none, and then accepts them again."""
    writer = writer_of(postgresql_url)
    writer.put(record())
    assert writer.flush(60)
    parsed = parse_url(postgresql_url)
    admin = sa.create_engine(parsed.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        name = parsed.database
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        ending = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        connection.execute(ending, {"name": name})
        writer.put(record())
        assert not writer.flush(0.5)
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    admin.dispose()

    assert writer.flush(60)
    assert len(read_rows(postgresql_url)) == 2
    assert kept(postgresql_url) == []


ENDS = """
import os, signal, sys, time
from tests.accounting.filled import call
from texapi_core.accounting import ledger
for number in range(20):
    ledger.write_record(sys.argv[1], call(number))
"""


def end(url: str, code: str) -> int:
    return run(ENDS + code, url)[0]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("ledger.flush_ledgers(); os._exit(0)", 20),
        ("ledger.flush_ledgers(); os.kill(os.getpid(), signal.SIGKILL)", 20),
        ("os._exit(0)", None),
    ],
    ids=["_exit after flush", "kill -9 after flush", "_exit"],
)
def test_what_a_sudden_end_loses(file: Path, code: str, left: int | None) -> None:
    """What is not flushed may be lost; what is flushed is not."""
    end(f"sqlite:///{file}", code)

    if left is not None:
        assert len(read_rows(f"sqlite:///{file}")) == left


def test_a_normal_end_keeps_what_a_lost_ledger_cannot_take(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/usage.db"
    assert end(url, "ledger._EXIT_TIMEOUT = 0.2") == 0

    assert {line["request_id"] for line in kept(url)} == {f"req_{number}" for number in range(20)}


def test_a_clock_that_is_set_back_loses_nothing(url: str) -> None:
    writer = writer_of(url)
    now = datetime.now(UTC)
    for hours in (0, -30, 5, -1):
        writer.put(record(started_at=now + timedelta(hours=hours), usage=TokenUsage(input_tokens=1)))
    assert writer.flush(60)

    with open_for_reading(url) as engine:
        (every,) = read_usage(engine, [])
        (last_day,) = read_usage(engine, [], since=now - timedelta(days=1))
    assert (every.calls, last_day.calls) == (4, 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to test permissions")
def test_a_read_only_ledger_can_be_read(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"texapi-read-only-{uuid4().hex}"
    folder.mkdir()
    try:
        url = f"sqlite:///{folder}/usage.db"
        assert end(url, "") == 0
        (folder / "usage.db").chmod(0o444)
        folder.chmod(0o555)
        code = f"""
import os
from texapi_core.accounting import open_for_reading, read_usage
os.setuid(65534)
assert not os.access({str(folder)!r}, os.W_OK)
with open_for_reading({url!r}) as engine:
    print(read_usage(engine, [])[0].calls)
"""
        _, said, complained = run(code)
        assert said == "20\n", complained
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_what_is_in_the_ledger_is_not_rejected_at_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    write_filled(url, [filled_call(100)])
    with sqlite3.connect(tmp_path / "usage.db") as connection:
        connection.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON texapi_calls WHEN new.request_id = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'bad'); END"
        )
    connection.close()
    code = f"""
from tests.accounting.filled import call
from texapi_core.accounting.ledger import write_record
for number in range(50):
    write_record({url!r}, call(number, request_id="bad" if number == 7 else f"req_{{number}}"))
"""
    ended, _, complained = run(code)

    assert ended == 0, complained

    rejected = (tmp_path / "usage.db.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["request_id"] for line in rejected] == ["bad"]
    assert len(read_rows(url)) == 50
