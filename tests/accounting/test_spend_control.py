"""Spend control for a team: five services in processes of their own, from the caps to the statement."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests import texapi_command
from tests.forked import ROOT
from tests.gateway import Gateway
from tests.gateway.journal import LedgerEntry
from texapi_core import TokenUsage
from texapi_core.accounting.ledger.schema import call_tags, calls, parse_url
from texapi_core.accounting.prices import bundled_prices

SERVICES = {
    "search": "langchain",
    "chat": "langchain",
    "summary": "langchain",
    "index": "llama_index",
    "agent": "llama_index",
}
EACH, ALL = Decimal("0.006"), Decimal("0.025")
"""USD. A call takes at most 0.0011. What four services may spend leaves room for calls of the fifth."""
BUDGETS = [
    {"max_cost": str(EACH), "scope": "tag:service", "window": "month"},
    {"max_cost": str(ALL), "window": "month"},
]
CALLS = 60
"""Calls that each service wants to make: more than its cap pays for."""


def environment(gateway: Gateway, url: str) -> dict[str, str]:
    return {
        "TEXAPI_API_KEY": gateway.key,
        "TEXAPI_BASE_URL": gateway.base_url,
        "TEXAPI_USAGE_LEDGER": url,
        "TEXAPI_TIMEZONE": "Asia/Ho_Chi_Minh",
        "TEXAPI_BUDGET_WARNINGS": "0.8,0.95",
        "TEXAPI_BUDGETS": json.dumps(BUDGETS),
    }


def run_services(variables: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What each service had to say at its end."""
    workers = {
        service: subprocess.Popen(
            [sys.executable, "-m", "tests.accounting.team_worker", service, framework, str(CALLS)],
            env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for service, framework in SERVICES.items()
    }
    said = {}
    for service, worker in workers.items():
        out, complained = worker.communicate(timeout=300)
        assert worker.returncode == 0, complained
        said[service] = json.loads(out)
    return said


def cost(entry: LedgerEntry) -> Decimal:
    usage = TokenUsage(
        input_tokens=entry.prompt_tokens,
        output_tokens=entry.completion_tokens,
        cached_tokens=entry.cached_tokens,
    )
    found = bundled_prices().cost(usage, entry.model)
    assert found is not None
    return found


def spent_by_service(gateway: Gateway, url: str) -> dict[str, Decimal]:
    """By the gateway's own count; the ledger says only which request is whose."""
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        select = sa.select(calls.c.request_id, call_tags.c.tag).join_from(calls, call_tags)
        service_of = {row[0]: row[1].removeprefix("service=") for row in connection.execute(select)}
    engine.dispose()
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for entry in gateway.ledger:
        spent[service_of[entry.request_id]] += cost(entry)
    return spent


def write_statement(gateway: Gateway, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "created_at", "model", "prompt_tokens", "completion_tokens", "cost"])
        for entry in gateway.ledger:
            figures = (entry.prompt_tokens, entry.completion_tokens, f"{cost(entry):f}")
            writer.writerow([entry.request_id, datetime.now(UTC).isoformat(), entry.model, *figures])


def texapi(*arguments: str) -> Any:
    return texapi_command.run(list(arguments))


@pytest.mark.parametrize("page", ["docs/spend-control.md", "docs/vi/spend-control.md"])
def test_the_price_list_of_the_page_is_one(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (ROOT / page).read_text("utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith('    {"source"'))
    (tmp_path / "prices.json").write_text("\n".join(lines[start : start + 2]), "utf-8")
    monkeypatch.setenv("TEXAPI_PRICES", str(tmp_path / "prices.json"))
    monkeypatch.delenv("TEXAPI_USAGE_LEDGER", raising=False)

    (price,) = json.loads(texapi("prices", "--json").stdout)

    assert price["model"] == "claude-sonnet-4-6"


@pytest.mark.combination  # five processes that import both frameworks
@pytest.mark.timeout(600)
def test_five_services_share_a_balance(
    gateway: Gateway, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment(gateway, postgresql_url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    said = run_services(variables)

    # The caps hold, by the gateway's count, and each is used.
    spent = spent_by_service(gateway, postgresql_url)
    assert spent.keys() == SERVICES.keys()
    assert all(0 < one <= EACH for one in spent.values()), spent
    assert ALL * Decimal("0.7") < sum(spent.values()) <= ALL, spent
    # Each service was stopped, and knew before what it had left.
    for one in said.values():
        assert one["flushed"]
        assert one["refusals"]
        assert "this month (Asia/Ho_Chi_Minh)" in one["refusals"][-1]
        assert len(one["left"]) + len(one["refusals"]) == CALLS
        assert one["left"][-1] < one["left"][0]
    # One warning for each cap and fraction that was reached, over all processes.
    warned = Counter(warning for one in said.values() for warning in one["warnings"])
    assert set(warned.values()) == {1}
    assert warned["all  0.8"] == (sum(spent.values()) >= ALL * 4 / 5)
    assert {f"tag:service service={name} 0.8" for name, usd in spent.items() if usd >= EACH * 4 / 5} <= set(
        warned
    )
    # The report.
    lines = json.loads(texapi("budget", "--json").stdout)
    found = {line["budget"]: Decimal(line["spent"]) for line in lines}
    assert found == {"all": sum(spent.values())} | {
        f"tag:service service={name}": usd for name, usd in spent.items()
    }
    assert texapi("budget", "--check", "--at", "0.5").exit_code == 1
    assert texapi("budget", "--check", "--at", "1").exit_code == 0
    by_tag = json.loads(texapi("usage", "--by", "tag", "--format", "json").stdout)
    assert {line["tag"]: Decimal(line["cost_usd"]) for line in by_tag} == {
        f"service={name}": usd for name, usd in spent.items()
    }
    assert texapi("prices", "--check").exit_code in (0, 1)  # 1 when the list of the package has become old
    # The statement.
    statement = tmp_path / "statement.csv"
    write_statement(gateway, statement)
    agreed = texapi("reconcile", str(statement))
    assert agreed.exit_code == 0, agreed.output
    with statement.open("a", encoding="utf-8") as file:
        file.write(statement.read_text("utf-8").splitlines()[1] + "\n")
    (double,) = json.loads(texapi("reconcile", str(statement), "--format", "json").stdout)
    assert double["kind"] == "double"
    assert Decimal(double["usd"]) == cost(gateway.ledger[0])
