"""The three scenes of the demo. Each call is recorded under a label for the closing table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from demo.endpoint import standin
from demo.screen import Screen
from demo.texts import text
from texapi_core import TexAPIBudgetExceededError, TexAPIError
from texapi_core.accounting import CallRecord

MODEL = os.environ.get("TEXAPI_DEMO_MODEL", "claude-sonnet-4-6")
CHUNK_DELAY = 0.02
"""Seconds between two events of the stand-in's streams, so that they look like streams."""
_LOOP_LIMIT = 0.0015
_MAX_LOOP = 20
_THINKING = "dim italic"
_FAILED = "yellow"


@dataclass
class Calls:
    """The record of each call, with the words that the table has for it."""

    label: Callable[[], str] = str
    made: list[tuple[str, CallRecord]] = field(default_factory=list)

    def listen(self, record: CallRecord) -> None:
        """Called when a call has ended."""
        self.made.append((self.label(), record))

    def name(self, label: str) -> None:
        """Name the calls that follow; `{number}` counts them."""
        before = len(self.made)
        self.label = lambda: text(label, number=len(self.made) - before + 1)

    @property
    def last(self) -> CallRecord:
        """The call that ended last."""
        return self.made[-1][1]


def both_frameworks(screen: Screen, calls: Calls) -> None:
    """One question, streamed through LangChain and through LlamaIndex: the same usage."""
    screen.title(text("both"))
    question = text("question_both")
    with screen.waiting(text("loading", name="LangChain")):
        from langchain_texapi import ChatTexAPI

        model = ChatTexAPI(model=MODEL, prices={})
        with suppress(TexAPIError):  # loads the rest, so that the first call is timed as any other
            model.list_models()
    screen.line(">", question)
    calls.name("row_langchain")
    screen.stream("ChatTexAPI", (chunk.text for chunk in model.stream(question)))
    first = calls.last.usage
    with screen.waiting(text("loading", name="LlamaIndex")):
        from llama_index.core.llms import ChatMessage

        from llama_index_texapi import TexAPI

        llm = TexAPI(model=MODEL, prices={})
    calls.name("row_llama_index")
    answers = llm.stream_chat([ChatMessage(question)])
    screen.stream("TexAPI", (answer.delta or "" for answer in answers))
    second = calls.last.usage
    if first.input_tokens is None or second.input_tokens is None:
        screen.note(text("no_usage"))
    elif (first.input_tokens, first.output_tokens) == (second.input_tokens, second.output_tokens):
        screen.note(text("same_usage", input=first.input_tokens, output=first.output_tokens))
    else:
        counts = [f"{usage.input_tokens} + {usage.output_tokens}" for usage in (first, second)]
        screen.note(text("other_usage", first=counts[0], second=counts[1]))


def agent_with_a_tool(screen: Screen, calls: Calls) -> None:
    """LangChain's agent: it thinks, calls a tool and answers, all of it streamed."""
    screen.title(text("agent"))
    with screen.waiting(text("loading", name="LangGraph")):
        from langchain.agents import create_agent
        from langchain_core.messages import HumanMessage
        from langchain_core.tools import tool

        from langchain_texapi import ChatTexAPI

    @tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        return text("weather", city=city)

    agent = create_agent(ChatTexAPI(model=MODEL, reasoning_effort="low", prices={}), [get_weather])
    question = text("question_agent")
    screen.line(">", question)
    calls.name("row_agent")
    events: Any = agent.stream({"messages": [HumanMessage(question)]}, stream_mode="messages")
    for label, pieces, style in _passages(message for message, _ in events):
        screen.stream(label, pieces, style)


def _passages(messages: Iterator[Any]) -> Iterator[tuple[str, Iterator[str], str]]:
    """The passages of a streamed run: who speaks, the pieces of what is said, and a style."""
    pieces = (each for message in messages for each in _said(message))
    following = next(pieces, None)
    while following is not None:
        current, following = following, None

        def of_passage(first: tuple[str, str, str] = current) -> Iterator[str]:
            nonlocal following
            yield first[1]
            for each in pieces:
                if each[0] != first[0]:
                    following = each
                    return
                yield each[1]

        yield current[0], of_passage(), current[2]


def _said(message: Any) -> Iterator[tuple[str, str, str]]:
    """What a message or a chunk says: label, words, style."""
    if message.type == "tool":
        yield text("gets"), message.text, ""
        return
    blocks: list[Any] = message.content_blocks
    for block in blocks:
        if block["type"] == "reasoning" and block.get("reasoning"):
            yield text("thinks"), block["reasoning"], _THINKING
        elif block["type"] == "tool_call_chunk":
            yield (
                text("calls"),
                f"{block['name'] or ''}{' ' if block['name'] else ''}{block['args'] or ''}",
                "",
            )
        elif block["type"] == "text" and block["text"]:
            yield text("answers"), block["text"], ""


def money(screen: Screen, calls: Calls) -> None:
    """A loop that a budget stops before the call that would exceed it, and an empty balance."""
    from langchain_texapi import ChatTexAPI

    screen.title(text("money"))
    screen.note(text("loop", limit=_LOOP_LIMIT))
    model = ChatTexAPI(
        model=MODEL,
        max_tokens=60,
        max_cost=_LOOP_LIMIT,
        max_tokens_total=10_000,
        unpriced="count_tokens",
        budget_scope="tag:demo",
        tags=["demo=loop"],
    )
    calls.name("row_loop")
    for number in range(1, _MAX_LOOP + 1):
        try:
            metadata = model.invoke(text("question_both")).response_metadata
        except TexAPIBudgetExceededError as error:
            screen.line(text("call_refused", number=number), "", _FAILED)
            screen.note(f"{type(error).__name__}: {error}", _FAILED)
            break
        cost, left = metadata.get("cost"), metadata["budget_left"]["cost"]
        screen.note(text("call_cost", number=number, cost=_usd(cost), left=_usd(left)))
    else:
        screen.note(text("loop_unpriced", number=_MAX_LOOP, model=MODEL))
    screen.note("")
    empty_balance(screen, calls)


def empty_balance(screen: Screen, calls: Calls) -> None:
    """The openai SDK and `ChatTexAPI` meet an empty balance at the stand-in, which counts the requests."""
    import openai
    from pydantic import SecretStr

    from langchain_texapi import ChatTexAPI
    from tests.gateway import Fault

    screen.note(text("balance"))
    gateway = standin(CHUNK_DELAY)
    body = {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}
    fault = Fault(status=429, body=json.dumps(body), headers={"retry-after-ms": "100"})

    def requests_of(ask: Callable[[], Any]) -> tuple[str, Exception]:
        before = len(gateway.requests)
        gateway.misbehave(fault, times=3)
        try:
            ask()
        except (openai.OpenAIError, TexAPIError) as error:
            count = len(gateway.requests) - before
            return text("one_request" if count == 1 else "requests", count=count), error
        raise AssertionError("The stand-in answered a call that it was told to refuse.")

    messages: Any = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(api_key=gateway.key, base_url=gateway.base_url) as client:
        count, error = requests_of(lambda: client.chat.completions.create(model=MODEL, messages=messages))
    screen.line("openai", f"{count}  {type(error).__name__}")
    calls.name("row_balance")
    model = ChatTexAPI(model=MODEL, api_key=SecretStr(gateway.key), base_url=gateway.base_url, prices={})
    count, error = requests_of(lambda: model.invoke("Hello"))
    screen.line("ChatTexAPI", f"{count}  {type(error).__name__}: {error}")


def _usd(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.6f}"


SCENES = (both_frameworks, agent_with_a_tool, money)
