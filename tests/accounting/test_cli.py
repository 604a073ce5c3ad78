"""The `texapi` command on a ledger with known calls."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.accounting import postgresql
from tests.accounting.filled import call, fill
from texapi_core.cli.commands import app

RECORDS = [
    call(1, day=18, tags=("shop", "vip"), metadata={"customer": "acme"}),
    call(2, day=18, model="gpt-5-mini", cost="0.0000001", tags=("shop",)),
    call(3, day=20, tokens=(1000, 100), cost="0.0045"),
    call(4, day=20, model="qwen3-235b", cost=None),
    call(
        5,
        day=20,
        tokens=None,
        cost=None,
        outcome="error",
        response_id=None,
        served_model=None,
        error="TexAPIRateLimitError",
        error_code="rate_limited",
    ),
    call(6, day=20, tokens=None, cost=None, outcome="closed"),
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/usage.db"
    fill(url, RECORDS)
    return url


def texapi(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    result = texapi(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_by_model(url: str) -> None:
    assert rows("usage", "--ledger", url) == [
        {
            "model": "claude-sonnet-4-6",
            "calls": 4,
            "failed": 2,
            "input_tokens": 1100,
            "output_tokens": 110,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "unpriced": 1,
            "cost_usd": "0.0055",
        },
        {
            "model": "gpt-5-mini",
            "calls": 1,
            "failed": 0,
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "unpriced": 0,
            "cost_usd": "0.0000001",
        },
        {
            "model": "qwen3-235b",
            "calls": 1,
            "failed": 0,
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "unpriced": 1,
            "cost_usd": None,
        },
    ]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("day", {"2026-11-18": 2, "2026-11-20": 4}),
        ("tag", {"-": 4, "shop": 2, "vip": 1}),
        ("key-hint", {"…abcd": 6}),
        ("metadata:customer", {"-": 5, "acme": 1}),
    ],
)
def test_usage_grouped_by_any_column(url: str, by: str, expected: dict[str, int]) -> None:
    assert {row[by]: row["calls"] for row in rows("usage", "--ledger", url, "--by", by)} == expected


@pytest.mark.skipif(bool(postgresql.why_not()), reason=postgresql.why_not())
def test_usage_grouped_by_any_column_on_postgresql() -> None:
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    with postgresql.server() as url:
        fill(url, RECORDS)
        for by, groups in (("model", 3), ("day", 2), ("tag", 3), ("metadata:customer", 2)):
            found = rows("usage", "--ledger", url, "--by", by)
            assert len(found) == groups
            assert sum(row["calls"] for row in found) == (7 if by == "tag" else 6)
        assert rows("usage", "--ledger", url)[0]["cost_usd"] == "0.0055"


def test_since_and_until(url: str) -> None:
    since = rows("usage", "--ledger", url, "--since", "2026-11-19", "--by", "day")
    until = rows("usage", "--ledger", url, "--until", "2026-11-19", "--by", "day")

    assert [row["day"] for row in since] == ["2026-11-20"]
    assert [row["day"] for row in until] == ["2026-11-18"]


def test_the_table_marks_unknown_costs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", url)
    said = texapi("usage").stdout

    assert "≥ 0.005500" in said
    assert "unknown" in said
    assert "The cost of 2 calls is not known" in said
    assert "1,100" in said


def test_csv_output_is_valid_csv(url: str) -> None:
    found = list(csv.DictReader(io.StringIO(texapi("usage", "--ledger", url, "--format", "csv").stdout)))

    assert [row["model"] for row in found] == ["claude-sonnet-4-6", "gpt-5-mini", "qwen3-235b"]
    assert [row["cost_usd"] for row in found] == ["0.0055", "0.0000001", ""]


def test_the_request_ids_of_failed_calls(url: str) -> None:
    assert [row["request_id"] for row in rows("calls", "--ledger", url, "--failed")] == ["req_6", "req_5"]
    assert "rate_limited" in texapi("calls", "--ledger", url, "--failed").stdout


@pytest.mark.parametrize(
    ("by", "dark"),
    [
        ("day", False),
        ("model", True),
        pytest.param("day", True, marks=pytest.mark.combination),
        pytest.param("model", False, marks=pytest.mark.combination),
    ],
)
def test_a_plot_is_an_image(url: str, tmp_path: Path, by: str, dark: bool) -> None:
    path = tmp_path / "usage.png"
    result = texapi("usage", "--ledger", url, "--by", by, "--plot", path, *(["--dark"] if dark else []))

    assert result.exit_code == 0, result.output
    with Image.open(path) as image:
        assert image.format == "PNG"
        corner = image.convert("L").getpixel((2, 2))
        assert isinstance(corner, int)
        assert corner < 64 if dark else corner > 192
        assert len(image.convert("RGB").getcolors(2**20) or []) > 10


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["usage"], 2, "Which ledger?"),
        (["usage", "--ledger", "sqlite:////nowhere/usage.db"], 3, "There is no ledger"),
        (["usage", "--ledger", "mysql://host/db"], 3, "SQLite or PostgreSQL"),
        (["usage", "--ledger", "URL", "--by", "colour"], 2, "grouped by model, day"),
        (["usage", "--ledger", "URL", "--since", "yesterday"], 2, "Not a time"),
        (["reconcile", "nothing.csv", "--ledger", "URL"], 3, "cannot be read"),
    ],
)
def test_errors_are_reported_with_an_exit_code(url: str, arguments: list[str], code: int, said: str) -> None:
    result = texapi(*(url if argument == "URL" else argument for argument in arguments))

    assert result.exit_code == code
    assert said in result.stderr


def test_the_command_is_installed_and_documents_its_exit_codes() -> None:
    command = Path(sys.executable).parent / "texapi"
    said = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout

    assert "Exit codes" in said
    for name in ("usage", "calls", "reconcile", "models", "doctor"):
        assert name in said


def test_without_its_extra_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from texapi_core.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 1
    assert 'pip install "texapi-integrations[cli]"' in result.stderr


# Statements


def reconcile(url: str, path: Path, text: str) -> Any:
    path.write_text(text, "utf-8")
    return texapi("reconcile", path, "--ledger", url, "--format", "json")


AGREES = """Request ID,Created At,Model,Prompt Tokens,Completion Tokens,Cost (USD)
req_1,2026-11-18T12:00:01Z,claude-sonnet-4-6,100,10,$0.001
req_2,2026-11-18T12:00:02Z,gpt-5-mini,100,10,0.000000
req_3,2026-11-20T12:00:03Z,claude-sonnet-4-6,"1,000",100,0.0045
req_4,2026-11-20T12:00:04Z,qwen3-235b,100,10,0.0001
"""


def test_a_statement_that_agrees(url: str, tmp_path: Path) -> None:
    result = reconcile(url, tmp_path / "statement.csv", AGREES)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == []


def test_a_statement_that_differs_by_request_id(url: str, tmp_path: Path) -> None:
    text = AGREES.replace("$0.001", "0.002").replace("req_4", "req_77").replace('"1,000"', "900")
    result = reconcile(url, tmp_path / "statement.csv", text)

    assert result.exit_code == 1
    assert [tuple(difference.values()) for difference in json.loads(result.stdout)] == [
        ("req_1", "cost", "0.001", "0.002"),
        ("req_3", "input_tokens", "1000", "900"),
        ("req_77", "entry", "none", "input_tokens=100 output_tokens=10 cost=0.0001"),
        ("req_4", "entry", "input_tokens=100 output_tokens=10", "none"),
    ]


def test_a_call_that_was_closed_early_shows_what_the_statement_charges(url: str, tmp_path: Path) -> None:
    result = reconcile(
        url, tmp_path / "statement.csv", AGREES + "req_6,2026-11-20,claude-sonnet-4-6,100,3,0.0004\n"
    )

    assert [tuple(one.values()) for one in json.loads(result.stdout)] == [
        ("req_6", "input_tokens", "unknown", "100"),
        ("req_6", "output_tokens", "unknown", "3"),
    ]


def test_a_statement_by_day_and_model(url: str, tmp_path: Path) -> None:
    text = """date;model;tokens_in;tokens_out
2026-11-18;claude-sonnet-4-6;100;10
2026-11-18;gpt-5-mini;100;11
2026-11-20;claude-sonnet-4-6;1000;100
"""
    result = reconcile(url, tmp_path / "statement.csv", text.replace(";", ","))

    assert result.exit_code == 1
    assert [tuple(one.values()) for one in json.loads(result.stdout)] == [
        ("2026-11-18 gpt-5-mini", "output_tokens", "10", "11"),
        ("2026-11-20 qwen3-235b", "entry", "input_tokens=100 output_tokens=10", "none"),
    ]


def test_a_file_without_the_columns_is_rejected(url: str, tmp_path: Path) -> None:
    result = reconcile(url, tmp_path / "statement.csv", "colour,size\nred,3\n")

    assert result.exit_code == 3
    assert "needs a column `request_id`" in result.stderr
