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

from tests import texapi_command
from tests.accounting.filled import RECORDS, call, fill


@pytest.fixture
def url(filled_ledger: str) -> str:
    return filled_ledger


def texapi(*arguments: str | Path) -> Any:
    return texapi_command.run([str(argument) for argument in arguments])


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
            "cache_savings_usd": "0",
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
            "cache_savings_usd": "0",
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
            "cache_savings_usd": "0",
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


def test_usage_grouped_by_any_column_on_postgresql(postgresql_url: str) -> None:
    fill(postgresql_url, RECORDS)
    for by, groups in (("model", 3), ("day", 2), ("tag", 3), ("metadata:customer", 2)):
        found = rows("usage", "--ledger", postgresql_url, "--by", by)
        assert len(found) == groups
        assert sum(row["calls"] for row in found) == (7 if by == "tag" else 6)
    assert rows("usage", "--ledger", postgresql_url)[0]["cost_usd"] == "0.0055"
    assert rows("ledger", "info", "--ledger", postgresql_url)[0]["calls"] == 6
    assert (
        "Deleted 2 calls"
        in texapi("ledger", "prune", "--before", "2026-11-19", "--ledger", postgresql_url).stderr
    )


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
    assert "Calls of unknown cost: 2." in said
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
        (["usage"], 3, "Which ledger?"),
        (["usage", "--ledger", "sqlite:////nowhere/usage.db"], 3, "There is no ledger"),
        (["usage", "--ledger", "mysql://host/db"], 3, "SQLite or PostgreSQL"),
        (["usage", "--ledger", "URL", "--by", "colour"], 2, "grouped by model, day"),
        (["usage", "--ledger", "URL", "--since", "yesterday"], 2, "Not a time"),
        (["usage", "--ledger", "URL", "--since", "99999999999d"], 2, "Not a time"),
        (["usage", "--ledger", "URL", "--since", "99999999d"], 2, "Not a time"),
        (["usage", "--ledger", "URL", "--until", "0001-01-01T00:00+14:00"], 2, "Not a time"),
        (["usage", "--ledger", "URL", "--plot", "/nowhere/usage.png"], 2, "in a folder that exists"),
        (["usage", "--ledger", "URL", "--plot", "usage.gif"], 2, ".png or .svg"),
        (["usage", "--ledger", "URL", "--since", ""], 2, "Not a time: ''"),
        (["calls", "--ledger", "URL", "--limit", "99999999999999999999"], 2, "1000000000"),
        (["budget", "--ledger", "URL", "--check", "--at", "nan"], 2, "--at"),
        (["ledger", "prune", "--before", "1h", "--ledger", "URL"], 2, "last 24 hours"),
        (["ledger", "prune", "--before", "", "--ledger", "URL"], 2, "Not a time"),
        (["ledger", "export", "usage.db", "--ledger", "URL"], 2, ".csv or .parquet"),
        (["ledger", "export", "/nowhere/calls.csv", "--ledger", "URL"], 2, "cannot be written"),
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
    code = "import sys; sys.modules['sqlalchemy'] = None; from texapi_core.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code, "usage"], capture_output=True, text=True)

    assert result.returncode == 2
    assert 'pip install "texapi-integrations[cli]"' in result.stderr


# What the table shows


WIDE = [
    call(
        number,
        model=f"anthropic/claude-sonnet-{number}-with-a-long-name",
        tokens=(10**11, 10**10),
        cost="9999.123456",
        request_id=f"req_{number}" + "x" * 40,
        tags=("=cmd|' /C calc'!A0", "esc\x1b]0;title\x07\u202e"),
    )
    for number in (1, 2)
]


@pytest.mark.parametrize("width", ["40", "80", "160"])
@pytest.mark.parametrize("arguments", [["usage"], ["usage", "--by", "day"], ["calls"]])
def test_no_figure_day_or_id_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], width: str
) -> None:
    fill(f"sqlite:///{tmp_path}/wide.db", WIDE)
    monkeypatch.setenv("COLUMNS", width)
    said = texapi(*arguments, "--ledger", f"sqlite:///{tmp_path}/wide.db").stdout

    assert "…" not in said
    expected = {
        "usage": ["100,000,000,000", "10,000,000,000", "9,999.123456"],
        "calls": ["100000000000", "9,999.123456", "2026-11-20 12:00:01", "req_1" + "x" * 40],
    }
    for text in expected[arguments[0]] if "day" not in arguments else ["2026-11-20", "200,000,000,000"]:
        assert text in said
    if "Usage" in said or arguments == ["usage"]:
        assert "reasoning" not in said


def test_control_characters_and_formulas_are_harmless(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wide.db"
    fill(url, WIDE)
    for shape in ("table", "csv", "raw-csv", "json"):
        by = "metadata:esc\x1b]0;title\x07\u202e"
        for arguments in (["usage", "--by", "tag"], ["usage", "--by", by], ["calls"], ["ledger", "info"]):
            said = texapi(*arguments, "--ledger", url, "--format", shape).stdout
            assert all(character.isprintable() or character == "\n" for character in said)
    quoted = texapi("usage", "--by", "tag", "--ledger", url, "--format", "csv").stdout
    raw = texapi("usage", "--by", "tag", "--ledger", url, "--format", "raw-csv").stdout
    assert "'=cmd|" in quoted
    assert "'=cmd|" not in raw
    path = tmp_path / "calls.csv"
    assert texapi("ledger", "export", path, "--ledger", url).exit_code == 0
    assert [row["request_id"][:5] for row in csv.DictReader(path.read_text("utf-8").splitlines())] == [
        "req_1",
        "req_2",
    ]


def test_the_period_is_named_also_when_it_is_empty(url: str) -> None:
    said = texapi("usage", "--ledger", url, "--since", "2026-11-19").stdout
    empty = [texapi(name, "--ledger", url, "--since", "2027-01-01").stdout for name in ("usage", "calls")]

    assert "from 2026-11-19 00:00 until now (UTC)" in said
    assert empty == ["No calls from 2027-01-01 00:00 until now (UTC).\n"] * 2


def test_a_plot_can_be_an_svg(url: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.svg"
    assert texapi("usage", "--ledger", url, "--plot", path).exit_code == 0
    assert "<svg" in path.read_text("utf-8")


def test_pruned_calls_stay_in_the_sums(url: str) -> None:
    before = rows("usage", "--ledger", url)
    pruned = texapi("ledger", "prune", "--before", "2026-11-19", "--compact", "--ledger", url)

    assert "Deleted 2 calls" in pruned.stderr
    assert rows("usage", "--ledger", url) == before
    assert len(rows("calls", "--ledger", url)) == 4
    assert rows("ledger", "info", "--ledger", url)[0]["pruned_before"] == "2026-11-19T00:00:00+00:00"
    texapi("ledger", "prune", "--before", "2026-11-19", "--sums", "--ledger", url)
    assert sum(row["calls"] for row in rows("usage", "--ledger", url)) == 4
