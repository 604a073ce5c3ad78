"""The tables on one class, also of others: its rows, and what is wrong with the outcome of one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import openai
from langchain_core.exceptions import ModelError

from tests.asking import WAYS
from tests.faults import outgoing
from tests.faults.case import Case, Seen
from tests.faults.children import Judge
from tests.faults.table import GROUPS, concerns
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import Way, chat_texapi, langchain_ways, llama_index_ways, one_loop, texapi
from tests.gateway import Gateway

_TIMEOUT = 1.0
_IDLE = 0.4
"""The limits of the rows that a limit must end, in seconds. The others end on a machine however busy."""
_MAX_REQUESTS = 50
"""More than any class sends for one call, so that no retry gets past the fault."""
MAX_SECONDS = 60.0
"""The time that a class may take for one row; what has not ended by then is wrong."""


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
    timeout, idle = (_TIMEOUT, _IDLE) if case.needs_limits else (MAX_SECONDS, MAX_SECONDS)
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


class Row(NamedTuple):
    """One row of a table in one call style of one class."""

    subject: str
    table: str
    """`outgoing` or `faults`: the part of the page that it is in."""
    group: str
    row: str
    way: str

    @property
    def needs_limits(self) -> bool:
        """Whether a limit of time ends the call, so that a busy machine could change the outcome."""
        return self.table == "faults" and GROUPS[self.group][self.row].needs_limits


@cache
def rows_of(subject: str, table: str) -> list[Row]:
    """Every row of a table in every call style of a class."""
    if table == "outgoing":
        return [
            Row(subject, table, group, row, way)
            for group, rows in outgoing.GROUPS.items()
            for row in rows
            if outgoing.asking_of(group, row, _number(subject)) is not None
            for way in WAYS
        ]
    return [
        Row(subject, table, group, row, way.name)
        for group, cases in GROUPS.items()
        for row, case in cases.items()
        for way in _ways(subject)
        if concerns(case, way) and _asks_for(group, row, way)
    ]


def verdict(row: Row, gateway: Gateway, verbatim: VerbatimServer, runner: asyncio.Runner) -> str:
    """What is wrong with the outcome of a row; `""` if nothing is."""
    if row.table == "outgoing":
        make, number = SUBJECTS[row.subject][1], _number(row.subject)
        asking = outgoing.asking_of(row.group, row.row, number)
        assert asking is not None
        return runner.run(outgoing.judge(make, gateway, row.way, asking))
    way = next(way for way in _ways(row.subject) if way.name == row.way)
    return judge(GROUPS[row.group][row.row], way, gateway, verbatim)


@contextlib.contextmanager
def judging() -> Iterator[Judge]:
    """In a child process: the servers, and what judges a row by them."""
    with Gateway() as gateway, VerbatimServer() as verbatim, one_loop() as runner, quiet():
        yield partial(verdict, gateway=gateway, verbatim=verbatim, runner=runner)


def _ways(subject: str) -> list[Way]:
    make_ways, make, _ = SUBJECTS[subject]
    return make_ways(make)


def _number(subject: str) -> int:
    """The number of the framework of a class in a row of what is sent."""
    return 0 if SUBJECTS[subject][0] is langchain_ways else 1


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
