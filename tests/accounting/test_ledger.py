"""The ledger: its contents, that calls do not wait for it, and that no record is lost."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from llama_index.core.instrumentation.dispatcher import instrument_tags
from sqlalchemy import create_engine, select
from sqlalchemy.exc import OperationalError

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.accounting import postgresql
from tests.accounting.mixed_run import compare, read_rows, run
from tests.conftest import Endpoint
from tests.forked import Process
from tests.gateway import Fault, Gateway
from tests.waiting import wait_until
from texapi_core import TexAPIError, TexAPISettingsError
from texapi_core.accounting import ledger
from texapi_core.accounting.ledger import schema, writer
from texapi_core.accounting.record import CallLabels, CallRecord

MODEL = "claude-sonnet-4-6"
QUESTION = "What is the capital of Vietnam?"
needs_postgresql = pytest.mark.skipif(bool(postgresql.why_not()), reason=postgresql.why_not())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/usage.db"


@pytest.fixture(autouse=True)
def _own_writers() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    ledger.flush_ledgers()
    signal.signal(signal.SIGTERM, handler)


def rows_of(url: str) -> list[dict[str, Any]]:
    assert ledger.flush_ledgers()
    return read_rows(url)


def tags_of(url: str) -> list[str]:
    with create_engine(url).connect() as connection:
        return list(connection.scalars(select(schema.call_tags.c.tag).order_by("tag")))


# Contents


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_one_argument_records_every_call(
    framework: str, gateway: Gateway, endpoint: Endpoint, url: str
) -> None:
    if framework == "langchain":
        ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain()).invoke(QUESTION)
    else:
        TexAPI(model=MODEL, usage_ledger=url, **endpoint.for_llama_index()).complete(QUESTION)

    (row,), (booked,) = rows_of(url), gateway.ledger
    assert (row["request_id"], row["response_id"]) == (booked.request_id, booked.response_id)
    assert (row["input_tokens"], row["output_tokens"]) == (booked.prompt_tokens, booked.completion_tokens)
    assert (row["model"], row["served_model"], row["outcome"]) == (MODEL, MODEL, "ok")
    assert row["day"] == row["started_at"].date().isoformat()
    assert row["attempts"] == 1


def test_a_ledger_set_in_the_environment_is_used(
    endpoint: Endpoint, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", url)

    ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION)
    ChatTexAPI(model=MODEL, usage_ledger="", **endpoint.for_langchain()).invoke("Not this one")

    assert len(rows_of(url)) == 1


def test_a_ledger_set_in_the_environment_is_not_pickled(
    endpoint: Endpoint, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", url)
    chat = ChatTexAPI(model=MODEL, **endpoint.for_langchain())
    llm = TexAPI(model=MODEL, **endpoint.for_llama_index())
    pickles = [pickle.dumps(chat), pickle.dumps(llm)]
    assert not [one for one in pickles if url.encode() in one]

    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", "sqlite:///another.db")

    assert {pickle.loads(one).usage_ledger for one in pickles} == {"sqlite:///another.db"}
    assert chat.usage_ledger == llm.usage_ledger == url


def test_tags_and_metadata_are_recorded(endpoint: Endpoint, url: str) -> None:
    config: Any = {"tags": ["shop"], "metadata": {"order": 7}}
    ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain()).invoke(QUESTION, config)
    with instrument_tags({"customer": "acme"}):
        TexAPI(model=MODEL, usage_ledger=url, **endpoint.for_llama_index()).complete(QUESTION)

    first, second = sorted(rows_of(url), key=lambda row: row["started_at"])
    assert first["metadata"]["order"] == 7
    assert first["run_id"]
    assert second["metadata"] == {"customer": "acme"}
    assert tags_of(url) == ["customer=acme", "shop"]


def test_neither_the_key_nor_content_is_in_the_file(endpoint: Endpoint, url: str, tmp_path: Path) -> None:
    model = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())
    answer = model.invoke(QUESTION)
    (row,) = rows_of(url)

    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert endpoint.api_key.encode() not in everything
    assert QUESTION.encode() not in everything
    assert answer.text.encode() not in everything
    assert row["key_hint"] == f"…{endpoint.api_key[-4:]}"


def test_a_failed_call_is_recorded(gateway: Gateway, endpoint: Endpoint, url: str) -> None:
    gateway.misbehave(Fault(status=402, code="insufficient_credits"))
    with pytest.raises(TexAPIError):
        ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain()).invoke(QUESTION)

    (row,) = rows_of(url)
    assert (row["outcome"], row["error"]) == ("error", "TexAPIInsufficientCreditsError")
    assert row["error_code"] == "insufficient_credits"
    assert row["input_tokens"] is row["cost"] is None


# Costs


def test_the_cost_is_exact_and_in_the_frameworks_metadata(endpoint: Endpoint, url: str) -> None:
    prices = {MODEL: {"input": "3", "cached_input": "0.3", "output": "15"}}
    chat = ChatTexAPI(model=MODEL, usage_ledger=url, prices=prices, **endpoint.for_langchain())
    llm = TexAPI(model=MODEL, usage_ledger=url, prices=prices, **endpoint.for_llama_index())

    message, response = chat.invoke(QUESTION), llm.complete(QUESTION)

    first, second = sorted(rows_of(url), key=lambda row: row["started_at"])
    for row in (first, second):
        cached = row["cached_tokens"] or 0
        plain = row["input_tokens"] - cached
        cost = (plain * Decimal(3) + cached * Decimal("0.3") + row["output_tokens"] * 15) / 1_000_000
        assert row["cost"] == cost
        assert row["cost_source"] == "prices"
    assert message.response_metadata["cost"] == float(first["cost"])
    assert message.response_metadata["cost_source"] == "prices"
    assert not [name for name in message.usage_metadata or {} if "cost" in name]
    assert response.additional_kwargs["cost"] == float(second["cost"])


def test_the_cost_of_a_streamed_answer_counts_once(endpoint: Endpoint, url: str) -> None:
    model = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())
    chunks = list(model.stream(QUESTION))

    assert len([chunk for chunk in chunks if "cost" in chunk.response_metadata]) == 1
    (row,) = rows_of(url)
    assert sum(chunks[1:], chunks[0]).response_metadata["cost"] == float(row["cost"])


def test_the_cost_reported_by_the_gateway_takes_precedence(
    gateway: Gateway, endpoint: Endpoint, url: str
) -> None:
    answer = {
        "id": "c1",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.00123},
    }
    gateway.misbehave(Fault(body=answer))
    message = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain()).invoke(QUESTION)

    (row,) = rows_of(url)
    assert (row["cost"], row["cost_source"]) == (Decimal("0.00123"), "gateway")
    assert message.response_metadata["cost"] == 0.00123
    assert message.response_metadata["cost_source"] == "gateway"


def test_an_unknown_price_is_unknown(endpoint: Endpoint, url: str) -> None:
    model = ChatTexAPI(model="qwen3-235b", usage_ledger=url, **endpoint.for_langchain())
    message = model.invoke(QUESTION)

    (row,) = rows_of(url)
    assert row["cost"] is row["cost_source"] is None
    assert "cost" not in message.response_metadata


def test_without_accounting_there_is_no_cost(endpoint: Endpoint) -> None:
    message = ChatTexAPI(model=MODEL, **endpoint.for_langchain()).invoke(QUESTION)

    assert "cost" not in message.response_metadata


# Settings


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("texapi-usage.db", "must look like sqlite:///"),
        ("mysql://me:secret@host/db", "SQLite or PostgreSQL"),
        ("postgresql+psycopg2://me:secret@host/db", "psycopg2"),
        ("sqlite+aiosqlite:///usage.db", "async driver"),
        ("postgresql://me:secret@host:port/db", "must look like sqlite:///"),
    ],
)
def test_an_invalid_ledger_is_an_error_at_construction(endpoint: Endpoint, bad: str, said: str) -> None:
    for make in (
        lambda: ChatTexAPI(model=MODEL, usage_ledger=bad, **endpoint.for_langchain()),
        lambda: TexAPI(model=MODEL, usage_ledger=bad, **endpoint.for_llama_index()),
    ):
        with pytest.raises(TexAPISettingsError, match=said) as raised:
            make()
        assert "secret" not in str(raised.value)


def test_without_sqlalchemy_the_error_says_what_to_install(
    endpoint: Endpoint, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("texapi_core.accounting.ledger")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("ledger", "check_ledger"):
        monkeypatch.delattr(f"texapi_core.accounting.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)

    with pytest.raises(TexAPISettingsError, match=r'pip install "texapi-integrations\[ledger\]"'):
        ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())


def test_the_url_is_a_secret(endpoint: Endpoint) -> None:
    url = "postgresql://me:hush-hush@host/db"
    model = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())
    llm = TexAPI(model=MODEL, usage_ledger=url, **endpoint.for_llama_index())

    for shown in (
        repr(model),
        str(model.model_dump()),
        repr(llm),
        str(llm.to_dict()),
        repr(model._settings()),
    ):
        assert "hush-hush" not in shown
    assert pickle.loads(pickle.dumps(model)).usage_ledger == url


# Calls do not wait for it, and no record is lost


def record(**kwargs: Any) -> CallRecord:
    known = {"call_id": uuid4().hex, "started_at": datetime.now(UTC), "streamed": False}
    return CallRecord(**{**known, "outcome": "ok", "total_ms": 1.0, **kwargs})


def test_an_unavailable_database_delays_no_call_and_gets_all_records_later(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    url = f"sqlite:///{folder}/usage.db"
    model = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())
    for _ in range(3):
        model.invoke(QUESTION)
    assert not ledger.flush_ledgers(timeout=0.3)

    folder.mkdir()

    assert len(rows_of(url)) == 3
    assert "cannot be written yet" in caplog.text


def test_records_beyond_the_limit_of_the_queue_are_kept_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUED", 5)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "later"
    url = f"sqlite:///{folder}/usage.db"
    ledger.write_record(url, record())
    wait_until(lambda: "cannot be written yet" in caplog.text)  # the writer has it, and waits for the folder
    for number in range(9):
        ledger.write_record(url, record(request_id=f"req_{number}"))
    folder.mkdir()

    assert not ledger.flush_ledgers()
    assert ledger.flush_ledgers()
    assert len(read_rows(url)) == 6
    (kept,) = (tmp_path / "state" / "texapi").iterdir()
    assert [json.loads(line)["request_id"] for line in kept.read_text().splitlines()] == [
        "req_5",
        "req_6",
        "req_7",
        "req_8",
    ]
    assert caplog.text.count(str(kept)) == 1


def test_a_repeated_record_is_written_once(url: str) -> None:
    twice = record(labels=CallLabels(tags=("x",)))
    ledger.write_record(url, twice)
    ledger.write_record(url, twice)

    assert len(rows_of(url)) == 1
    assert tags_of(url) == ["x"]


def test_a_ledger_of_another_version_is_not_changed(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(tmp_path / "usage.db") as connection:
        connection.execute("CREATE TABLE texapi_schema (version INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO texapi_schema VALUES (99)")
    connection.close()

    ledger.write_record(url, record())
    ledger.flush_ledgers()

    assert "schema version 99" in caplog.text


def test_putting_is_quick(url: str, tmp_path: Path) -> None:
    """It makes at most six function calls, and returns while another connection locks the database."""
    one = record()
    ledger.write_record(url, one)
    assert ledger.flush_ledgers()
    events: list[str] = []
    locking = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    try:
        sys.setprofile(lambda frame, event, argument: events.append(event))
        for _ in range(1000):
            ledger.write_record(url, one)
    finally:
        sys.setprofile(None)
        locking.execute("ROLLBACK")
        locking.close()

    assert events.count("call") + events.count("c_call") <= 6 * 1000
    assert len(rows_of(url)) == 1


# How processes end

CALLS = """
import os, signal, sys, threading, time
from texapi_core import complete, resolve_settings
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
parameters = AccountingParameters()
parameters.check_accounting()
settings = resolve_settings(
    api_key=None, base_url=None, timeout=None, max_retries=0, accounting=parameters.accounting
)
def call(n):
    for number in range(n):
        message = {"role": "user", "content": f"Call {number}"}
        complete(settings, {"model": "claude-sonnet-4-6", "messages": [message]})
"""


def start(code: str, endpoint: Endpoint, url: str) -> Process:
    settings = {"USAGE_LEDGER": url, "API_KEY": endpoint.api_key, "BASE_URL": endpoint.base_url}
    given = {f"TEXAPI_{name}": value for name, value in settings.items()}
    return Process(CALLS + code, env={**os.environ, **given})


@pytest.mark.parametrize(
    "code",
    [
        "call(5)",
        pytest.param("call(5); sys.exit(3)", marks=pytest.mark.combination),
        pytest.param("call(5); raise KeyboardInterrupt", marks=pytest.mark.combination),
        pytest.param("threading.Thread(target=call, args=(5,)).start()", marks=pytest.mark.combination),
    ],
    ids=["end", "exit", "interrupt", "thread"],
)
def test_a_normal_exit_loses_nothing(endpoint: Endpoint, url: str, code: str) -> None:
    process = start(code, endpoint, url)
    process.communicate()

    assert len(read_rows(url)) == 5


def test_sigterm_loses_nothing_and_still_terminates(endpoint: Endpoint, url: str) -> None:
    process = start("call(5); print('ready', flush=True); time.sleep(240)", endpoint, url)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert len(read_rows(url)) == 5


def test_an_unpickled_model_is_ready_before_its_first_call(
    endpoint: Endpoint, url: str, tmp_path: Path
) -> None:
    model = ChatTexAPI(model=MODEL, usage_ledger=url, **endpoint.for_langchain())
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    code = f"""
import pickle, signal, sys
pickle.loads(open({str(tmp_path / "model.pickle")!r}, "rb").read())
print("texapi_core.accounting.ledger.writer" in sys.modules)
print(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
"""
    process = Process(code)
    said, complained = process.communicate()

    assert said == "True\nTrue\n", complained


def test_sigterm_in_the_middle_of_a_call_records_it_as_cancelled(
    gateway: Gateway, endpoint: Endpoint, url: str
) -> None:
    gateway.misbehave(Fault(delay=60))
    process = start("call(1)", endpoint, url)
    wait_until(lambda: gateway.requests)
    process.terminate()
    process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert [row["outcome"] for row in read_rows(url)] == ["cancelled"]


@pytest.mark.combination
def test_a_handler_of_the_user_s_own_stays(endpoint: Endpoint, url: str) -> None:
    code = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
call(5); print('ready', flush=True); time.sleep(240)
"""
    process = start(code, endpoint, url)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate()

    assert process.returncode == 7
    assert len(read_rows(url)) == 5


def _written(url: str) -> int:
    """The number of rows in the ledger; 0 if it does not exist yet."""
    with contextlib.suppress(OperationalError):
        return len(read_rows(url))
    return 0


def test_kill_9_loses_at_most_the_last_fraction_of_a_second(endpoint: Endpoint, url: str) -> None:
    process = start("call(5); print('ready', flush=True); time.sleep(240)", endpoint, url)
    assert process.stdout.readline() == "ready\n"
    called = time.monotonic()
    wait_until(lambda: _written(url) == 5)
    assert time.monotonic() - called < 5
    process.kill()
    process.communicate()

    assert len(read_rows(url)) == 5


@pytest.mark.parametrize(
    "code",
    [
        "call(2)\nif os.fork() == 0:\n    call(3)\nelse:\n    os.wait(); call(1)",
        pytest.param(
            "call(2)\nimport multiprocessing as m\n"
            "worker = m.get_context('fork').Process(target=call, args=(3,))\n"
            "worker.start(); worker.join(); call(1)",
            marks=pytest.mark.combination,
        ),
    ],
    ids=["os.fork", "multiprocessing"],
)
def test_a_fork_writes_each_call_once(gateway: Gateway, endpoint: Endpoint, url: str, code: str) -> None:
    process = start(code, endpoint, url)
    _, said = process.communicate()

    assert process.returncode == 0, said
    rows = read_rows(url)
    assert sorted(row["request_id"] for row in rows) == sorted(one.request_id for one in gateway.ledger)
    assert len(rows) == 6


# Many processes, every call style


@pytest.mark.combination
def test_the_ledger_equals_the_gateway_s(gateway: Gateway, url: str) -> None:
    outcomes = compare(gateway, run(gateway, url, count=40, processes=2), count=40)

    assert outcomes == {"ok": 20, "error": 8, "closed": 8, "cancelled": 4}


@needs_postgresql
@pytest.mark.combination
def test_the_ledger_equals_the_gateway_s_on_postgresql(gateway: Gateway) -> None:
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    with postgresql.server() as url:
        outcomes = compare(gateway, run(gateway, url, count=40, processes=2), count=40)

    assert outcomes == {"ok": 20, "error": 8, "closed": 8, "cancelled": 4}


def test_postgresql_stores_any_user_supplied_name(endpoint: Endpoint, postgresql_url: str) -> None:
    config: Any = {"tags": ["nul\0", "việt"], "metadata": {"half": "\ud800"}}
    ChatTexAPI(model=MODEL, usage_ledger=postgresql_url, **endpoint.for_langchain()).invoke(QUESTION, config)
    (row,) = rows_of(postgresql_url)
    ledger._writers.pop(postgresql_url)._engine.dispose()

    assert row["metadata"]["half"] == "?"
