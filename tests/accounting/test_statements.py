"""Statements of the gateway: how they are read, and what `texapi reconcile` finds in them."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import texapi_command
from tests.accounting.filled import call, fill
from texapi_core.accounting import StatementError, StatementFormat, read_statement


@pytest.fixture
def url(filled_ledger: str) -> str:
    return filled_ledger


def texapi(*arguments: str | Path) -> Any:
    return texapi_command.run([str(argument) for argument in arguments])


def reconcile(url: str, path: Path, text: str) -> Any:
    path.write_text(text, "utf-8")
    return texapi("reconcile", path, "--ledger", url, "--format", "json")


AGREES = """Request ID,Created At,Model,Prompt Tokens,Completion Tokens,Cost (USD)
req_1,2026-11-18T12:00:01Z,claude-sonnet-4-6,100,10,$0.001
req_2,2026-11-18T12:00:02Z,gpt-5-mini,100,10,0.000000
req_3,2026-11-20T12:00:03Z,claude-sonnet-4-6,1000,100,0.0045
req_4,2026-11-20T12:00:04Z,qwen3-235b,100,10,0.0001
"""


def differences(url: str, path: Path, text: str) -> list[tuple[Any, ...]]:
    result = reconcile(url, path, text)
    assert result.exit_code == 1, result.output
    return [tuple(one.values()) for one in json.loads(result.stdout)]


def test_a_statement_that_agrees(url: str, tmp_path: Path) -> None:
    result = reconcile(url, tmp_path / "statement.csv", AGREES)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == []


def test_a_statement_that_differs_by_request_id(url: str, tmp_path: Path) -> None:
    text = AGREES.replace("$0.001", "0.002").replace("req_4", "req_77").replace("1000,", "900,")

    assert differences(url, tmp_path / "statement.csv", text) == [
        ("cost", "req_1", "cost", "0.001", "0.002", "0.001"),
        ("count", "req_3", "input_tokens", "1000", "900", None),
        ("foreign", "req_77", "entry", "none", "input_tokens=100 output_tokens=10 cost=0.0001", "0.0001"),
        ("missing", "req_4", "entry", "input_tokens=100 output_tokens=10", "none", None),
    ]


def test_an_id_is_compared_as_the_ledger_has_it(tmp_path: Path) -> None:
    """The ledger has 200 characters of it."""
    url, long = f"sqlite:///{tmp_path}/usage.db", "r" * 300
    fill(url, [replace(call(1), request_id=long)])

    assert differences(url, tmp_path / "s.csv", f"request_id,input_tokens\n{long},90\n") == [
        ("count", long[:200], "input_tokens", "100", "90", "-0.00003")
    ]


def test_a_column_is_taken_for_one_thing(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("Amount,Day,Model\n1,2026-11-18,m\n", "utf-8")
    written = StatementFormat(columns={"cost": "Amount", "input_tokens": "Amount"})

    with pytest.raises(StatementError, match="`Amount` is taken for input_tokens and for cost"):
        read_statement(path, written)


def test_a_request_that_is_billed_four_times(url: str, tmp_path: Path) -> None:
    line = AGREES.splitlines()[3]

    assert differences(url, tmp_path / "statement.csv", AGREES + f"{line}\n" * 3) == [
        (
            "double",
            "req_3",
            "entry",
            "no further call",
            "input_tokens=3000 output_tokens=300 cost=0.0135",
            "0.0135",
        ),
    ]


def test_lines_without_a_request_id_are_compared_by_day_and_model(url: str, tmp_path: Path) -> None:
    text = AGREES.replace("req_4,", ",").replace("qwen3-235b,100", "qwen3-235b,101")

    assert differences(url, tmp_path / "statement.csv", text) == [
        ("count", "2026-11-20 qwen3-235b", "input_tokens", "100", "101", None)
    ]


def test_a_call_that_was_closed_early_shows_what_the_statement_charges(url: str, tmp_path: Path) -> None:
    text = AGREES + "req_6,2026-11-20,claude-sonnet-4-6,100,3,0.0004\n"

    assert differences(url, tmp_path / "statement.csv", text) == [
        ("count", "req_6", "input_tokens", "unknown", "100", "0.0003"),
        ("count", "req_6", "output_tokens", "unknown", "3", "0.000045"),
    ]


def test_a_statement_by_day_and_model(url: str, tmp_path: Path) -> None:
    text = """date,model,requests,tokens_in,tokens_out
2026-11-18,claude-sonnet-4-6,2,100,10
2026-11-18,gpt-5-mini,1,100,11
2026-11-20,claude-sonnet-4-6,3,1000,100
"""

    assert differences(url, tmp_path / "statement.csv", text) == [
        ("count", "2026-11-18 claude-sonnet-4-6", "calls", "1", "2", None),
        ("count", "2026-11-18 gpt-5-mini", "output_tokens", "10", "11", "0.000002"),
        ("missing", "2026-11-20 qwen3-235b", "entry", "input_tokens=100 output_tokens=10", "none", None),
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (column, value)
        for column in (3, 5)
        for value in ("NaN", "Infinity", "1e99999", "1,234", "-inf", "0x10", "1_000", "ten", "١٢", "9" * 5000)
    ]
    + [(3, "-5"), (3, "1.5"), (1, "18/11/2026"), (1, "2026-13-41")],
)
def test_a_bad_figure_is_named_by_line_and_column(url: str, tmp_path: Path, column: int, value: str) -> None:
    lines = [line.split(",") for line in AGREES.splitlines()]
    lines[2][column] = f'"{value}"'
    result = reconcile(url, tmp_path / "statement.csv", "\n".join(map(",".join, lines)))

    assert result.exit_code == 3
    assert f"line 3, column {column + 1} (`{lines[0][column]}`)" in result.stderr
    assert result.stdout == ""


def test_a_small_file_describes_another_statement(url: str, tmp_path: Path) -> None:
    text = """Mã;Khi nào;Vào;Tiền
req_1;18.11.2026;100;0,001
req_3;20.11.2026;1.000;0,0045
"""
    (tmp_path / "statement.toml").write_text(
        """day = "%d.%m.%Y"
decimal = ","
thousands = "."
delimiter = ";"
[columns]
request_id = "Mã"
day = "Khi nào"
input_tokens = "Vào"
cost = "Tiền"
""",
        "utf-8",
    )
    (tmp_path / "statement.csv").write_text(text, "utf-8")
    columns = ["--columns", str(tmp_path / "statement.toml"), "--format", "json"]
    result = texapi("reconcile", tmp_path / "statement.csv", "--ledger", url, *columns)

    assert {one["what"] for one in json.loads(result.stdout)} == {"req_2", "req_4"}


@pytest.mark.parametrize(
    ("thousands", "decimal", "charged", "amount"),
    [
        (".", ",", "1.234.567,5", "1234567.5"),
        (",", ".", "-1,234", "-1234"),
        (" ", ",", "12 34 567", "1234567"),
        (".", ",", "0,02", "0.02"),
        (".", ",", "0.02", None),
        (".", ",", "0.020", None),
        (".", ",", "1.23.4,5", None),
        (".", ",", "1.2345", None),
        (",", ".", "1,234.5,678", None),
    ],
)
def test_thousands_are_read_only_where_they_are_grouped(
    tmp_path: Path, thousands: str, decimal: str, charged: str, amount: str | None
) -> None:
    (tmp_path / "statement.csv").write_text(f"id;cost\nreq_1;{charged}\n", "utf-8")
    written = StatementFormat(decimal=decimal, thousands=thousands, delimiter=";")
    if amount is None:
        with pytest.raises(StatementError, match=r"line 2, column 2 \(`cost`\) is not an amount"):
            read_statement(tmp_path / "statement.csv", written)
    else:
        (entry,) = read_statement(tmp_path / "statement.csv", written)
        assert entry.cost == Decimal(amount)


def test_an_amount_in_another_currency_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "statement.csv"
    path.write_text("id,cost,currency\nreq_1,1,usd\nreq_2,1,EUR\n")
    with pytest.raises(StatementError, match=r"line 3, column 3 \(`currency`\) is not USD: 'EUR'"):
        read_statement(path)

    path.write_text("id,input_tokens,currency\nreq_2,1,EUR\n")
    assert len(read_statement(path)) == 1


def test_a_statement_that_cannot_be_read_says_what_to_do(url: str, tmp_path: Path) -> None:
    path = tmp_path / "statement.csv"
    assert "--columns" in reconcile(url, path, AGREES.replace(",", ";")).stderr
    path.write_bytes(AGREES.encode("utf-16"))
    assert "UTF-8" in texapi("reconcile", path, "--ledger", url).stderr

    path.write_text(AGREES.replace(",", ";"))
    (tmp_path / "columns.toml").write_text('delimiter = ";"', "utf-8-sig")
    described = texapi("reconcile", path, "--ledger", url, "--columns", tmp_path / "columns.toml")
    assert described.exit_code == 0


@pytest.mark.parametrize("text", ["colour = 1", "columns = 3", "[columns]\nsize = 'x'", "day = 5", "["])
def test_a_description_that_is_none_is_rejected(url: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "statement.toml").write_text(text)
    (tmp_path / "statement.csv").write_text(AGREES)
    result = texapi(
        "reconcile", tmp_path / "statement.csv", "--ledger", url, "--columns", tmp_path / "statement.toml"
    )

    assert result.exit_code == 3, result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AGREES + "req_5,2026-11-20,claude-sonnet-4-6,100,3,0.0004,extra\n", "line 6 has 7 cells"),
        (AGREES + "req_5,2026-11-20,claude-sonnet-4-6,100,3\n", "line 6 has 5 cells"),
        (AGREES + ",,,100,3,0.0004\n", "line 6 has neither a request id nor a day and a model"),
        (AGREES + ",2026-11-20,,100,3,0.0004\n", "line 6 has neither"),
        (AGREES.replace("Model", "cost_usd"), "2 columns `cost_usd`: rename all but one"),
    ],
)
def test_a_line_that_is_not_whole_is_rejected(url: str, tmp_path: Path, text: str, said: str) -> None:
    result = reconcile(url, tmp_path / "statement.csv", text)

    assert result.exit_code == 3
    assert said in result.stderr


@pytest.mark.parametrize("charged", ["2026-11-19T00:00:01Z", "2026-11-17T23:59:59Z"])
def test_a_call_around_midnight_is_not_foreign(tmp_path: Path, charged: str) -> None:
    """Its line has the time of the charge, or of another clock."""
    url = f"sqlite:///{tmp_path}/usage.db"
    fill(url, [call(1, day=18)])
    heading = AGREES.splitlines()[0]
    result = reconcile(
        url, tmp_path / "statement.csv", f"{heading}\nreq_1,{charged},claude-sonnet-4-6,100,10,0.001\n"
    )

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-11-18", "2026-11-18"),
        ("2026-11-18 23:59", "2026-11-18"),
        ("2026-11-18T23:59:59.123456789Z", "2026-11-18"),
        ("2026-11-18 23:59:59 UTC", "2026-11-18"),
        ("2026-11-18T00:30:00+07:00", "2026-11-17"),
        ("2026-11-18 00:30:00,5 +0700", "2026-11-17"),
        ("2026-11-18T20:30:00-05", "2026-11-19"),
        ("9999-12-31", "9999-12-31"),
    ],
)
def test_the_day_of_a_time_is_that_in_utc(tmp_path: Path, time: str, day: str) -> None:
    path = tmp_path / "statement.csv"
    path.write_text(f'id,time,model,cost\nreq_1,"{time}",m,1\n', "utf-8")

    (entry,) = read_statement(path)

    assert entry.day == day


@pytest.mark.parametrize("time", ["2026-11-18 10:00 ICT", "2026-11-18 morning", "0001-01-01T00:00+07:00"])
def test_a_time_of_no_known_zone_is_rejected(url: str, tmp_path: Path, time: str) -> None:
    result = reconcile(url, tmp_path / "statement.csv", f"id,time,model,cost\nreq_1,{time},m,1\n")

    assert result.exit_code == 3
    assert "line 2, column 2 (`time`) is not a date or time like 2026-11-18" in result.stderr


@pytest.mark.parametrize("day", ["9999-12-31", "9999-12-30", "0001-01-01"])
def test_the_first_and_the_last_day_of_the_calendar_are_days(url: str, tmp_path: Path, day: str) -> None:
    result = reconcile(url, tmp_path / "statement.csv", f"id,day,model,cost\nreq_x,{day},m,1\n")

    assert result.exit_code == 1, result.output
    assert [one["kind"] for one in json.loads(result.stdout)] == ["foreign"]


def test_a_file_without_the_columns_is_rejected(url: str, tmp_path: Path) -> None:
    result = reconcile(url, tmp_path / "statement.csv", "colour,size\nred,3\n")

    assert result.exit_code == 3
    assert "needs a column `request_id`" in result.stderr
