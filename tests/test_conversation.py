"""`texapi chat` without a prompt: a conversation at a terminal, with what was typed before."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import make_url

from tests import texapi_command
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core.accounting.ledger.rejected import rejected_path
from texapi_core.cli import chat, line_history

pty = pytest.importorskip("pty", reason="Windows has no terminals of this kind")

_COMMAND = (
    "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from texapi_core.cli import main; main(['chat', '-m', 'gpt-5.2', '--system', 'Be brief.'])"
)
"""The pty is made the terminal that Ctrl-C comes from, also where the tests run with Ctrl-C ignored."""
_UP, _CTRL_C, _CTRL_D = "\x1b[A", "\x03", "\x04"
_ESCAPES = re.compile(r"\x1b\[[?\d;]*[a-zA-Z]")
_SECONDS = 30


class Terminal:
    """The command at a terminal: keys go in, what is shown comes out."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = ""

    def press(self, keys: str | bytes) -> None:
        os.write(self._ours, keys.encode() if isinstance(keys, str) else keys)

    def interrupt(self, pattern: str) -> str:
        """Press Ctrl-C and return what is shown up to a pattern.

        Python notices a signal that comes just before readline waits with the next key only, so it is
        pressed once more where nothing happens.
        """
        self.press(_CTRL_C)
        try:
            return self.until(pattern, seconds=_SECONDS / 2)
        except AssertionError:
            self.press(_CTRL_C)
            return self.until(pattern)

    def until(self, pattern: str, *, seconds: float = _SECONDS) -> str:
        """What is shown up to this pattern; what follows it is left for the next call."""
        end = monotonic() + seconds
        while not (found := re.search(pattern, self._shown)):
            if not select.select([self._ours], [], [], max(0, end - monotonic()))[0] or not self._read():
                raise AssertionError(f"{pattern!r} is not in {self._shown!r}")
        shown, self._shown = self._shown[: found.end()], self._shown[found.end() :]
        return shown

    def _read(self) -> bool:
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # the command has ended
            return False
        self._shown += _ESCAPES.sub("", piece.decode("utf-8", "replace")).replace("\r", "")
        return True

    def close(self) -> None:
        os.close(self._ours)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def environment(tmp_path: Path, endpoint: Endpoint) -> dict[str, str]:
    (tmp_path / ".texapi_history").write_text("what I asked yesterday\n", "utf-8")
    environment = {"HOME": str(tmp_path), "INPUTRC": "/dev/null"}
    environment |= {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8:strict"}  # as in a locale of a country
    keys = {"TEXAPI_API_KEY": endpoint.api_key, "TEXAPI_BASE_URL": endpoint.base_url}
    return {**environment, **keys}


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Terminal]:
    terminal = Terminal(environment)
    yield terminal
    terminal.close()


def _said(gateway: Gateway) -> list[str]:
    return [message["content"] for message in gateway.requests[-1].body["messages"]]


def test_a_conversation(terminal: Terminal, gateway: Gateway, tmp_path: Path) -> None:
    """One process for all of it, since its start takes longer than each step."""
    assert "Ctrl-D" in terminal.until("> ")

    gateway.answer("Xin chào!")
    terminal.press("Hello\n")
    assert "Hello\nXin chào!\n" in terminal.until("> ")
    assert _said(gateway) == ["Be brief.", "Hello"]

    gateway.answer("Again.")
    terminal.press(_UP + "\n")
    assert re.search(r"Hello\nAgain\.\n\d+ tokens in, .* USD, .* ms, req", terminal.until("> "))
    assert _said(gateway) == ["Be brief.", "Hello", "Xin chào!", "Hello"]

    gateway.misbehave(Fault(status=402, code="insufficient_credits"))
    terminal.press(_UP * 2 + "\n")
    assert "doctor" in terminal.until("> ")
    assert _said(gateway)[-1] == "what I asked yesterday"

    gateway.misbehave(Fault(stall_after=2))
    terminal.press("A long answer\n")
    terminal.until(r"A long answer\n\S")
    terminal.press(_CTRL_C)
    assert "Stopped." in terminal.until("> ")

    terminal.press("a line that is not")
    terminal.until("a line that is not")
    terminal.interrupt("\n> ")
    terminal.press(b"\xff not UTF-8\n")
    assert "The input is not text in UTF-8." in terminal.until("\n> ")
    terminal.press(" \n")
    terminal.until("> ")
    terminal.press("Next\n")
    terminal.until("req.*\n> ")
    assert _said(gateway)[:5] == ["Be brief.", "Hello", "Xin chào!", "Hello", "Again."]
    assert "A long answer" not in _said(gateway)

    terminal.press(_CTRL_D)
    assert terminal.process.wait(_SECONDS) == 0
    history = tmp_path / ".texapi_history"
    lines = history.read_text("utf-8", "replace").splitlines()
    assert lines[:4] == ["what I asked yesterday", "Hello", "Hello", "what I asked yesterday"]
    assert lines[-2:] == ["A long answer", "Next"]


def test_lines_of_two_conversations_at_once_are_kept_also_after_a_kill(
    terminal: Terminal, environment: dict[str, str], gateway: Gateway, tmp_path: Path
) -> None:
    other = Terminal(environment)
    try:
        terminal.until("> ")
        other.until("> ")
        for one, text in ((terminal, "first of one"), (other, "first of two"), (terminal, "second of one")):
            gateway.answer("Yes.")
            one.press(f"{text}\n")
            one.until("req.*\n> ")
        other.press(_CTRL_D)
        assert other.process.wait(_SECONDS) == 0
    finally:
        other.close()
    terminal.process.kill()

    lines = (tmp_path / ".texapi_history").read_text("utf-8").splitlines()
    assert lines == ["what I asked yesterday", "first of one", "first of two", "second of one"]


def test_the_history_is_cut_to_its_latest_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readline = pytest.importorskip("readline")
    shown: list[str] = []
    monkeypatch.setattr(readline, "add_history", shown.append)
    monkeypatch.setenv("HOME", str(tmp_path))
    history = tmp_path / ".texapi_history"
    history.write_text("".join(f"line {number}\n" for number in range(2_001)), "utf-8")
    line_history.load_lines()
    line_history.add_line("một dòng \udcff")

    assert (len(shown), shown[0], shown[-1]) == (1_000, "line 1001", "line 2000")
    lines = history.read_text("utf-8", "surrogateescape").split("\n")
    assert (lines[0], lines[-3:]) == ("line 1001", ["line 2000", "một dòng \udcff", ""])


def test_a_user_without_a_home_directory_has_no_history(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    import pwd

    def no_entry(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.setattr(chat, "_prompt", lambda _: None)
    environment = {"TEXAPI_API_KEY": endpoint.api_key, "TEXAPI_BASE_URL": endpoint.base_url}
    ended = texapi_command.run(["chat", "-m", "gpt-5.2"], env=environment, input="Hello\nexit\n")

    assert ended.exit_code == 0
    assert "tokens in" in ended.stderr
    assert rejected_path(make_url("postgresql://host/usage")) == Path("texapi/host-usage.rejected.jsonl")


def test_answers_of_a_conversation_as_json(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, gateway: Gateway
) -> None:
    monkeypatch.setattr(chat, "_prompt", lambda _: None)
    monkeypatch.setattr(chat, "load_lines", lambda: None)
    monkeypatch.setattr(chat, "add_line", lambda _: None)
    environment = {"TEXAPI_API_KEY": endpoint.api_key, "TEXAPI_BASE_URL": endpoint.base_url}
    gateway.answer("One.")
    words = ["chat", "-m", "gpt-5.2", "--json"]
    ended = texapi_command.run(words, env=environment, input="Hello\nexit\n")

    assert ended.exit_code == 0
    (row,) = json.loads(ended.stdout.replace("> ", ""))
    assert (row["answer"], gateway.requests[-1].body["messages"]) == (
        "One.",
        [{"role": "user", "content": "Hello"}],
    )
