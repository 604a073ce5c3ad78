"""`python -m tests.faults`: run the fault table on this project's classes and their peers, as Markdown.

The table of what applications hold (`outgoing.py`) runs too; with `--outgoing` it runs alone.

The peers are `ChatOpenAI` and `OpenAILike`, if installed: `make compare-faults`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import io
import logging
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import openai
from langchain_core.exceptions import ModelError

from tests.faults import outgoing
from tests.faults.case import Case, Seen
from tests.faults.table import GROUPS, concerns
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import Way, chat_texapi, langchain_ways, llama_index_ways, one_loop, texapi
from tests.gateway import Gateway
from tests.generated import rewrite_part

_TIMEOUT = 1.0
_MAX_REQUESTS = 50
"""More than any class sends for one call, so that no retry gets past the fault."""
_PACKAGES = (
    "texapi-integrations",
    "langchain-openai",
    "llama-index-llms-openai-like",
    "llama-index-llms-openai",
    "openai",
    "langchain-core",
    "llama-index-core",
)


def _chat_openai(**where: Any) -> Any:
    chat_openai = importlib.import_module("langchain_openai").ChatOpenAI
    limit = {"stream_chunk_timeout": 0.4} if "stream_chunk_timeout" in chat_openai.model_fields else {}
    return chat_openai(model="gpt-5.2", stream_usage=True, use_responses_api=False, **limit, **where)


def _open_ai_like(*, base_url: str, **where: Any) -> Any:
    open_ai_like = importlib.import_module("llama_index.llms.openai_like").OpenAILike
    return open_ai_like(
        model="gpt-5.2", api_base=base_url, is_chat_model=True, is_function_calling_model=True, **where
    )


SUBJECTS: dict[str, tuple[Callable[[Callable[..., Any]], list[Way]], Callable[..., Any], str]] = {
    "ChatTexAPI": (langchain_ways, chat_texapi, "langchain_texapi"),
    "ChatOpenAI": (langchain_ways, _chat_openai, "langchain_openai"),
    "TexAPI": (llama_index_ways, texapi, "llama_index_texapi"),
    "OpenAILike": (llama_index_ways, _open_ai_like, "llama_index.llms.openai_like"),
}


def judge(case: Case, way: Way, gateway: Gateway, verbatim: VerbatimServer) -> str:
    """What is wrong with the outcome of one row for one call style; `""` if nothing is.

    The same rules apply to every class: the answer that the table expects, or an error users can catch
    where the table expects one, after the expected number of requests.
    """
    server: Gateway | VerbatimServer = gateway
    gateway.reset()
    if isinstance(case.fault, Verbatim):
        server = verbatim
        verbatim.respond(case.fault)
    else:
        gateway.misbehave(case.fault, times=_MAX_REQUESTS)
    where = {"base_url": server.base_url, "api_key": server.key}
    wrong = _wrong_outcome(case, way, {**where, "timeout": _TIMEOUT, "max_retries": case.max_retries})
    sent = len(server.requests)
    if not wrong and sent != case.requests:
        wrong = f"{sent} requests instead of {case.requests}"
    return wrong


def _wrong_outcome(case: Case, way: Way, where: dict[str, Any]) -> str:
    expected = case.outcome
    try:
        seen = way(**where)
    except Exception as error:
        name = type(error).__name__
        if isinstance(expected, Seen):
            return f"{name} for a whole answer"
        return "" if _says_what_happened(error) else name
    if not isinstance(expected, Seen):
        return (
            "a broken answer passed off as whole" if seen.text or seen.calls else "an empty answer, no error"
        )
    if seen.text != expected.text:
        return "another text"
    if list(seen.calls) != list(expected.calls):
        return "other tool calls"
    return "" if seen.tokens == expected.tokens else "other token counts"


def _says_what_happened(error: Exception) -> bool:
    """Whether users can catch this error: one of the SDK, LangChain, the HTTP library, or a timeout."""
    caught = isinstance(error, (openai.OpenAIError, ModelError, TimeoutError))
    return caught or type(error).__module__.partition(".")[0] in ("httpx", "httpx2")


def main() -> int:
    """Print the table; return 1 if a class of this project fails a row."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"some of {', '.join(SUBJECTS)}; default all installed")
    parser.add_argument("--outgoing", action="store_true", help="run the table of what is sent alone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    arguments = parser.parse_args()
    chosen = arguments.subjects or [name for name in SUBJECTS if _is_installed(SUBJECTS[name][2])]
    results: dict[str, dict[tuple[str, str, str], str]] = {}
    sent: dict[str, dict[tuple[str, str, str], str]] = {}
    with Gateway() as gateway, VerbatimServer() as verbatim, one_loop() as runner, _quiet():
        for name in chosen:
            number = 0 if SUBJECTS[name][0] is langchain_ways else 1
            sent[name] = outgoing.run(SUBJECTS[name][1], gateway, runner, number=number)
            if not arguments.outgoing:
                results[name] = _run(name, gateway, verbatim)
    tables = {"outgoing": _table(sent, outgoing.GROUPS, "###")}
    if not arguments.outgoing:
        tables["faults"] = _table(results, GROUPS, "##")
    for part, table in tables.items():
        if arguments.write:
            rewrite_part("faults.md", part, table)
        else:
            sys.stdout.write(table)
    ours = [found.get(name, {}).values() for name in ("ChatTexAPI", "TexAPI") for found in (sent, results)]
    return 1 if any(wrong for wrongs in ours for wrong in wrongs) else 0


def _run(name: str, gateway: Gateway, verbatim: VerbatimServer) -> dict[tuple[str, str, str], str]:
    """(group, row, call style) -> what is wrong."""
    make_ways, make, _ = SUBJECTS[name]
    started = time.monotonic()
    outcomes = {
        (group, row, way.name): judge(case, way, gateway, verbatim)
        for group, cases in GROUPS.items()
        for row, case in cases.items()
        for way in make_ways(make)
        if concerns(case, way) and _asks_for(group, row, way)
    }
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.__stderr__)
    return outcomes


def _asks_for(group: str, row: str, way: Way) -> bool:
    """Whether a row has the requested form, or is the one row that tests the other form.

    This project's tests also send every odd answer to streams, and every odd stream to whole calls; for a
    peer each of those rows would show the same result.
    """
    form = {"odd answers": (False, "as documented"), "odd streams": (True, "as documented, streamed")}
    streamed, other = form.get(group, (way.streamed, ""))
    return way.streamed == streamed or row == other


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what classes print and log about the injected faults."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def _table(
    results: dict[str, dict[tuple[str, str, str], str]], groups: Mapping[str, Mapping[str, Any]], level: str
) -> str:
    lines = [
        f"Run on {datetime.date.today().isoformat()} with {_versions()}.\n",
        f"| Group | Rows | {' | '.join(results)} |",
        f"| --- | --- |{' --- |' * len(results)}",
    ]
    for group in groups:
        cells = [
            _share(wrong for key, wrong in outcomes.items() if key[0] == group)
            for outcomes in results.values()
        ]
        lines.append(f"| {group} | {len(groups[group])} | {' | '.join(cells)} |")
    shares = [_share(outcomes.values()) for outcomes in results.values()]
    lines.append(f"| all | {sum(map(len, groups.values()))} | {' | '.join(shares)} |")
    for name, outcomes in results.items():
        lines += _failures(name, outcomes, level)
    return "\n".join(lines) + "\n"


def _share(outcomes: Any) -> str:
    wrongs = list(outcomes)
    right = sum(not wrong for wrong in wrongs)
    return f"{right} of {len(wrongs)} ({100 * right // len(wrongs)} %)"


def _failures(name: str, outcomes: dict[tuple[str, str, str], str], level: str) -> list[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, row, way), wrong in outcomes.items():
        if wrong:
            rows[wrong][f"{row} ({way})"] += 1
    if not rows:
        return []
    lines = [f"\n{level} What `{name}` does differently\n"]
    for wrong, where in sorted(rows.items(), key=lambda item: -len(item[1])):
        by_row: dict[str, list[str]] = defaultdict(list)
        for place in where:
            row, _, way = place.rpartition(" (")
            by_row[row].append(way.rstrip(")"))
        listed = ", ".join(
            row if len(ways) == 4 else f"{row} ({', '.join(ways)})" for row, ways in by_row.items()
        )
        lines.append(f"- **{wrong}** ({len(where)}): {listed}.")
    return lines


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
