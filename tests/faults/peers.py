"""The fault table on one class, also of others: what it does otherwise in each row, within a time limit."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import openai
from langchain_core.exceptions import ModelError

from tests.faults.case import Case, Seen
from tests.faults.table import GROUPS, concerns
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import Way, chat_texapi, langchain_ways, llama_index_ways, one_loop, texapi
from tests.gateway import Gateway

_TIMEOUT = 1.0
_IDLE = 0.4
"""The limits of the rows that a limit must end, in seconds. The others end on a machine however busy."""
_MAX_REQUESTS = 50
"""More than any class sends for one call, so that no retry gets past the fault."""
_MAX_SECONDS = 60.0
"""The time that a class may take for one row; what has not ended by then is wrong."""
_MAX_START = 300.0
"""The time a process may take to import a class, in seconds."""
_READY = "ready"


def _chat_openai(*, stream_idle_timeout: float = _IDLE, **where: Any) -> Any:
    chat_openai = importlib.import_module("langchain_openai").ChatOpenAI
    has_limit = "stream_chunk_timeout" in chat_openai.model_fields
    limit = {"stream_chunk_timeout": stream_idle_timeout} if has_limit else {}
    return chat_openai(model="gpt-5.2", stream_usage=True, use_responses_api=False, **limit, **where)


def _open_ai_like(*, base_url: str, stream_idle_timeout: float = _IDLE, **where: Any) -> Any:
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
    timeout, idle = (_TIMEOUT, _IDLE) if case.needs_limits else (_MAX_SECONDS, _MAX_SECONDS)
    where = {"base_url": server.base_url, "api_key": server.key, "max_retries": case.max_retries}
    wrong = _wrong_outcome(case, way, {**where, "timeout": timeout, "stream_idle_timeout": idle})
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


def _rows(name: str) -> list[tuple[str, str, Way]]:
    """The group, row and call style of each outcome of a class."""
    make_ways, make, _ = SUBJECTS[name]
    return [
        (group, row, way)
        for group, cases in GROUPS.items()
        for row, case in cases.items()
        for way in make_ways(make)
        if concerns(case, way) and _asks_for(group, row, way)
    ]


def run(name: str) -> dict[tuple[str, str, str], str]:
    """(group, row, call style) -> what is wrong.

    The rows run in a child process, since nothing else ends a thread that waits for a socket. A row
    that takes more than `_MAX_SECONDS` ends its process, and another one goes on with the next row.
    """
    started = time.monotonic()
    keys = [(group, row, way.name) for group, row, way in _rows(name)]
    outcomes: dict[tuple[str, str, str], str] = {}
    while len(outcomes) < len(keys):
        for wrong in _outcomes_from(name, len(outcomes)):
            outcomes[keys[len(outcomes)]] = wrong
        if len(outcomes) < len(keys):
            outcomes[keys[len(outcomes)]] = f"did not end within {_MAX_SECONDS:.0f} s"
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.__stderr__)
    return outcomes


def _outcomes_from(name: str, first: int) -> Iterator[str]:
    """What is wrong with each row from this one, until one does not end."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_judge_all, args=(name, first, sending), daemon=True)
    child.start()
    sending.close()
    try:
        if not receiving.poll(_MAX_START) or receiving.recv() != _READY:
            raise RuntimeError(f"The process for {name} did not start.")
        with contextlib.suppress(EOFError):
            while receiving.poll(_MAX_SECONDS):
                yield receiving.recv()
    finally:
        child.kill()
        child.join()
        receiving.close()


def _judge_all(name: str, first: int, outcomes: Connection) -> None:
    """Send what is wrong with each row from this one."""
    with Gateway() as gateway, VerbatimServer() as verbatim, one_loop(), quiet():
        rows = _rows(name)[first:]
        outcomes.send(_READY)
        for group, row, way in rows:
            outcomes.send(judge(GROUPS[group][row], way, gateway, verbatim))


def _asks_for(group: str, row: str, way: Way) -> bool:
    """Whether a row has the requested form, or is the one row that tests the other form.

    This project's tests also send every odd answer to streams, and every odd stream to whole calls; for a
    peer each of those rows would show the same result.
    """
    form = {"odd answers": (False, "as documented"), "odd streams": (True, "as documented, streamed")}
    streamed, other = form.get(group, (way.streamed, ""))
    return way.streamed == streamed or row == other


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what classes print and log about the injected faults."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
