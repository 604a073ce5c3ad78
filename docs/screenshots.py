"""Draw the screenshots of the `texapi` command: `make screenshots`."""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.accounting.filled import call, fill
from tests.gateway import Fault, Gateway
from texapi_core.accounting.prices import bundled_prices
from texapi_core.accounting.record import CallRecord
from texapi_core.wire.usage import TokenUsage

IMAGES = Path(__file__).parent / "images"
_COLUMNS = 118
_STATEMENT_DAY = 10
_PORT = 8017
"""The key of the stand-in gateway used for the screenshots."""


def sample() -> list[CallRecord]:
    """Two weeks of made-up calls, the same every time."""
    return list(_sample(random.Random(7)))


def _sample(chance: random.Random) -> Iterator[CallRecord]:
    models = {"claude-sonnet-4-6": 9, "gpt-5-mini": 30, "gemini-3-flash": 14, "deepseek-v3.2": 11}
    tags = (("shop",), ("shop", "vip"), ("search",), ())
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
        os.environ |= {"TEXAPI_USAGE_LEDGER": "sqlite:///texapi-usage.db", "COLUMNS": str(_COLUMNS)}
        _picture("usage", "usage")
        _picture("usage-by-tag", "usage", "--by", "tag")
        _picture("calls", "calls", "--failed")
        _picture("reconcile", "reconcile", "statement.csv")
        with Gateway(port=_PORT) as gateway:
            os.environ |= {"TEXAPI_API_KEY": gateway.key, "TEXAPI_BASE_URL": gateway.base_url}
            del os.environ["TEXAPI_USAGE_LEDGER"]
            _picture("models", "models")
            _picture("doctor", "doctor")
            gateway.misbehave(Fault(status=402, code="insufficient_credits"))
            _picture("doctor-vi", "doctor", "--language", "vi")
        os.environ["TEXAPI_USAGE_LEDGER"] = "sqlite:///texapi-usage.db"
        _texapi("usage", "--by", "day", "--plot", str(IMAGES / "usage-by-day.png"))
        _texapi("usage", "--by", "day", "--plot", str(IMAGES / "usage-by-day-dark.png"), "--dark")


def _texapi(*arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "texapi"), *arguments]
    colored = {**os.environ, "FORCE_COLOR": "1"}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, env=colored
    ).stdout


def _picture(name: str, *arguments: str) -> None:
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ texapi {' '.join(arguments)}", style="bold"))
    console.print(Text.from_ansi(_texapi(*arguments)))
    svg = console.export_svg(title="texapi", unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # uses the reader's fonts
    (IMAGES / f"{name}.svg").write_text(re.sub(r"[ \t]+\n", "\n", svg), "utf-8")


if __name__ == "__main__":
    main()
