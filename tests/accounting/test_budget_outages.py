"""Budgets while the server of their place is stopped, and when it is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.accounting import postgresql
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.limits import redis_server
from texapi_core import TexAPIBudgetExceededError, TexAPIBudgetUnavailableError, TexAPITimeoutError
from texapi_core.accounting import flush_budgets, flush_ledgers, ledger, reservations
from texapi_core.accounting.reservation_stores import stores
from texapi_core.limits import permit

QUESTION = "What is the capital of Vietnam?"
MODEL = "claude-sonnet-4-6"
ONE_CALL, AT_MOST = 22, 51
"""Tokens of the stand-in's answer to the question, and of the reservation."""
TROUBLE = {"postgresql": "the ledger cannot be written", "redis": "Redis cannot be reached or written"}


@pytest.fixture(params=[pytest.param("postgresql", marks=pytest.mark.combination), "redis"])
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, postgresql.Server | redis_server.Server]]:
    """A kind of server, and one that the test may stop."""
    tools: Any = {"postgresql": postgresql, "redis": redis_server}[request.param]
    if tools.why_not() or tools.GIVEN:
        pytest.skip(tools.why_not() or "the server for tests is not ours to stop")
    monkeypatch.setattr(permit, "_gates", {})
    stores.clear()
    own = tools.Server()
    own.start()
    yield request.param, own
    assert flush_ledgers(60)
    ledger._writers.clear()
    for store in stores.values():
        store._accounts.close()
    stores.clear()
    own.remove()


@pytest.mark.parametrize("times_out", [False, pytest.param(True, marks=pytest.mark.combination)])
def test_a_budget_is_closed_or_open_while_its_server_is_stopped(
    gateway: Gateway,
    endpoint: Endpoint,
    place: tuple[str, postgresql.Server | redis_server.Server],
    *,
    times_out: bool,
) -> None:
    """What an open one sent meanwhile counts when the server is back, and a budget is never opened twice.

    Redis keeps nothing on a disk here: it comes back empty.
    """
    kind, server = place
    shared: dict[str, Any] = {"max_tokens_total": 2 * ONE_CALL + AT_MOST - 1, "timeout": 1, "model": MODEL}
    shared["usage_ledger" if kind == "postgresql" else "limits"] = server.url
    closed = ChatTexAPI(**endpoint.for_langchain(**shared))
    opened = ChatTexAPI(on_ledger_error="open", **endpoint.for_langchain(**shared))
    other = TexAPI(on_ledger_error="open", **endpoint.for_llama_index(**shared))
    closed.invoke(QUESTION)
    assert flush_ledgers(60)
    assert flush_budgets(60)
    server.stop()

    for _ in range(2):
        with pytest.raises(TexAPIBudgetUnavailableError, match=f"{TROUBLE[kind]}.*Nothing was sent"):
            closed.invoke(QUESTION)
    if times_out:
        gateway.misbehave(Fault(delay=30))
        with pytest.raises(TexAPITimeoutError):
            opened.invoke(QUESTION)
    else:
        opened.invoke(QUESTION)
    for ask in (opened.invoke, other.complete):
        with pytest.raises(TexAPIBudgetExceededError, match="last saw"):
            ask(QUESTION)
    server.start()
    assert flush_ledgers(60)
    assert flush_budgets(60)

    spent = ONE_CALL + (AT_MOST if times_out else ONE_CALL)
    for ask in (closed.invoke, opened.invoke, other.complete):
        with pytest.raises(TexAPIBudgetExceededError, match=f" {spent} tokens are spent.*Nothing was sent"):
            ask(QUESTION)
    assert len(gateway.requests) == 2


def test_a_ledger_that_cannot_be_made_says_why_in_the_database_s_words_alone(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    file = tmp_path / "missing" / "usage.db"
    shared: dict[str, Any] = {"model": MODEL, "max_cost": 1, "usage_ledger": f"sqlite:///{file}"}
    model = ChatTexAPI(**endpoint.for_langchain(**shared))

    with pytest.raises(TexAPIBudgetUnavailableError) as raised:
        model.invoke(QUESTION)

    assert "the ledger cannot be written (unable to open database file)" in str(raised.value)
    file.parent.mkdir()
    assert flush_ledgers(60)


@pytest.mark.skipif(
    bool(postgresql.why_not() or postgresql.GIVEN), reason="no PostgreSQL that the test may stop"
)
def test_a_server_that_hangs_keeps_no_call(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections are alive, and no answer comes: so does a pooler whose server is away."""
    monkeypatch.setattr(reservations, "WAIT_SECONDS", 1.0)
    with postgresql.server() as url:
        model = ChatTexAPI(
            model=MODEL, **endpoint.for_langchain(usage_ledger=url, max_cost=1, on_ledger_error="closed")
        )
        model.invoke(QUESTION)
        assert flush_ledgers(60)
        assert flush_budgets(60)
        accounts: Any = next(store._accounts for name, store in stores.items() if url in name)
        backend = accounts._connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(TexAPIBudgetUnavailableError):
                model.invoke(QUESTION)
        finally:
            os.kill(backend, signal.SIGCONT)
        model.invoke(QUESTION)
        assert flush_ledgers(60)
        assert flush_budgets(60)
