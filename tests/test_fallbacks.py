"""Another model is asked only after an error that it may mend, and a stream only before its first content."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

import langchain_texapi
import llama_index_texapi
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.test_examples import RUN
from texapi_core import FALLBACK_ERRORS, TexAPIError, errors
from texapi_core.accounting import CallRecord

MENDED = [
    Fault(status=503, error_type="all_routes_failed", message="x"),
    Fault(status=429, error_type="rate_limited", message="x"),
    Fault(status=404, error_type="model_not_found", message="x"),
    Fault(status=400, error_type="context_length_exceeded", message="x"),
    Fault(status=200, raw=b"<html>", content_type="text/html"),
    Fault(status=403, error_type="permission_error", message="Your key may not use claude-sonnet-4-6."),
    Fault(status=403, error_type="model_not_allowed", message="x"),
]
NOT_MENDED = [
    Fault(status=402, error_type="insufficient_credits", message="x"),
    Fault(status=429, error_type="insufficient_quota", message="x"),
    Fault(status=429, error_type="daily_spending_cap_exceeded", message="x"),
    Fault(status=401, error_type="invalid_api_key", message="x"),
    Fault(status=400, error_type="invalid_request_error", message="x"),
    Fault(status=403, error_type="permission_error", message="This API key is disabled."),
    Fault(status=403, error_type="forbidden", message="Account suspended."),
    Fault(status=403, error_type="ip_not_allowed", message="IP 1.2.3.4 is not on the list of this key."),
    Fault(status=403, error_type="forbidden", message="该令牌状态不可用"),
    Fault(status=403, error_type="forbidden", message="Tài khoản đã bị khóa"),
    Fault(status=403, error_type="forbidden", message="claude-sonnet-4-6-mini is not yours"),
]
FIRST, SECOND = "claude-sonnet-4-6", "gpt-5.2"
HISTORY = [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "Say one")]

faults = pytest.mark.parametrize(
    "fault", [*MENDED, *NOT_MENDED], ids=lambda fault: f"{fault.status} {fault.error_type} {fault.message}"
)
every_way = pytest.mark.parametrize("way", WAYS)


def test_each_class_is_one_that_another_model_may_mend_or_not() -> None:
    classes = {
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, TexAPIError)
    }
    not_mended = {found.__name__ for found in classes if not issubclass(found, FALLBACK_ERRORS)}

    assert not_mended == {
        "TexAPIError",
        "TexAPISettingsError",
        "TexAPIStreamInterruptedError",
        "TexAPIResponseTooLargeError",
        "TexAPIPermissionDeniedError",
        "TexAPIBudgetExceededError",
        "TexAPIBudgetUnavailableError",
        "TexAPIStatusError",
        "TexAPIBadRequestError",
        "TexAPIAuthenticationError",
        "TexAPIInsufficientCreditsError",
        "TexAPIInsufficientQuotaError",
        "TexAPIConflictError",
        "TexAPIUnprocessableEntityError",
        "TexAPISpendingLimitError",
        "TexAPIDailySpendingCapError",
        "TexAPIMonthlyKeyLimitError",
        "TexAPIRedirectError",
    }
    assert langchain_texapi.FALLBACK_ERRORS is llama_index_texapi.FALLBACK_ERRORS is FALLBACK_ERRORS


async def ask_langchain(endpoint: Endpoint, way: str) -> str | None:
    """The model that answered."""
    models = [ChatTexAPI(**endpoint.for_langchain(model=name)) for name in (FIRST, SECOND)]
    chain = models[0].with_fallbacks(models[1:], exceptions_to_handle=FALLBACK_ERRORS)
    messages: Any = list(HISTORY)
    if way == "whole":
        message = chain.invoke(messages)
    elif way == "awhole":
        message = await chain.ainvoke(messages)
    else:
        chunks: list[Any] = (
            list(chain.stream(messages))
            if way == "stream"
            else [chunk async for chunk in chain.astream(messages)]
        )
        message = sum(chunks[1:], chunks[0])
    return str(message.response_metadata["model_name"])


async def ask_llama_index(endpoint: Endpoint, way: str) -> str | None:
    """The model that answered."""
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST, fallback_models=[SECOND]))
    messages = [ChatMessage(text, role=role) for role, text in HISTORY]
    if way == "whole":
        response = llm.chat(messages)
    elif way == "awhole":
        response = await llm.achat(messages)
    elif way == "stream":
        *_, response = llm.stream_chat(messages)
    else:
        *_, response = [each async for each in await llm.astream_chat(messages)]
    return str(response.additional_kwargs["model"])


both = pytest.mark.parametrize("ask", [ask_langchain, ask_llama_index])


@both
@faults
@every_way
async def test_the_next_model_is_asked_only_if_it_may_mend_the_error(
    gateway: Gateway, endpoint: Endpoint, records: list[CallRecord], ask: Any, fault: Fault, way: str
) -> None:
    gateway.misbehave(fault)
    if fault in NOT_MENDED:
        with pytest.raises(TexAPIError):
            await ask(endpoint, way)
        assert len(gateway.requests) == len(records) == 1
        return

    assert await ask(endpoint, way) == SECOND

    first, second = (request.body for request in gateway.requests)
    assert {**first, "model": SECOND} == second
    assert [(record.model, record.outcome) for record in records] == [(FIRST, "error"), (SECOND, "ok")]
    assert records[1].served_model == SECOND


async def invoke_streaming(endpoint: Endpoint, way: str) -> str | None:
    """LangChain's `invoke` of a model that streams inside, with fallbacks."""
    models = [
        ChatTexAPI(**endpoint.for_langchain(model=name, streaming=True, stream_idle_timeout=0.3))
        for name in (FIRST, SECOND)
    ]
    chain = models[0].with_fallbacks(models[1:], exceptions_to_handle=FALLBACK_ERRORS)
    messages: Any = list(HISTORY)
    if way == "stream":
        return str(chain.invoke(messages).response_metadata["model_name"])
    return str((await chain.ainvoke(messages)).response_metadata["model_name"])


_BEGUN = b'data: {"choices": [{"index": 0, "delta": {"content": "I"}, "finish_reason": null}]}\n\n'
ENDINGS = {
    "overloaded": b'data: {"error": {"type": "overloaded_error", "message": "x"}}\n\n',
    "rate limited": b'data: {"error": {"type": "rate_limit_error", "message": "x"}}\n\n',
    "too long": b'data: {"error": {"type": "context_length_exceeded", "message": "x"}}\n\n',
    "no JSON": b"data: {broken\n\n",
    "cut": b"",
}


@pytest.mark.parametrize("ask", [ask_langchain, ask_llama_index, invoke_streaming])
@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
async def test_a_stream_that_has_begun_is_not_asked_of_another_model(
    gateway: Gateway, endpoint: Endpoint, ask: Any, way: str, ending: bytes
) -> None:
    gateway.misbehave(Fault(raw=_BEGUN + ending, content_type="text/event-stream"))

    with pytest.raises(errors.TexAPIStreamInterruptedError) as caught:
        await ask(endpoint, way)

    assert len(gateway.requests) == 1
    assert caught.value.partial_text == "I"


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_stalls_after_its_first_content_is_neither(
    gateway: Gateway, endpoint: Endpoint, way: str
) -> None:
    gateway.answer("one two three four five six")
    gateway.misbehave(Fault(stall_after=4))

    with pytest.raises(errors.TexAPIStreamInterruptedError) as caught:
        await invoke_streaming(endpoint, way)

    assert len(gateway.requests) == 1
    assert isinstance(caught.value.__cause__, errors.TexAPITimeoutError)
    assert caught.value.advice == errors.TexAPITimeoutError.advice


def test_an_error_of_a_stream_that_has_begun_keeps_what_it_knows(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    gateway.misbehave(Fault(raw=_BEGUN + ENDINGS["rate limited"], content_type="text/event-stream"))
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST))

    with pytest.raises(errors.TexAPIStreamInterruptedError) as caught:
        list(llm.stream_complete("Hello"))

    error, cause = caught.value, caught.value.__cause__
    assert isinstance(cause, errors.TexAPIRateLimitError)
    assert (error.type, error.request_id, str(error)) == ("rate_limit_error", cause.request_id, str(cause))
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.type, copied.partial_text) == (type(error), "rate_limit_error", "I")


@both
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_fails_before_its_content_is(
    gateway: Gateway, endpoint: Endpoint, ask: Any, way: str
) -> None:
    event = json.dumps({"error": {"type": "overloaded_error", "message": "x"}})
    gateway.misbehave(Fault(raw=f"data: {event}\n\n".encode(), content_type="text/event-stream"))

    assert await ask(endpoint, way) == SECOND


def test_the_last_error_is_raised_and_each_change_is_logged(
    gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.misbehave(MENDED[0], times=2)
    gateway.misbehave(MENDED[2])
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST, fallback_models=[SECOND, "deepseek-v3.2"]))

    with pytest.raises(errors.TexAPINotFoundError):
        llm.complete("Hello")

    assert [request.body["model"] for request in gateway.requests] == [FIRST, SECOND, "deepseek-v3.2"]
    changes = [record.getMessage() for record in caplog.records if "the call goes to" in record.getMessage()]
    assert changes[0] == (
        "The model claude-sonnet-4-6 failed (TexAPIAllRoutesFailedError, request id "
        f"{gateway.ledger[0].request_id}); the call goes to gpt-5.2."
    )
    assert len(changes) == 2


@pytest.mark.parametrize("names", [[""], ["  "], ["gpt-5.2", "\n"]])
def test_a_blank_name_is_refused(endpoint: Endpoint, names: list[str]) -> None:
    with pytest.raises(errors.TexAPISettingsError, match="`fallback_models`"):
        TexAPI(**endpoint.for_llama_index(model=FIRST, fallback_models=names))
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST)).model_copy(update={"fallback_models": names})
    with pytest.raises(errors.TexAPISettingsError, match="`fallback_models`"):
        llm.complete("Hello")


def test_a_model_that_failed_is_not_asked_again(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(MENDED[0], times=9)
    names = [FIRST, SECOND, SECOND, FIRST]
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST, fallback_models=names))

    with pytest.raises(errors.TexAPIAllRoutesFailedError):
        llm.complete("Hello")

    assert [request.body["model"] for request in gateway.requests] == [FIRST, SECOND]


def test_an_answer_without_a_model_is_that_of_the_model_asked(gateway: Gateway, endpoint: Endpoint) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    gateway.misbehave(MENDED[0])
    gateway.misbehave(Fault(body={"choices": [choice]}))
    llm = TexAPI(**endpoint.for_llama_index(model=FIRST, fallback_models=[SECOND]))

    assert llm.complete("Hello").additional_kwargs["model"] == SECOND


# The recipe for agents in docs/langchain.md


def _agent(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> Any:
    (block,) = [block for block in RUN if "class NextModel(" in block.code]
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    names: dict[str, Any] = {}
    exec(compile(block.code, str(block), "exec", dont_inherit=True), names)
    return names["agent"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("fault", [MENDED[2], NOT_MENDED[0]], ids=["mended", "not mended"])
def test_the_middleware_of_the_documentation(
    gateway: Gateway, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, fault: Fault, is_async: bool
) -> None:
    agent = _agent(monkeypatch, endpoint)
    gateway.reset()
    gateway.misbehave(fault)
    question = {"messages": [HumanMessage("Say one")]}

    def ask() -> Any:
        return asyncio.run(agent.ainvoke(question)) if is_async else agent.invoke(question)

    if fault in NOT_MENDED:
        with pytest.raises(errors.TexAPIInsufficientCreditsError):
            ask()
    else:
        assert ask()["messages"][-1].response_metadata["model_name"] == SECOND
    assert len(gateway.requests) == 1 + (fault in MENDED)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_middleware_does_not_pay_twice_for_an_answer_that_began(
    gateway: Gateway, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """LangGraph's `stream_mode="messages"` makes the model stream inside of `invoke`."""
    agent = _agent(monkeypatch, endpoint)
    gateway.reset()
    gateway.misbehave(Fault(raw=_BEGUN + ENDINGS["overloaded"], content_type="text/event-stream"))
    question = {"messages": [HumanMessage("Say one")]}

    async def ask() -> Any:
        return [each async for each in agent.astream(question, stream_mode="messages")]

    with pytest.raises(errors.TexAPIStreamInterruptedError):
        asyncio.run(ask()) if is_async else list(agent.stream(question, stream_mode="messages"))
    assert len(gateway.requests) == 1


# Idempotency


@every_way
async def test_an_idempotency_key_is_the_same_in_each_retry(
    gateway: Gateway, endpoint: Endpoint, way: str
) -> None:
    gateway.misbehave(Fault(status=503, message="x", headers={"retry-after": "0"}), times=2)
    model = ChatTexAPI(**endpoint.for_langchain(model=SECOND) | {"max_retries": 2})
    headers: Any = {"extra_headers": {"Idempotency-Key": "order-1"}}

    if way == "whole":
        model.invoke("Hello", **headers)
    elif way == "awhole":
        await model.ainvoke("Hello", **headers)
    elif way == "stream":
        list(model.stream("Hello", **headers))
    else:
        assert [chunk async for chunk in model.astream("Hello", **headers)]

    assert [request.headers["idempotency-key"] for request in gateway.requests] == ["order-1"] * 3
