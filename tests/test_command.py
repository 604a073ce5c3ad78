"""The command `texapi` itself: its arguments, languages, tables and `chat`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import string
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.cli_texts import texts
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.properties.strategies import examples
from texapi_core import __version__
from texapi_core.cli import guard
from texapi_core.cli.language import vietnamese
from texapi_core.cli.parser import COMMANDS
from texapi_core.cli.table import table_lines
from texapi_core.cli.terminal import cell_width

NAMES = [name.split() for name in COMMANDS]
COMMAND = "from texapi_core.cli import main; main()"
RUN_EACH = """
from texapi_core.cli import main
for command in sys.argv[1:]:
    print(end="\\0", flush=True)
    sys.argv = ["texapi", *command.split()]
    try:
        main()
    except SystemExit:
        pass
"""


# Languages


def _values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_is_in_vietnamese_with_its_values() -> None:
    wanted = texts()

    assert len(wanted) > 150
    assert wanted == set(vietnamese())
    assert [text for text in wanted if _values(text) != _values(vietnamese()[text])] == []


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_help_is_in_both_languages_and_fits_80_columns(
    name: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    english = texapi_command.run([*name, "-h", "--language", "en"])
    vietnamese_help = texapi_command.run([*name, "--help"])

    assert (english.exit_code, vietnamese_help.exit_code) == (0, 0)
    assert english.stdout.startswith("usage: texapi ")
    assert vietnamese_help.stdout.startswith("cách dùng: texapi ")
    assert re.findall(r"--[a-z-]+", english.stdout)[0] in vietnamese_help.stdout
    assert "options:" not in vietnamese_help.stdout


def test_wrong_arguments_are_told_in_the_language_of_the_locale() -> None:
    environment = {"LC_ALL": "vi_VN.UTF-8"}

    assert texapi_command.run(["usage"], env=environment).stderr.startswith("Ledger nào?")
    assert texapi_command.run(["usage", "--bogus"], env=environment).stderr.startswith("Không có tham số này")
    assert texapi_command.run(["usage", "--bogus", "--language=en"], env=environment).stderr.startswith(
        "Unknown"
    )


# Arguments


def test_the_version() -> None:
    assert texapi_command.run(["--version"]).stdout == f"texapi {__version__}\n"


def test_help_imports_little() -> None:
    """Counted, since seconds depend on the machine: a process of Python alone has about 35 modules."""
    code = "import sys; sys.argv = ['texapi', '--help']\nimport atexit\n"
    code += "atexit.register(lambda: print(len(sys.modules), *sys.modules, file=sys.stderr))\n" + COMMAND
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *modules = ended.stderr.split()

    assert int(count) < 150
    assert not {"openai", "pydantic", "sqlalchemy", "langchain_core", "texapi_core.settings"} & set(modules)


@pytest.mark.skipif(os.name == "nt", reason="streams are closed by the shell of Unix")
@pytest.mark.parametrize(
    ("closed", "arguments", "code", "says"),
    [
        ("<&-", "chat -m gpt-5.2", 2, "the prompt is empty"),
        (">&-", "--version", 5, "cannot be written"),
        (">&-", "--help", 5, "cannot be written"),
        (">&-", "usage --bogus", 2, "Unknown arguments: --bogus. See"),
        (">/dev/full", "--help", 5, "cannot be written"),
        (">/dev/full", "usage --help", 5, "cannot be written"),
        ("2>&-", "usage --bogus", 2, ""),
    ],
)
def test_a_stream_that_is_closed_or_full(closed: str, arguments: str, code: int, says: str) -> None:
    if "/dev/full" in closed and not Path("/dev/full").exists():
        pytest.skip("Linux has a device that is always full")
    command = ["sh", "-c", f'exec "$0" -c "$1" {arguments} {closed}', sys.executable, COMMAND]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TEXAPI_API_KEY": "k"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert ended.returncode == code
    assert says in ended.stderr
    assert "report" not in ended.stderr


def test_the_language_stands_anywhere() -> None:
    before, between, after = (
        texapi_command.run(words.split()).stderr
        for words in ("--language vi ledger info", "ledger --language vi info", "ledger info --language vi")
    )

    assert before == between == after
    assert before.startswith("Ledger nào?")


def test_help_and_pages_list_every_exit_code() -> None:
    codes = {str(value) for name, value in vars(guard).items() if name.isupper() and isinstance(value, int)}
    shown = texapi_command.run(["--help"]).stdout.partition("Exit codes: ")[2]

    assert set(re.findall(r"(?:^|; )(\d+) ", shown.replace("\n", " "))) == {"0", *codes}
    for page in ("docs/usage.md", "docs/vi/usage.md"):
        text = (Path(__file__).parent.parent / page).read_text("utf-8")
        assert set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == {"0", *codes}


def test_without_arguments_it_shows_its_help() -> None:
    assert texapi_command.run([]).stdout == texapi_command.run(["--help"]).stdout


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_every_report_has_json(name: list[str]) -> None:
    shown = texapi_command.run([*name, "--help"]).stdout

    assert ("--json" in shown) is (name != ["completion"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_shell_completes_the_command(shell: str) -> None:
    if find_spec("shtab") is None:
        pytest.skip('shtab is not installed: pip install "texapi-integrations[cli]"')
    ended = texapi_command.run(["completion", shell])

    assert ended.exit_code == 0
    assert "reconcile" in ended.stdout
    assert "raw-csv" in ended.stdout


def test_the_base_install_can_chat_and_examine(endpoint: Endpoint) -> None:
    """Without the extras of the command, and without a framework."""
    missing = ("sqlalchemy", "rich", "typer", "langchain_core", "llama_index", "matplotlib")
    code = f"import sys\nfor name in {missing}:\n    sys.modules[name] = None\n" + RUN_EACH
    environment = {**os.environ, "TEXAPI_API_KEY": endpoint.api_key, "TEXAPI_BASE_URL": endpoint.base_url}
    expected = {
        "doctor --no-request --json": '"check": "models"',
        "chat -m gpt-5.2 Hello": "\n",
        "models": "gpt",
        "prices gpt-5-mini": "gpt-5-mini",
    }
    ended = subprocess.run(
        [sys.executable, "-c", code, *expected], capture_output=True, text=True, env=environment, check=True
    )
    assert "needs the package" not in ended.stderr
    for (arguments, words), said in zip(expected.items(), ended.stdout.split("\0")[1:], strict=True):
        assert words in said, (arguments, ended.stderr)


_WORDS = (
    *("-", "--", "-1", "nan", "--json", "--format", "csv", "--language", "vi", "xx", "--limit", "-m"),
    *("--html", "=", "--since", "7d", "--plot", "a.png", "\x1b[31m", "\udcff", "%s", "%(prog)s", "{0}"),
    *("{text}", "ledger"),
)


@examples
@given(
    st.sampled_from([[], *NAMES]),
    st.lists(st.sampled_from(_WORDS) | st.text(max_size=8).filter(lambda text: "\0" not in text), max_size=5),
)
def test_any_words_end_in_an_exit_code(name: list[str], words: list[str]) -> None:
    """Nothing of it can reach a gateway or a ledger."""
    environment = {"TEXAPI_BASE_URL": "http://127.0.0.1:1/v1", "TEXAPI_USAGE_LEDGER": "", "TEXAPI_LIMITS": ""}
    for language in ("en", "vi"):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            ended = texapi_command.run([*name, "--language", language, *words], env=environment)

        assert ended.exception is None
        assert ended.exit_code in (0, 1, 2, 3, 4), ended.stderr
        assert "Traceback" not in ended.output
        assert ended.exit_code in (0, 1) or ended.stderr


# Tables

cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@examples
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "model": cells,
                "input_tokens": st.integers(0, 10**12).map(lambda number: f"{number:,}"),
                "cached_tokens": st.sampled_from(["0", "7,000"]),
                "usd": st.decimals(0, 10**6, places=6).map(str),
                "day": st.dates().map(str),
                "request_id": st.text("abcdef0123456789", min_size=1, max_size=60),
            }
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(20, 160),
)
def test_a_table_fits_and_cuts_no_figure_day_or_id(rows: list[dict[str, str]], columns: int) -> None:
    titles = {name: name.replace("_", " ") for name in rows[0]}
    lines = table_lines(rows, titles, str, columns, below=("request_id",))
    shown = "\n".join(lines)

    is_table = "─" in shown
    assert not is_table or all(cell_width(line) <= max(columns, 70) for line in lines)
    for row in rows:
        for name in ("input_tokens", "usd", "day", "request_id"):
            assert row[name] in shown or set(row[name]) <= set("0.-")


@pytest.mark.parametrize("columns", ["80", "140"])
def test_reports_are_tables_at_the_usual_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    url = f"sqlite:///{tmp_path}/usage.db"
    model = "anthropic/claude-sonnet-4-6-20251101"
    fill(url, [call(n, model=model, tokens=(123_456, 7_890), request_id=f"req_{n:024}") for n in range(3)])
    for arguments in (["usage"], ["usage", "--by", "day"], ["calls"]):
        said = texapi_command.run([*arguments, "--ledger", url]).stdout
        lines = said.splitlines()

        assert "─" in said, said
        assert max(map(cell_width, lines)) <= int(columns), said
        assert "reasoning" not in said
        assert arguments != ["calls"] or f"req_{0:024}" in said


# Chat


def asked(endpoint: Endpoint, *arguments: str, input: str = "", **env: str) -> texapi_command.Result:
    environment = {"TEXAPI_API_KEY": endpoint.api_key, "TEXAPI_BASE_URL": endpoint.base_url, **env}
    return texapi_command.run(["chat", "-m", "gpt-5.2", *arguments], env=environment, input=input)


def test_chat_prints_the_answer_and_a_line_about_the_call(endpoint: Endpoint, gateway: Gateway) -> None:
    gateway.answer("Xin chào!")
    ended = asked(endpoint, "Hello", "--system", "Be brief.")

    assert (ended.exit_code, ended.stdout) == (0, "Xin chào!\n")
    line = r"\d+ tokens in, \d+ out, 0\.\d+ USD, first token [\d,]+ ms, req\S+\n"
    assert re.fullmatch(line, ended.stderr), ended.stderr
    assert [one["role"] for one in gateway.requests[-1].body["messages"]] == ["system", "user"]


@pytest.mark.parametrize("arguments", [["-"], []])
def test_chat_reads_the_input(endpoint: Endpoint, gateway: Gateway, arguments: list[str]) -> None:
    ended = asked(endpoint, *arguments, "--json", input="What is TexAPI?\n")

    assert ended.exit_code == 0, ended.stderr
    (row,) = json.loads(ended.stdout)
    assert row.keys() >= {
        "answer",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "first_token_ms",
        "request_id",
    }
    assert gateway.requests[-1].body["messages"] == [{"role": "user", "content": "What is TexAPI?\n"}]


def test_chat_says_what_is_wrong(endpoint: Endpoint, gateway: Gateway) -> None:
    assert asked(endpoint, "-", input=" \n").exit_code == 2
    assert texapi_command.run(["chat", "Hello"], env={"TEXAPI_MODEL": ""}).exit_code == 2
    ended = asked(endpoint, "Hello", TEXAPI_API_KEY="sk-tex-wrong-key-0000000000")
    assert ended.exit_code == 4
    assert "doctor" in ended.stderr
