"""No input of the command ends in a traceback."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.properties.strategies import examples
from texapi_core.cli import output
from texapi_core.cli.guard import FAILED, NO_LEDGER, USAGE_ERROR

of_one_folder = settings(
    examples,
    suppress_health_check=[*examples.suppress_health_check, HealthCheck.function_scoped_fixture],
)
COMMANDS = (
    ["usage"],
    ["calls"],
    ["reconcile"],
    ["models"],
    ["budget"],
    ["prices"],
    ["doctor"],
    ["ledger", "info"],
    ["ledger", "prune"],
    ["ledger", "export"],
)
OPTIONS = (
    "--since",
    "--until",
    "--before",
    "--by",
    "--limit",
    "--format",
    "--columns",
    "--at",
    "--timeout",
    "--model",
    "--language",
    "--plot",
)
FLAGS = ("--failed", "--check", "--json", "--sums", "--gateway", "--no-request", "--dark", "--help")
WORDS = (
    "",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "9" * 30,
    "9" * 5000,
    "7d",
    "999999999w",
    "2026-11-01",
    "0001-01-01T00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "day",
    "metadata:",
    "metadata:\x1b[31m",
    "json",
    "csv",
    "month.csv",
    "month.parquet",
    "nothing/month.csv",
    ".",
    "/",
    "\udcff",
    "[bold]",
    "x" * 5000,
)
LEDGERS = (
    "LEDGER",
    "sqlite:///file:LEDGER_FILE?uri=true",
    "sqlite:///file:LEDGER_FILE?uri=true&mode=ro",
    "sqlite://",
    "sqlite:///.",
    "sqlite:///\udcff",
    "sqlite:///statement.csv",
    "postgresql://localhost:1/x",
    "postgresql://host:port/x",
    "mysql://x",
    "sqlite+aiosqlite:///x.db",
    "sqlite:///x.db?mode=strange&timeout=soon",
    "://",
    "",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    fill(f"sqlite:///{folder}/usage.db", [call(1, tags=("a\x1b[31m",), metadata={"\x1b[31m": "x"}), call(2)])
    (folder / "statement.csv").write_text("id,day,model,cost\nreq_1,9999-12-31,m,1\n")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TEXAPI_BASE_URL", "http://127.0.0.1:1/v1")


def invoke(folder: Path, *arguments: str) -> Any:
    path = str(folder / "usage.db")
    given = [one.replace("LEDGER_FILE", path).replace("LEDGER", f"sqlite:///{path}") for one in arguments]
    return texapi_command.run(given)


words = st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\0"), max_size=10)
some_options = st.lists(st.tuples(st.sampled_from(OPTIONS), words).map(list), max_size=3)
some_flags = st.lists(st.sampled_from(FLAGS).map(lambda flag: [flag]), max_size=2)


@of_one_folder
@given(
    st.sampled_from(COMMANDS),
    st.sampled_from(LEDGERS),
    some_options,
    some_flags,
    st.lists(words | st.just("statement.csv"), max_size=1),
)
@example(["reconcile"], "LEDGER", [], [], ["statement.csv"])
@example(["calls"], "LEDGER", [["--limit", "9" * 30]], [], [])
@example(["ledger", "info"], "sqlite:///file:LEDGER_FILE?uri=true", [], [], [])
@example(["usage"], "LEDGER", [["--by", "metadata:\x1b[31m"]], [], [])
def test_no_arguments_end_in_a_traceback(
    folder: Path,
    command: list[str],
    ledger: str,
    options: list[list[str]],
    flags: list[list[str]],
    rest: list[str],
) -> None:
    asked = [] if command[0] in ("models", "doctor") else ["--ledger", ledger]
    result = invoke(folder, *command, *asked, *chain(*options, *flags), *rest)

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in range(FAILED), result.output
    assert "Traceback" not in result.output
    if result.exit_code < 2:
        assert all(one.isprintable() or one == "\n" for one in result.stdout)


@of_one_folder
@given(
    st.text(st.sampled_from("id,day,model,cost\n\r\"0123456789-:TZ+.$\0\x1b;'"), max_size=60)
    | st.binary(max_size=30)
)
def test_no_statement_ends_in_a_traceback(folder: Path, content: str | bytes) -> None:
    rows = content if isinstance(content, bytes) else b"id,day,model,cost\n" + content.encode()
    (folder / "any.csv").write_bytes(rows)

    assert invoke(folder, "reconcile", "any.csv", "--ledger", "LEDGER").exit_code in (0, 1, 3)


toml_values = st.text(max_size=3) | st.sampled_from(["%d %d", "%", "%Q", "%z", ";", "\n"])


@of_one_folder
@given(st.dictionaries(st.sampled_from(["day", "decimal", "thousands", "delimiter"]), toml_values))
def test_no_description_of_a_statement_ends_in_a_traceback(folder: Path, described: dict[str, str]) -> None:
    lines = [
        f'{name} = "{"".join(f"{chr(92)}U{ord(one):08x}" for one in value)}"'
        for name, value in described.items()
    ]
    (folder / "any.toml").write_text("\n".join(lines), "utf-8")
    arguments = ("reconcile", "statement.csv", "--ledger", "LEDGER", "--columns", "any.toml")

    assert invoke(folder, *arguments).exit_code in (0, 1, 3)


def test_calls_of_any_time_and_name_are_reported_and_drawn(folder: Path, tmp_path: Path) -> None:
    """A machine's clock may be anywhere, and a model's name is the gateway's."""
    path = tmp_path / "odd.db"
    times = (datetime(1, 1, 1), datetime(1969, 12, 31), datetime(9999, 12, 31, 23, 59, 59))
    names = ("$\\frac{", "_" * 300, "m\x1b[31m")
    odd = [
        replace(call(number, model=name), started_at=time.replace(tzinfo=UTC))
        for number, (time, name) in enumerate(zip(times, names, strict=True))
    ]
    fill(f"sqlite:///{path}", odd)
    for command in (
        ["usage", "--by", "day", "--plot", str(tmp_path / "odd.png")],
        ["usage", "--by", "model", "--plot", str(tmp_path / "odd.svg")],
        ["usage", "--since", "0001-01-01", "--until", "9998-12-30"],
        ["calls"],
        ["ledger", "info"],
        ["ledger", "export", str(tmp_path / "odd.parquet")],
        ["ledger", "prune", "--before", "1969-12-31T12:00"],
    ):
        assert invoke(folder, *command, "--ledger", f"sqlite:///{path}").exit_code == 0, command


def test_a_failure_of_the_command_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("a\nb")

    monkeypatch.setattr(output, "print_usage", fail)
    result = invoke(folder, "usage", "--ledger", "LEDGER")

    assert result.exit_code == FAILED
    assert result.stderr.startswith("The command failed in test_cli_inputs.py:")
    assert "KeyError" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "shape",
    [
        "table",
        pytest.param("csv", marks=pytest.mark.combination),
        pytest.param("json", marks=pytest.mark.combination),
    ],
)
def test_an_output_that_cannot_be_written_is_an_error(folder: Path, shape: str) -> None:
    command = [str(Path(sys.executable).parent / "texapi"), "usage", "--format", shape]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*command, "--ledger", f"sqlite:///{folder}/usage.db"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert ended.returncode == FAILED
    assert ended.stderr.startswith("The output cannot be written: No space left on device")
    assert ended.stderr.count("\n") == 1


def test_calls_are_exported_into_parquet(folder: Path, tmp_path: Path) -> None:
    for name in ("calls.csv", "calls.parquet"):
        result = invoke(folder, "ledger", "export", str(tmp_path / name), "--ledger", "LEDGER")
        assert result.exit_code == 0, result.output

    table = parquet.read_table(tmp_path / "calls.parquet").to_pylist()
    assert [row["request_id"] for row in table] == ["req_1", "req_2"]
    assert table[0]["started_at"] == datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC)
    assert table[0]["cost"] == Decimal("0.001")
    assert table[0]["tags"] == ["a\x1b[31m"]
    assert table[0]["metadata"] == '{"\\u001b[31m": "x"}'
    assert table[0]["input_tokens"] == 100
    with (tmp_path / "calls.csv").open(newline="") as file:
        assert list(next(csv.reader(file))) == list(table[0])


def test_an_empty_period_is_a_file_without_rows(folder: Path, tmp_path: Path) -> None:
    for name in ("calls.csv", "calls.parquet"):
        path = str(tmp_path / name)
        invoke(folder, "ledger", "export", path, "--ledger", "LEDGER", "--until", "2020-01-01")

    empty = parquet.read_table(tmp_path / "calls.parquet")
    assert empty.num_rows == 0
    assert (tmp_path / "calls.csv").read_text() == ",".join(empty.column_names) + "\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["usage", "--since", "2d", "--until", "3d"], USAGE_ERROR, "--until 3d is before --since 2d"),
        (["usage", "--ledger", "sqlite:////"], NO_LEDGER, "names a folder"),
        (["usage", "--ledger", "LEDGER", "--by", "metadata:\ud800"], USAGE_ERROR, "'metadata:\\ud800'"),
        (["reconcile", "empty.csv", "--ledger", "LEDGER"], NO_LEDGER, "is empty"),
        (["reconcile", "open.csv", "--ledger", "LEDGER"], NO_LEDGER, "line 2"),
        (
            ["reconcile", "good.csv", "--columns", "other.toml", "--ledger", "LEDGER"],
            NO_LEDGER,
            "key `bogus`",
        ),
    ],
)
def test_wrong_input_is_named(folder: Path, arguments: list[str], code: int, says: str) -> None:
    (folder / "empty.csv").write_text("")
    (folder / "open.csv").write_text('request_id,cost\n"a,1\n')
    (folder / "good.csv").write_text("request_id,cost\na,1\n")
    (folder / "other.toml").write_text("bogus = 1\n")
    placed = [str(folder / one) if one.endswith((".csv", ".toml")) else one for one in arguments]

    result = invoke(folder, *placed)

    assert result.exit_code == code, result.output
    assert says in result.stderr.replace("\n", " ")
