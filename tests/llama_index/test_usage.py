"""UsageCounter adds up the usage of a run per model, without that of concurrent runs."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from llama_index_texapi import UsageCounter
from tests.conftest import Endpoint
from tests.faults.case import DONE, USAGE, chunk, event
from tests.faults.streams import events
from tests.gateway import Gateway
from tests.llama_index.test_chat import llm
from tests.llama_index.test_tools import WEATHER


async def test_an_agent_s_run(gateway: Gateway, endpoint: Endpoint) -> None:
    agent = FunctionAgent(llm=llm(endpoint, reasoning_effort="low"), tools=[WEATHER])

    with UsageCounter() as usage:
        await agent.run("What is the weather in Hanoi?")

    assert usage.calls == len(gateway.ledger) == 2
    assert usage.total.input_tokens == sum(entry.prompt_tokens for entry in gateway.ledger)
    assert usage.total.output_tokens == sum(entry.completion_tokens for entry in gateway.ledger)
    assert usage.total.reasoning_tokens == sum(entry.reasoning_tokens for entry in gateway.ledger)
    assert usage.total.cached_tokens == sum(entry.cached_tokens for entry in gateway.ledger)


def test_models_are_kept_apart_and_calls_outside_do_not_count(endpoint: Endpoint) -> None:
    llm(endpoint).complete("Say one")
    with UsageCounter() as usage:
        llm(endpoint).complete("Say one")
        list(llm(endpoint, model="gpt-5.2").stream_complete("Say one"))
    llm(endpoint).complete("Say one")

    assert usage.calls == 2
    assert set(usage.by_model) == {"claude-sonnet-4-6", "gpt-5.2"}


@pytest.mark.parametrize(
    "last",
    [
        chunk(usage=USAGE),
        chunk(choices=None, usage=USAGE),
        chunk(choices=[], usage=USAGE) + chunk(type="ping"),
    ],
)
def test_a_stream_that_ends_without_choices_counts(gateway: Gateway, endpoint: Endpoint, last: bytes) -> None:
    gateway.misbehave(events(event({"content": "ok"}, "stop"), last, DONE))

    with UsageCounter() as usage:
        *_, response = llm(endpoint).stream_chat([ChatMessage("Hello")])

    assert (usage.calls, usage.total.total_tokens) == (1, 5)
    assert response.raw is not None
    assert response.raw["choices"] == []


async def test_two_runs_at_the_same_time(endpoint: Endpoint) -> None:
    async def run(times: int) -> int:
        with UsageCounter() as usage:
            for _ in range(times):
                await llm(endpoint).acomplete("Say one")
        return usage.calls

    one, three = await asyncio.gather(run(1), run(3))

    assert (one, three) == (1, 3)


class Person(BaseModel):
    """A person."""

    name: str
    usage: dict[str, int] = {"prompt_tokens": 1_000_000}


def test_a_structured_llm_counts_its_requests(gateway: Gateway, endpoint: Endpoint) -> None:
    structured = llm(endpoint).as_structured_llm(Person)

    with UsageCounter() as usage, usage:
        structured.chat([ChatMessage("name: Lan. Answer in JSON.")])

    assert usage.calls == len(gateway.requests) == 1
    assert usage.total.input_tokens == gateway.ledger[0].prompt_tokens
