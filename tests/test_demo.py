"""`make demo`: its words, its packages, and what it shows."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from string import Formatter

import pytest
from rich.cells import cell_len
from rich.console import Console

import demo.__main__
from demo import install, scenes
from demo.screen import Screen
from demo.texts import language, texts
from tests.gateway import Gateway
from texapi_core import TexAPIError

ROOT = Path(__file__).parent.parent


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    english, vietnamese = (
        {name: {field for _, field, _, _ in Formatter().parse(text) if field} for name, text in words.items()}
        for words in (texts("en"), texts("vi"))
    )

    assert english == vietnamese


def test_every_text_is_used() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "demo").glob("*.py"))

    assert not [name for name in texts("en") if f'"{name}"' not in sources and not name.startswith("column_")]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "C.UTF-8", "LANG": "vi_VN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "vi_VN", "LANG": "en_US.UTF-8"}, "vi"),
    ],
)
def test_the_language_is_that_of_the_locale(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert language() == expected


def test_it_requires_what_the_project_declares() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared = {
        *pyproject["dependency-groups"]["test"],
        *pyproject["project"]["optional-dependencies"]["cli"],
    }
    lines = install.REQUIREMENTS.read_text("utf-8").splitlines()
    required = {line for line in lines if not line.startswith(("#", "--editable"))}

    assert "--editable .[langchain,llama-index]" in lines
    assert required <= declared


def shown(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, console: Console) -> str:
    monkeypatch.setenv("TEXAPI_API_KEY", gateway.key)
    monkeypatch.setenv("TEXAPI_BASE_URL", gateway.base_url)
    monkeypatch.setattr(scenes, "standin", lambda _: gateway)
    monkeypatch.setattr(demo.__main__, "Screen", lambda: Screen(console))
    assert demo.__main__.main() == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_shows_the_three_scenes_and_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    with Gateway() as gateway:
        output = shown(monkeypatch, gateway, Console(file=io.StringIO(), highlight=False))

    said = dict.fromkeys(re.findall(r"^(\w+|>) {2,}(.+)$", output, re.MULTILINE))
    assert list(said)[:9] == [
        (">", "What is the capital of Vietnam?"),
        ("ChatTexAPI", "The capital of Vietnam is Hà Nội."),
        ("TexAPI", "The capital of Vietnam is Hà Nội."),
        (">", "What is the weather in Hanoi?"),
        ("thinks", "The user says: What is the weather in Hanoi? I need to call get_weather."),
        ("calls", 'get_weather {"city": "Hanoi"}'),
        ("gets", "Sunny, 31 degrees in Hanoi."),
        ("thinks", "The user says: What is the weather in Hanoi? I can answer this directly."),
        ("answers", "Sunny, 31 degrees in Hanoi."),
    ]
    assert "the same count from the gateway: 14 tokens in, 8 out." in output
    assert re.search(r"^call 3 .* left\ncall 4   not sent\nTexAPIBudgetExceededError: ", output, re.MULTILINE)
    assert re.search(r"^openai      3 requests  RateLimitError$", output, re.MULTILINE)
    assert re.search(r"^ChatTexAPI  1 request  TexAPIInsufficientQuotaError: ", output, re.MULTILINE)
    assert re.search(r"^agent, turn 2 +129 +0 +24 +0\.000747 +\d+ +req_\d+$", output, re.MULTILINE)
    assert re.search(r"^total +301 +0 +95 +0\.002328", output, re.MULTILINE)
    assert "\x1b" not in output


def test_a_failure_is_shown_and_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def scene(screen: Screen, calls: scenes.Calls) -> None:
        raise TexAPIError("The key is wrong.")

    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-1")
    monkeypatch.setattr(demo.__main__, "SCENES", [scene])

    assert demo.__main__.main() == 1
    assert "TexAPIError: The key is wrong." in capsys.readouterr().out


def test_a_failed_command_of_the_installation_is_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(3, command)

    monkeypatch.setattr(subprocess, "run", fail)

    assert install.main(tmp_path) == 3


def test_a_terminal_of_80_columns_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    console = Console(file=io.StringIO(), highlight=False, force_terminal=True, width=80, color_system=None)
    with Gateway() as gateway:
        output = shown(monkeypatch, gateway, console)

    table = output[output.index("lần gọi   ") : output.index("USD theo giá")].splitlines()
    assert len(table) > 10
    for line in table:
        assert cell_len(line) <= 80
        assert "…" not in line


@pytest.mark.parametrize(
    ("has_uv", "works", "expected"),
    [
        (True, True, ["uv venv", "uv install"]),
        (True, False, ["uv venv", "uv install", "ensurepip", "pip install"]),
        (False, True, ["venv", "pip fetch", "uv install"]),
        (False, False, ["venv", "pip fetch", "ensurepip", "pip install"]),
    ],
)
def test_uv_installs_where_it_can_and_pip_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, has_uv: bool, works: bool, expected: list[str]
) -> None:
    """`works`: whether uv can be used, or fetched."""
    done: list[str] = []

    def run(*command: object, environment: dict[str, str] | None = None) -> bool:
        line = " ".join(map(str, command))
        # nltk refuses files that are hard links, such as uv makes to its cache.
        assert "uv pip" not in line or (environment or {})["UV_LINK_MODE"] == "copy"
        kinds = {"--target": "pip fetch", "uv pip install": "uv install", "-m pip": "pip install"}
        kind = next(kind for mark, kind in kinds.items() if mark in line)
        done.append(kind)
        return works or kind == "pip install"

    def prepare(command: tuple[object, ...], **_: object) -> None:
        line = " ".join(map(str, command))
        kinds = {"uv venv": "uv venv", "ensurepip": "ensurepip", "-m venv": "venv"}
        done.append(next(kind for mark, kind in kinds.items() if mark in line))

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr(subprocess, "run", prepare)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: "uv" if has_uv or path else None)

    assert install.main(tmp_path) == 0
    assert done == expected


def test_the_notebooks_are_installed_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[tuple[object, ...]] = []

    def run(*command: object, **_: object) -> bool:
        commands.append(command)
        return True

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: "uv")
    requirements = Path("notebooks/requirements.txt")

    assert install.main(tmp_path, requirements) == 0
    assert [command[-1] for command in commands] == [requirements]
    assert "JupyterLab" in capsys.readouterr().out
