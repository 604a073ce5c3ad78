"""Limits in a database: processes that write at once, one that died, and a file that is replaced."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from tests.limits.gates import shared
from tests.limits.test_cli import REFUSED_ONCE, run
from tests.limits.test_gate import passed
from tests.waiting import wait_until
from texapi_core.limits import database_store
from texapi_core.limits.database_store import DatabaseStore
from texapi_core.limits.plan import parse_limits
from texapi_core.limits.state import Seen, Step
from texapi_core.limits.store import LEASE_SECONDS


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.combination)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{tmp_path}/limits.db"


def opened(url: str) -> DatabaseStore:
    plan = parse_limits(url)
    store = DatabaseStore(plan, plan.name or "a")
    store._open()
    return store


def test_no_step_is_lost_where_processes_write_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_store, "ANSWER_SECONDS", 60.0)
    stores = [opened(f"{url}{'&' if '?' in url else '?'}requests_per_minute=1e6") for _ in range(3)]

    def work(store: DatabaseStore) -> None:
        for _ in range(15):
            store._ask(Step(requests=1), 1e9)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    version, text = (
        stores[0]._connection.execute("SELECT version, state FROM texapi_limits WHERE name = 'a'").fetchone()
    )
    for store in stores:
        store._close()

    assert version == 45
    assert json.loads(text)["permitted"] == 45


def test_a_process_that_died_holds_nothing(url: str) -> None:
    plan = parse_limits(url + ("&" if "?" in url else "?") + "max_concurrency=1")
    dead, alive = DatabaseStore(plan, "a"), DatabaseStore(plan, "a")
    dead._open()
    alive._open()
    now = 1e9

    assert dead._ask(Step(requests=1), now).granted
    assert not alive._ask(Step(requests=1), now + LEASE_SECONDS - 1).granted
    assert alive._ask(Step(requests=1), now + LEASE_SECONDS + 1).granted
    dead._close()
    alive._close()


def test_what_was_learned_is_forgotten_after_an_hour(url: str) -> None:
    store = opened(url)
    store._ask(Step(seen=Seen(600), is_new=True), 1e9)

    assert store._ask(Step(), 1e9 + 3000).requests_per_second == pytest.approx(9.7)
    assert store._ask(Step(), 1e9 + 7000).requests_per_second == 5.0
    store._close()


def test_a_file_that_is_deleted_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "limits.db"
    one = shared(f"sqlite:///{path}?name=a&requests_per_minute=6000")
    with caplog.at_level(logging.INFO, "texapi"):
        passed(one)
        for file in tmp_path.iterdir():
            file.unlink()
        for _ in range(20):
            passed(one)
        wait_until(lambda: one._place._store is not None and one._place._store.is_ready())
        for _ in range(20):  # more than one step permits
            passed(one)

    assert path.exists()
    assert {message[:24] for message in caplog.messages} == {
        "SQLite does not answer (",
        "SQLite answers again: th",
    }


def test_the_command_shows_it(url: str) -> None:
    store = opened(url)
    store.step(Step(requests=1, seen=Seen(600, 60_000), is_new=True))
    store.step(Step(refused_epoch=0, refused_wait=30, held=1))
    store._close()

    code, printed, _ = run("--limits", url, "--format", "json")

    (row,) = json.loads(printed)
    assert code == 0
    assert 0 < row.pop("blocked_seconds") <= 33
    assert row == {"limit": "a", **REFUSED_ONCE}


def test_the_command_makes_no_file(tmp_path: Path) -> None:
    code, _, message = run("--limits", f"sqlite:///{tmp_path}/none.db")

    assert code == 3
    assert message == "SQLite does not answer: FileNotFoundError\n"
    assert list(tmp_path.iterdir()) == []
