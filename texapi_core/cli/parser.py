"""The arguments of the command, and the function of each subcommand. Imports the standard library alone."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from texapi_core._version import __version__
from texapi_core.cli.argument_parser import Parser, number
from texapi_core.cli.language import say

LEDGER_ENV = "TEXAPI_USAGE_LEDGER"
LIMITS_ENV = "TEXAPI_LIMITS"
FORMATS = ("table", "csv", "raw-csv", "json")
_MAX_LIMIT = 10**9
_MAX_TIMEOUT = 86_400.0
_MAX_CONCURRENCY = 1_000


def _reports(parser: Parser) -> None:
    formats = parser.add_mutually_exclusive_group()
    text = say("Output format: {formats}; raw-csv leaves formulas as they are.", formats=", ".join(FORMATS))
    formats.add_argument("--format", choices=FORMATS, default="table", help=text, metavar="FORMAT")
    formats.add_argument(
        "--json", dest="format", action="store_const", const="json", help=say("The same as --format json.")
    )


def _json(parser: Parser) -> None:
    parser.add_argument("--json", dest="as_json", action="store_true", help=say("Print the result as JSON."))


def _ledger(parser: Parser) -> None:
    text = say("URL of the ledger, e.g. sqlite:///usage.db; default {variable}.", variable=LEDGER_ENV)
    parser.add_argument("--ledger", default=os.environ.get(LEDGER_ENV, ""), metavar="URL", help=text)


def _period(parser: Parser) -> None:
    since = say("How far back: 90m, 24h, 7d, 4w, or a date such as 2026-11-01 (UTC).")
    parser.add_argument("--since", metavar="TIME", help=since)
    until = say("End of the time, in the same form as --since.")
    parser.add_argument("--until", metavar="TIME", help=until)


def _timeout(parser: Parser, default: float = 20.0) -> None:
    text = say("Seconds to wait for each answer; default {default:g}.", default=default)
    read = number(0.1, _MAX_TIMEOUT)
    parser.add_argument("--timeout", type=read, default=default, metavar="SECONDS", help=text)


def _usage(parser: Parser) -> None:
    text = say("What to group by: model, day, key-hint, tag, metadata:NAME; default model.")
    parser.add_argument("--by", default="model", help=text)
    _period(parser)
    _ledger(parser)
    text = say("Also draw it into this PNG or SVG (extra `plot`).")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=text)
    parser.add_argument("--dark", action="store_true", help=say("Draw for a dark background."))
    text = say("Also write a page with all of it, to open in a browser (extra `html`).")
    parser.add_argument("--html", type=Path, metavar="FILE", help=text)
    _limits_url(parser)
    _reports(parser)


def _calls(parser: Parser) -> None:
    text = say("Only calls without a complete answer.")
    parser.add_argument("--failed", action="store_true", help=text)
    text = say("Maximum number of calls, latest first; default 20.")
    parser.add_argument("--limit", type=number(1, _MAX_LIMIT, int), default=20, metavar="N", help=text)
    _period(parser)
    _ledger(parser)
    _reports(parser)


def _reconcile(parser: Parser) -> None:
    parser.add_argument("file", type=Path, metavar="STATEMENT.CSV", help=say("An export of the gateway."))
    text = say("A TOML file that describes the statement's columns and numbers.")
    parser.add_argument("--columns", type=Path, metavar="FILE", help=text)
    _period(parser)
    _ledger(parser)
    _reports(parser)


def _budget(parser: Parser) -> None:
    parser.add_argument("--check", action="store_true", help=say("Exit with 1 if a budget is used up."))
    text = say("The fraction at which --check fails; default 1.")
    parser.add_argument("--at", type=number(0, 1), default=1.0, metavar="FRACTION", help=text)
    _ledger(parser)
    _limits_url(parser)
    _reports(parser)


def _named(parser: Parser) -> None:
    text = say("Only models whose name contains this text.")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help=text)


def _models(parser: Parser) -> None:
    _named(parser)
    _timeout(parser)
    _reports(parser)


def _prices(parser: Parser) -> None:
    _named(parser)
    parser.add_argument(
        "--check", action="store_true", help=say("Print only what is wrong, and exit with 1.")
    )
    parser.add_argument("--gateway", action="store_true", help=say("Ask the gateway for its prices first."))
    _timeout(parser)
    _ledger(parser)
    _reports(parser)


def _limits(parser: Parser) -> None:
    _limits_url(parser)
    _reports(parser)


def _limits_url(parser: Parser) -> None:
    text = say("URL of the limits; default {variable}.", variable=LIMITS_ENV)
    parser.add_argument(
        "--limits", dest="url", default=os.environ.get(LIMITS_ENV, ""), metavar="URL", help=text
    )


def _doctor(parser: Parser) -> None:
    parser.add_argument("--model", default="", help=say("Model of the request. Default: the cheapest known."))
    text = say("Whether to send a small request, which is charged.")
    parser.add_argument("--request", action=argparse.BooleanOptionalAction, default=True, help=text)
    _timeout(parser)
    _reports(parser)


def _info(parser: Parser) -> None:
    _ledger(parser)
    _reports(parser)


def _prune(parser: Parser) -> None:
    text = say("Delete calls before this: 90d, or a date such as 2026-11-01.")
    parser.add_argument("--before", required=True, metavar="TIME", help=text)
    parser.add_argument("--sums", action="store_true", help=say("Delete their sums too."))
    parser.add_argument("--compact", action="store_true", help=say("Make an SQLite file smaller."))
    _ledger(parser)
    _json(parser)


def _export(parser: Parser) -> None:
    text = say("The file to write: .csv or .parquet.")
    parser.add_argument("path", type=Path, metavar="FILE", help=text)
    _period(parser)
    _ledger(parser)
    _json(parser)


def _chat(parser: Parser) -> None:
    text = say("What to ask; - reads it from the input. Without it a conversation begins.")
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help=text)
    model = os.environ.get("TEXAPI_MODEL", "")
    text = say("The model; default {variable}.", variable="TEXAPI_MODEL")
    parser.add_argument("-m", "--model", default=model, help=text)
    parser.add_argument("-s", "--system", default="", metavar="TEXT", help=say("The system prompt."))
    text = say("Most tokens of an answer.")
    parser.add_argument("--max-tokens", type=number(1, _MAX_LIMIT, int), metavar="N", help=text)
    text = say("How random the answer is, 0 to 2.")
    parser.add_argument("--temperature", type=number(0, 2), metavar="T", help=text)
    _timeout(parser, 120.0)
    _json(parser)


def _batch(parser: Parser) -> None:
    def add(name: str, text: str, **options: Any) -> None:
        parser.add_argument(name, help=say(text), **options)

    add("source", "Requests as OpenAI's Batch JSONL; with --prompt CSV or Parquet.", type=Path, metavar="IN")
    add("out", "Where each answer is appended, as JSONL.", type=Path, metavar="OUT")
    add("--model", "Ask this model, whatever the lines name.", default="")
    add(
        "--concurrency", "Calls at once; default 32.",
        type=number(1, _MAX_CONCURRENCY, int), default=32, metavar="N",
    )  # fmt: skip
    add(
        "--max-cost", "USD that all runs into OUT may spend together.",
        type=number(0, float("inf")), metavar="USD",
    )  # fmt: skip
    add(
        "--errors", "File of requests without an answer. Default: OUT with .errors.jsonl.",
        dest="errors_file", type=Path, metavar="FILE",
    )  # fmt: skip
    add(
        "--skip-in-doubt",
        "Do not ask again what an earlier run may have been charged for.",
        action="store_true",
    )
    add("--prompt", "The prompt for each row, with columns as {column}.", default="", metavar="TEMPLATE")
    add("--system", "The system prompt for each row.", default="", metavar="TEMPLATE")
    add(
        "--id",
        "The column with a unique id; else row numbers.",
        dest="id_column",
        default="",
        metavar="COLUMN",
    )
    add("--max-tokens", "Longest answer to a row, in tokens.", type=number(1, _MAX_LIMIT, int), metavar="N")
    add(
        "--max-retries",
        "Retries of each request; default 6.",
        type=number(0, 100, int),
        default=6,
        metavar="N",
    )
    _timeout(parser, 120.0)
    add(
        "--limits", "Rate limits: auto, which learns them; redis://..., which shares them; or none.",
        default=os.environ.get(LIMITS_ENV) or "auto", metavar="LIMITS",
    )  # fmt: skip
    add(
        "--transport", "What carries the calls; aiohttp (an extra) needs less CPU.",
        choices=("httpx", "aiohttp"), default="httpx", metavar="TRANSPORT",
    )  # fmt: skip
    _json(parser)


def _completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"), help=say("The shell."))


COMMANDS: dict[str, tuple[str, Callable[[Parser], None], str]] = {
    "chat": ("Ask a model; the answer, then its tokens, USD and request id.", _chat, "chat:chat"),
    "usage": ("Calls, tokens and cost by model, day, tag, key or metadata.", _usage, "reports:usage"),
    "calls": ("Single calls, with the request ids that support asks for.", _calls, "reports:calls"),
    "budget": (
        "What budgets on a ledger, or in the Redis of --limits, have spent and left, and until when.",
        _budget,
        "reports:budget",
    ),
    "reconcile": (
        "Compare a statement with the ledger, by request id or by day and model, and print the differences.",
        _reconcile,
        "reports:reconcile",
    ),
    "ledger info": (
        "What is in the ledger: its version, calls, period, size, and rejected records.",
        _info,
        "reports:info",
    ),
    "ledger prune": (
        "Delete old calls. Their sums by hour stay in usage and in budgets.",
        _prune,
        "reports:prune",
    ),
    "ledger export": (
        "Write the calls with their tags and metadata into a CSV or Parquet file.",
        _export,
        "reports:export",
    ),
    "models": (
        "The models that the key in TEXAPI_API_KEY can use, with known capabilities and prices.",
        _models,
        "gateway:models",
    ),
    "prices": (
        "The price list in use, its date and source, and which models of the ledger have no price.",
        _prices,
        "gateway:prices",
    ),
    "limits": (
        "Shared rate limits: what is stated, the rate in use, 429s that lowered it, processes and calls.",
        _limits,
        "gateway:limits",
    ),
    "batch": (
        "Ask every request of a file, and resume where an earlier run into OUT ended.",
        _batch,
        "batch:batch",
    ),
    "doctor": (
        "Check the setup, from the key to one small request, and suggest fixes. Never shows the key.",
        _doctor,
        "doctor.command:doctor",
    ),
    "completion": (
        'Print what completes the command in a shell, e.g. eval "$(texapi completion bash)".',
        _completion,
        "completion:completion",
    ),
}
"""Subcommand -> what it does, what adds its arguments, and its function as `module:name`."""

_EXIT_CODES = (
    "Exit codes: 0 success; 1 `reconcile` found differences, `doctor` a fault, `--check` a budget used up or "
    "a fault in the prices, or `batch` has requests without an answer; 2 the command was not understood, or "
    "needs a package; 3 there is no ledger, or it, the statement or Redis cannot be read; 4 the gateway did "
    "not answer `models` or `chat`; 5 the output cannot be written, or the command failed; 6 `batch` was "
    "stopped by the balance, the cap or the key; 130 interrupted."
)


def make_parser(words: Sequence[str] | None = None) -> Parser:
    """The parser; with `words`, the arguments to come, only of the subcommand that they name."""
    about = say("Chat, usage and cost, batches, models and a check of the setup for the TexAPI gateway.")
    root = Parser(prog="texapi", description=about, epilog=_wrapped(say(_EXIT_CODES)))
    root.add_argument(
        "--version", action="version", version=f"texapi {__version__}", help=say("Show the version.")
    )
    _add_language(root)
    groups = {"": root.add_subparsers(metavar=say("COMMAND"), title=say("commands"))}
    for name, (about, add, target) in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in groups:
            text = say("Look after the ledger: info, prune, export.")
            parent = groups[""].add_parser(group, help=text, description=text)
            _add_language(parent)
            groups[group] = parent.add_subparsers(
                metavar=say("COMMAND"), title=say("commands"), required=True
            )
        parser = groups[group].add_parser(last, help=say(about), description=_wrapped(say(about)))
        parser.set_defaults(target=target)
        if words is None or last in words:
            _add_language(parser)
            add(parser)
    return root


def _add_language(parser: Parser) -> None:
    text = say("Language of texts: en or vi; default by locale.")
    parser.add_argument(
        "--language", choices=("en", "vi"), default=argparse.SUPPRESS, metavar="LANGUAGE", help=text
    )


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 96))
