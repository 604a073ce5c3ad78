"""What users can expect of every call of a LlamaIndex LLM, through LlamaIndex's interface only.

The gateway is strict: it refuses whatever OpenAI, Claude or Gemini would refuse.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import json
import pickle
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    VideoBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.evaluation import RelevancyEvaluator
from llama_index.core.llms.loading import load_llm
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from tests.conformance import answers
from tests.conformance.answers import REASONING, USAGE_PLACES, tool_call, whole
from tests.conformance.subject import SUBJECT
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.instrumentation import watching
from tests.llama_index.test_chat import (
    STREAMS,
    WAYS,
    achat,
    acomplete,
    astream_chat,
    chat,
    stream_chat,
    text_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
QUESTION = [ChatMessage("What is the capital of Vietnam?")]
ONCE = [chat, stream_chat, achat, astream_chat]


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}, 31 degrees."


WEATHER = FunctionTool.from_defaults(get_weather)


def memory() -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


# The contract


@pytest.mark.parametrize("way", WAYS)
def test_contract_one_span_and_one_pair_of_events_per_call(make: Any, way: Any) -> None:
    llm = make()
    with watching() as (events, spans):
        way(llm)

    assert spans.methods == [f"{SUBJECT.name}.{way.__name__}"]
    assert [name[-3:] for name in events.names] == ["art", "End"]


def test_contract_streams_are_generators(make: Any) -> None:
    async def kinds() -> list[bool]:
        streams = [await make().astream_chat(QUESTION), await make().astream_complete("Hi")]
        return [isinstance(stream, AsyncGenerator) for stream in streams]

    assert isinstance(make().stream_chat(QUESTION), Generator)
    assert isinstance(make().stream_complete("Hi"), Generator)
    assert asyncio.run(kinds()) == [True, True]


def test_contract_events_name_model_and_temperature(make: Any) -> None:
    payload = make(temperature=0.5).to_payload()

    assert (payload.get("model"), payload.get("temperature")) == ("claude-sonnet-4-6", 0.5)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_contract_a_stream_left_early_hangs_up(gateway: Gateway, make: Any, way: str) -> None:
    gateway.misbehave(Fault(stall_after=3, stall_seconds=20))

    async def leave() -> None:
        stream = await make().astream_chat(QUESTION)
        await anext(stream)
        await stream.aclose()

    if way == "async":
        asyncio.run(leave())
    else:
        stream = make().stream_chat(QUESTION)
        next(stream)
        stream.close()
    gc.collect()
    assert not gateway.ledger[-1].completed


def test_contract_any_model_name_with_a_usable_window(endpoint: Endpoint) -> None:
    metadata = SUBJECT.bare(endpoint, model="never-heard-of").metadata

    assert metadata.context_window > 100_000
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model


@pytest.mark.combination
def test_contract_a_document_of_60_000_tokens_costs_one_call(gateway: Gateway, endpoint: Endpoint) -> None:
    text = "The balance is prepaid and every call is paid per token from it. " * 4_000
    index = SummaryIndex.from_documents([Document(text=text)])

    index.as_query_engine(llm=SUBJECT.bare(endpoint)).query("How are calls paid?")

    assert len(gateway.requests) == 1


# Usage


@pytest.mark.parametrize("way", WAYS)
def test_usage_true_counts_once_in_the_token_counter(gateway: Gateway, make: Any, way: Any) -> None:
    counter = TokenCountingHandler()

    way(make(callback_manager=CallbackManager([counter])))

    (entry,) = gateway.ledger
    counted = [(event.prompt_token_count, event.completion_token_count) for event in counter.llm_token_counts]
    assert counted == [(entry.prompt_tokens, entry.completion_tokens)]


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("place", USAGE_PLACES)
def test_usage_wherever_a_stream_carries_it(gateway: Gateway, make: Any, way: Any, place: str) -> None:
    gateway.misbehave(USAGE_PLACES[place])
    counter = TokenCountingHandler()

    response = way(make(callback_manager=CallbackManager([counter])))

    assert text_of(response) == "Hà Nội"
    (event,) = counter.llm_token_counts
    assert (event.prompt_token_count, event.completion_token_count) == (1111, 222)


@pytest.mark.parametrize("way", WAYS)
def test_usage_in_additional_kwargs(make: Any, way: Any) -> None:
    kwargs = way(make()).additional_kwargs

    assert kwargs.get("prompt_tokens")
    assert kwargs.get("completion_tokens")


@pytest.mark.parametrize("streaming", [True, False])
def test_usage_in_every_output_of_an_agent(gateway: Gateway, make: Any, streaming: bool) -> None:
    async def outputs() -> list[Any]:
        agent = FunctionAgent(llm=make(), tools=[WEATHER], streaming=streaming)
        handler = agent.run("What is the weather in Hanoi?", memory=memory())
        found = [event async for event in handler.stream_events() if isinstance(event, AgentOutput)]
        await handler
        return [event.raw["usage"] for event in found if event.raw]

    reported = [usage["prompt_tokens"] for usage in asyncio.run(outputs())]
    assert reported == [entry.prompt_tokens for entry in gateway.ledger]


@pytest.mark.parametrize("way", [chat, achat])
def test_usage_that_is_null_is_no_error(gateway: Gateway, make: Any, way: Any) -> None:
    nothing = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    gateway.misbehave(whole({"content": "ok"}, usage=nothing))
    counter = TokenCountingHandler()

    way(make(callback_manager=CallbackManager([counter])))

    assert counter.total_llm_token_count > 0


# Blocks

BLOCKS = {
    "image": (ImageBlock(image=b"iVBORw0KGgo=", image_mimetype="image/png"), "data:image/png"),
    "audio": (AudioBlock(audio=b"UklGRg==", format="wav"), "input_audio"),
    "document": (
        DocumentBlock(data=b"JVBERi0xLjQ=", title="a.pdf", document_mimetype="application/pdf"),
        "a.pdf",
    ),
    "cache point": (CachePoint(cache_control=CacheControl(type="ephemeral")), "cache_control"),
    "citable": (CitableBlock(title="t", source="s", content=[TextBlock(text="cited text")]), "cited text"),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_reach_the_model(gateway: Gateway, make: Any, kind: str) -> None:
    block, trace = BLOCKS[kind]

    make().chat([ChatMessage(role="user", blocks=[TextBlock(text="Look:"), block])])

    assert trace in gateway.requests[0].raw.decode()


def test_blocks_that_cannot_are_named(make: Any) -> None:
    video = VideoBlock()

    with pytest.raises(ValueError, match="VideoBlock"):
        make().chat([ChatMessage(role="user", blocks=[video])])


@pytest.mark.parametrize("way", ONCE)
@pytest.mark.parametrize("spelling", REASONING)
def test_blocks_reasoning_is_one_of_its_own(gateway: Gateway, make: Any, way: Any, spelling: str) -> None:
    said = REASONING[spelling]
    chunks = [answers.chunk(said), answers.chunk({"content": "Hà Nội"}), answers.chunk({}, "stop")]
    gateway.misbehave(answers.stream(*chunks) if way in STREAMS else whole({"content": "Hà Nội", **said}))

    blocks = way(make()).message.blocks

    assert [block.content for block in blocks if isinstance(block, ThinkingBlock)] == ["Let me think."]
    assert [block.text for block in blocks if isinstance(block, TextBlock)] == ["Hà Nội"]


def test_blocks_reasoning_goes_back_with_its_tool_call(gateway: Gateway, make: Any) -> None:
    said = {"reasoning_content": "Let me think.", **tool_call("get_weather", '{"city": "Hanoi"}')}
    gateway.misbehave(whole(said, "tool_calls"))

    async def run() -> Any:
        agent = FunctionAgent(llm=make(), tools=[WEATHER], streaming=False)
        return await agent.run("What is the weather in Hanoi?", memory=memory())

    asyncio.run(run())
    assert "Let me think." in gateway.requests[1].raw.decode()


@pytest.mark.parametrize("way", ["chat", "stream_chat", "complete", "stream_complete"])
def test_blocks_log_probabilities(make: Any, way: str) -> None:
    asked = QUESTION if "chat" in way else "What is the capital of Vietnam?"
    response = getattr(make(), way)(asked, logprobs=True, top_logprobs=2)

    responses: list[Any] = list(response) if inspect.isgenerator(response) else [response]
    assert any(each.logprobs for each in responses)


# Settings, secrets, copies


def test_settings_what_is_not_set_is_not_sent(gateway: Gateway, make: Any) -> None:
    make().chat(QUESTION)

    assert set(gateway.requests[0].body) == {"model", "messages"}


def test_settings_a_call_s_own_win(gateway: Gateway, make: Any) -> None:
    make(max_tokens=100, temperature=0.1).chat(QUESTION, max_tokens=50, temperature=1.0)

    body = gateway.requests[0].body
    assert (body["max_tokens"], body["temperature"]) == (50, 1.0)


def test_settings_a_typo_is_an_error(make: Any) -> None:
    with pytest.raises(ValueError, match="temprature"):
        make(temprature=0.5)


def test_settings_extra_body_in_the_constructor(gateway: Gateway, make: Any) -> None:
    make(extra_body={"enable_thinking": False}).chat(QUESTION)

    assert gateway.requests[0].body.get("enable_thinking") is False


def test_settings_reasoning_effort(gateway: Gateway, make: Any) -> None:
    make(reasoning_effort="low").chat(QUESTION)

    assert gateway.requests[0].body.get("reasoning_effort") == "low"


def test_settings_openai_s_environment_has_no_say(
    gateway: Gateway, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-openai")

    make().chat(QUESTION)

    assert "of-openai" not in str(gateway.requests[0].headers)


def test_settings_openai_s_key_goes_nowhere_else(
    gateway: Gateway, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")

    try:
        SUBJECT.llm(endpoint, api_key=None).chat(QUESTION)
    except Exception:
        assert not gateway.requests  # it asked for its own key instead
    assert "sk-of-openai" not in str([request.headers for request in gateway.requests])


@pytest.mark.parametrize("shown", [repr, str, lambda it: str(it.to_dict()), lambda it: it.to_json()])
def test_secrets_stay_unseen(make: Any, endpoint: Endpoint, shown: Any) -> None:
    assert endpoint.api_key not in shown(make())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["deepcopy", "pickle"]
)
def test_copies_work(make: Any, copied: Any, when: str) -> None:
    llm = make()
    if when == "after":
        llm.complete("Say one")

    assert copied(llm).complete("Say one").text


def test_copies_saved_and_loaded(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    assert load_llm(make().to_dict()).metadata.model_name == "claude-sonnet-4-6"


# Errors and event loops


@pytest.mark.parametrize("way", ONCE)
@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        (Fault(status=429, headers={"retry-after-ms": "1"}), 3),
        (Fault(status=503, headers={"retry-after-ms": "1"}), 3),
        (Fault(status=429, error_type="insufficient_quota", headers={"retry-after-ms": "1"}), 1),
        (Fault(status=402, error_type="insufficient_credits"), 1),
    ],
    ids=["rate limit: 3", "no route: 3", "empty balance as 429: 1", "empty balance: 1"],
)
def test_errors_requests_with_two_retries(
    gateway: Gateway, make: Any, way: Any, fault: Fault, requests: int
) -> None:
    gateway.misbehave(fault, times=20)

    with pytest.raises(Exception, match=r"\S"):
        way(make(max_retries=2))
    assert len(gateway.requests) == requests


@pytest.mark.parametrize("way", ONCE)
@pytest.mark.parametrize(
    "body",
    [{"choices": []}, {"choices": None}, {"error": {"message": "upstream went away"}}],
    ids=["no choices", "null choices", "an error in a 200"],
)
def test_errors_in_an_answer_are_told(gateway: Gateway, make: Any, way: Any, body: dict[str, Any]) -> None:
    streamed = answers.stream({"id": "c", "object": "chat.completion.chunk", **body})
    gateway.misbehave(streamed if way in STREAMS else Fault(body={"id": "c", **body}))

    with pytest.raises(Exception, match=r"\S") as caught:
        way(make())
    assert not isinstance(caught.value, (IndexError, TypeError, AttributeError, AssertionError))


@pytest.mark.parametrize("way", [stream_chat, astream_chat])
def test_errors_a_cut_stream_is_no_answer(gateway: Gateway, make: Any, way: Any) -> None:
    events = "".join(f"data: {json.dumps(answers.chunk({'content': word}))}\n\n" for word in ("Hà ", "Nội"))
    gateway.misbehave(Fault(raw=events.encode(), content_type="text/event-stream"))

    with pytest.raises(Exception, match=r"\S"):
        way(make())


@pytest.mark.parametrize("running", [False, True], ids=["no loop runs", "a loop runs"])
def test_loops_four_evaluations_are_four_requests(gateway: Gateway, make: Any, running: bool) -> None:
    llm = make(max_retries=2)
    acomplete(llm)  # leaves a closed loop behind
    gateway.reset()
    contexts = ["The balance is prepaid by bank transfer."]

    def evaluate() -> list[bool | None]:
        evaluator = RelevancyEvaluator(llm=llm)
        return [
            evaluator.evaluate(query="How is it prepaid?", response=contexts[0], contexts=contexts).passing
            for _ in range(4)
        ]

    async def under_a_running_loop() -> list[bool | None]:
        return evaluate()

    assert len(asyncio.run(under_a_running_loop()) if running else evaluate()) == 4
    assert len(gateway.requests) == 4
    acomplete(llm)  # drops the clients of closed event loops
    gc.collect()


def test_loops_one_after_the_other(gateway: Gateway, make: Any) -> None:
    llm = make(max_retries=0)

    assert len([acomplete(llm) for _ in range(3)]) == len(gateway.requests) == 3
