"""Draw the screenshots of the `texapi` command and of the demo: `make screenshots`."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from demo.texts import Language, texts
from docs.check import BROWSERS
from tests.accounting.filled import call, fill
from tests.gateway import Fault, Gateway
from texapi_core.accounting.prices import bundled_prices
from texapi_core.accounting.record import CallRecord
from texapi_core.settings import BASE_URL_ENVS
from texapi_core.settings_checks import API_KEY_ENV
from texapi_core.wire.usage import TokenUsage

IMAGES = Path(__file__).parent / "images"
_TEXAPI = str(Path(sys.executable).parent / "texapi")
_COLUMNS = 118
_DEMO_COLUMNS = 96
_ROOT = Path(__file__).parent.parent
_SPINNER = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h(\r|\x1b\[1A|\x1b\[2K)*", re.DOTALL)
_ROW = re.compile(r"[┏┡├└┃│]|\S {2,}\S")
"""A line of a table, which would lose its columns if it were wrapped."""
_STATEMENT_DAY = 10
_PAGE_SIZE = "1000,1250"
_PORT = 8017
"""The port of the stand-in gateway, which is in the pictures."""


def sample() -> list[CallRecord]:
    """Two weeks of made-up calls, the same every time."""
    return list(_sample(random.Random(7)))


def _sample(chance: random.Random) -> Iterator[CallRecord]:
    models = {"claude-sonnet-4-6": 9, "gpt-5-mini": 30, "gemini-3-flash": 14, "deepseek-v3.2": 11}
    tags = (("shop",), ("shop", "vip"), ("search",), ())
    times = random.Random(8)
    number = 0
    for day in range(10, 24):
        for model, most in models.items():
            for _ in range(chance.randint(most // 3, most) // (3 if day in (14, 15, 21, 22) else 1)):
                number += 1
                tokens = (chance.randint(300, 6000), chance.randint(40, 1200))
                usage = TokenUsage(input_tokens=tokens[0], output_tokens=tokens[1])
                cost = bundled_prices().cost(usage, model)
                yield call(
                    number,
                    day=day,
                    model=model,
                    tokens=tokens,
                    cost=None if cost is None else str(cost),
                    tags=chance.choice(tags),
                    first_token_ms=times.lognormvariate(6.1, 0.5),
                    total_ms=times.lognormvariate(8.1, 0.5),
                )
    failures = {17: ("TexAPIRateLimitError", "rate_limited"), 23: ("TexAPIServerError", "server_error")}
    for day, (error, code) in failures.items():
        number += 1
        yield call(
            number,
            day=day,
            tokens=None,
            cost=None,
            outcome="error",
            response_id=None,
            error=error,
            error_code=code,
        )
    yield call(number + 1, day=23, tokens=None, cost=None, outcome="closed")


def _statement(records: list[CallRecord]) -> Iterator[str]:
    """A statement of one day with a different cost, an extra call and a missing one."""
    yield "request_id,created_at,model,prompt_tokens,completion_tokens,cost"
    of_day = [record for record in records if record.started_at.day == _STATEMENT_DAY]
    for number, record in enumerate(of_day[:-1]):
        usage, cost = record.usage, (record.cost or Decimal(0)) * (2 if number == 0 else 1)
        said = (record.request_id, record.started_at.isoformat(), record.model)
        yield ",".join(map(str, (*said, usage.input_tokens, usage.output_tokens, cost)))
    yield f"req_9999,2026-11-{_STATEMENT_DAY}T23:59:59Z,gpt-5-mini,812,77,0.000357"


def main() -> None:
    """Create a ledger, run each command on it, and save its output as a picture."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        records = sample()
        fill("sqlite:///texapi-usage.db", records)
        Path("statement.csv").write_text("\n".join(_statement(records)), "utf-8")
        os.environ |= {"TEXAPI_USAGE_LEDGER": "sqlite:///texapi-usage.db"}
        _picture("usage", "usage")
        _picture("calls", "calls", "--failed")
        _picture("reconcile", "reconcile", "statement.csv")
        with Gateway(port=_PORT) as gateway:
            os.environ |= {"TEXAPI_API_KEY": gateway.key, "TEXAPI_BASE_URL": gateway.base_url}
            del os.environ["TEXAPI_USAGE_LEDGER"]
            _picture("models", "models", columns=132)
            _picture("doctor", "doctor")
            gateway.misbehave(Fault(status=402, code="insufficient_credits"))
            _picture("doctor-vi", "doctor", "--language", "vi")
        os.environ["TEXAPI_USAGE_LEDGER"] = "sqlite:///texapi-usage.db"
        _plot("usage-by-day.png")
        _plot("usage-by-day-dark.png", "--dark")
        _page("report.png", "light")
        _page("report-dark.png", "dark")
    draw_demo("demo", "en")
    draw_demo("demo-vi", "vi")


def draw_demo(name: str, language: Language) -> None:
    """Save a picture of the demo without a key, up to what to do next."""
    os.chdir(_ROOT)
    for variable in (API_KEY_ENV, *BASE_URL_ENVS, "TEXAPI_USAGE_LEDGER"):
        os.environ.pop(variable, None)
    os.environ |= {"LC_ALL": f"{language}.UTF-8", "PYTHONPATH": str(_ROOT)}
    output = _in_terminal(sys.executable, "-m", "demo", columns=_DEMO_COLUMNS)
    output = _SPINNER.sub("", output)
    lines = output.splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if f"{texts(language)['next']}\x1b" in line)
    _draw(name, "make demo", "".join(lines[:end]), _DEMO_COLUMNS)


def _in_terminal(*command: str, columns: int = _COLUMNS) -> str:
    """What a command prints into a terminal, colors included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    output = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while piece := _read(terminal):
            output += piece
    process.wait()
    return output.decode().replace("\r\n", "\n")


def _read(terminal: io.FileIO) -> bytes:
    try:
        return terminal.read(65536) or b""
    except OSError:  # Linux: the program has ended and closed the terminal
        return b""


def _plot(name: str, *options: str) -> None:
    _in_terminal(_TEXAPI, "usage", "--by", "day", "--plot", str(IMAGES / name), *options)


def _page(name: str, theme: str) -> None:
    """Save a picture of the page of `--html`, as Chromium shows it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write(f"{name} is not drawn: install Chromium (apt-get install chromium).\n")
        return
    path = Path("report.html").absolute()
    _in_terminal(_TEXAPI, "usage", "--html", str(path))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--blink-settings=preferredColorScheme={int(theme == 'light')}"]
    command += [f"--window-size={_PAGE_SIZE}", "--virtual-time-budget=4000"]
    subprocess.run(
        [*command, f"--screenshot={IMAGES / name}", path.as_uri()],
        capture_output=True,
        check=True,
        timeout=60,
    )


def _picture(name: str, *arguments: str, columns: int = _COLUMNS) -> None:
    output = _in_terminal(_TEXAPI, *arguments, columns=columns)
    _draw(name, f"texapi {' '.join(arguments)}", output, columns)


def _draw(name: str, command: str, output: str, columns: int) -> None:
    """Save a picture of a terminal, with long sentences wrapped. Raises if a table is wider than it."""
    text = Text.from_ansi(output)
    for line in text.plain.splitlines():
        if cell_len(line) > columns and _ROW.search(line):
            raise ValueError(f"{command}: {cell_len(line)} columns do not fit into {columns}: {line}")
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    console.print(text)
    svg = console.export_svg(title=command.split()[0], unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # uses the reader's fonts
    (IMAGES / f"{name}.svg").write_text(re.sub(r"[ \t]+\n", "\n", svg), "utf-8")


if __name__ == "__main__":
    main()
