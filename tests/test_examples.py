"""Every code block of the documentation and of the docstrings runs."""

from __future__ import annotations

import ast
import json
import logging
import re
import shlex
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langchain.chat_models import base as providers
from opentelemetry import trace

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI, UsageCounter
from tests import texapi_command
from tests.accounting.filled import call, fill
from tests.conftest import Endpoint
from texapi_core.accounting import otel, parse_budgets, reservation_stores
from texapi_core.accounting.ledger import _writers, flush_ledgers

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.vi.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(
    file
    for package in ("texapi_core", "langchain_texapi", "llama_index_texapi")
    for file in (ROOT / package).rglob("*.py")
)
TEAM_BUDGETS = (
    '[{"max_cost": 200, "scope": "tag:service", "window": "month"}, {"max_cost": 800, "window": "month"}]'
)
EXPORTS = (
    "export TEXAPI_API_KEY=sk-tex-...",
    "export TEXAPI_USAGE_LEDGER=sqlite:///texapi-usage.db",
    "export TEXAPI_OTEL=1",
    "export TEXAPI_USAGE_LEDGER=postgresql://texapi:password@db.example.com/texapi",
    "export TEXAPI_TIMEZONE=Asia/Ho_Chi_Minh",
    "export TEXAPI_BUDGET_WARNINGS=0.8,0.95",
    "export TEXAPI_BUDGETS='" + TEAM_BUDGETS + "'",
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    number: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}-{self.number}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        yield from blocks_of(page, page.read_text("utf-8"))
    for module in MODULES:
        yield from blocks_of(module, "\n".join(docstrings(module)))


def blocks_of(page: Path, text: str) -> Iterator[Block]:
    for number, (language, code) in enumerate(_BLOCK.findall(text), 1):
        yield Block(page, number, language, textwrap.dedent(code))


def docstrings(module: Path) -> Iterator[str]:
    """All docstrings of a module that has examples, dedented."""
    text = module.read_text("utf-8")
    for node in ast.walk(ast.parse(text)) if "```" in text else ():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield re.sub(r"^ +```", "```", ast.get_docstring(node) or "", flags=re.MULTILINE)


BLOCKS = list(blocks())
RUN = list({(block.language, block.code): block for block in reversed(BLOCKS)}.values())[::-1]
"""Each block once, where it comes first: pages in two languages have the same ones."""


@pytest.fixture
def _llama_index_settings() -> Iterator[None]:
    from llama_index.core import Settings

    yield
    Settings._llm = None
    Settings._callback_manager = None


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each block in its own folder, and restore the logging configuration afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    flush_ledgers()
    _writers.clear()
    logging.getLogger("texapi").setLevel(logging.NOTSET)


@pytest.fixture
def _own_telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove a block's provider afterwards: OpenTelemetry accepts only one per process."""

    def set_tracer_provider(provider: trace.TracerProvider) -> None:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)

    monkeypatch.setattr(trace, "set_tracer_provider", set_tracer_provider)
    otel._tracer.cache_clear()
    yield
    otel._tracer.cache_clear()


@pytest.mark.usefixtures("_llama_index_settings", "_own_folder", "_own_telemetry")
@pytest.mark.parametrize("block", [block for block in RUN if block.language == "python"], ids=str)
def test_a_python_block_runs(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    monkeypatch.setattr(
        reservation_stores, "stores", {}
    )  # the spending of other tests counts against the same key
    monkeypatch.setattr(providers, "_BUILTIN_PROVIDERS", dict(providers._BUILTIN_PROVIDERS))
    names: dict[str, Any] = {"__name__": "__main__"}

    exec(compile(block.code, str(block), "exec", dont_inherit=True), names)

    assert capsys.readouterr().out or "assert" in block.code


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize("block", [block for block in RUN if block.language == "sh"], ids=str)
def test_a_shell_block_uses_existing_commands(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, block: Block
) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in block.code.splitlines():
        command = line.partition("#")[0].strip()
        if command.startswith("make "):
            subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        elif command.startswith("pip install"):
            (extras,) = re.findall(r"\[([\w,-]+)\]", command)
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
        elif command.startswith("texapi "):
            run_on_a_ledger(shlex.split(command)[1:])
        else:
            assert command in EXPORTS


def run_on_a_ledger(arguments: list[str]) -> None:
    url = "sqlite:///texapi-usage.db"
    if not Path("texapi-usage.db").exists():
        fill(url, [call(1, tags=("shop",), metadata={"customer": "acme"})])
        Path("statement.csv").write_text("request_id,prompt_tokens\nreq_1,100\n", "utf-8")
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
        Path("requests.jsonl").write_text(json.dumps({"custom_id": "1", "body": body}) + "\n", "utf-8")
        Path("reviews.csv").write_text("number,review\n1,Good.\n", "utf-8")
    result = texapi_command.run(arguments, env={"TEXAPI_USAGE_LEDGER": url})
    assert result.exit_code == 0, result.output


def test_every_block_is_tested() -> None:
    assert {block.language for block in BLOCKS} == {"python", "sh"}
    fences = (re.findall(r"^ *```\w+$", page.read_text("utf-8"), re.MULTILINE) for page in (*PAGES, *MODULES))
    assert sum(map(len, fences)) == len(BLOCKS)


@pytest.mark.parametrize("subject", [ChatTexAPI, TexAPI, UsageCounter])
def test_a_public_class_shows_an_example(subject: type) -> None:
    assert any(f"{subject.__name__}(" in block.code for block in BLOCKS if block.page.suffix == ".py")


def test_the_budgets_of_the_page_about_teams_are_legal() -> None:
    first, second = parse_budgets(TEAM_BUDGETS, "Asia/Ho_Chi_Minh", (0.8, 0.95))

    assert (first.scope, str(first.max_cost), second.scope) == ("tag:service", "200", "all")


def test_both_readmes_show_the_same() -> None:
    english, vietnamese = (
        [b for b in BLOCKS if b.page.name == name] for name in ("README.md", "README.vi.md")
    )

    assert [block.language for block in english] == [block.language for block in vietnamese]


def test_both_pages_of_errors_name_the_same_classes() -> None:
    english, vietnamese = (
        re.findall(r"^\| `(\w+)`", (ROOT / page).read_text("utf-8"), re.MULTILINE)
        for page in ("docs/errors.md", "docs/vi/errors.md")
    )

    assert english == vietnamese
