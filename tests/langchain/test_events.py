"""The events of v3: what LangChain asks of a model, and that their message is that of a whole answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_texapi import ChatTexAPI
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.langchain.test_chat import WAYS, Way, model
from tests.langchain.test_content_blocks import STREAMED, call, events_of, streamed

pytestmark = pytest.mark.filterwarnings("ignore:.*beta:langchain_core._api.LangChainBetaWarning")


def _sync_events(chat: Any, question: str) -> AIMessage:
    return _checked(*events_of(chat, asynchronous=False, question=question))


def _async_events(chat: Any, question: str) -> AIMessage:
    return _checked(*events_of(chat, asynchronous=True, question=question))


def _checked(events: list[Any], message: AIMessage) -> AIMessage:
    assert_valid_event_stream(events)
    return message


EVENTS: list[Callable[[Any, str], AIMessage]] = [_sync_events, _async_events]
ALL = [*WAYS, *EVENTS]


def _answer(way: Any, *deltas: dict[str, Any], **whole: Any) -> Fault:
    """The same answer, whole or streamed."""
    if way in (*STREAMED, *EVENTS):
        return streamed(*deltas, finish_reason="tool_calls")
    message = {"role": "assistant", "content": None, **whole}
    return Fault(body={"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})


def _plain(message: AIMessage) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in block.items() if k not in ("index", "error")} for block in message.content_blocks
    ]


@pytest.mark.parametrize("way", ALL)
@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_what_a_provider_puts_on_a_call_late_is_on_its_block(
    gateway: Gateway, endpoint: Endpoint, way: Way, output_version: str
) -> None:
    extras = {"extra_content": {"google": {"thought_signature": "g"}}}
    head = call(0, '{"city": ', id="a", type="function", name="f")
    whole = call(0, '{"city": "Huế"}', id="a", type="function", name="f", **extras)
    gateway.misbehave(_answer(way, head, call(0, '"Huế"}'), call(0, "", **extras), **whole))
    chat = model(endpoint, output_version=output_version)

    message = way(chat, "Hello")

    expected = {"type": "tool_call", "id": "a", "name": "f", "args": {"city": "Huế"}, "extras": extras}
    assert _plain(message) == [expected]
    sent = chat._get_request_payload(["Hello", message, ToolMessage("r", tool_call_id="a")])["messages"][1]
    assert sent["tool_calls"][0]["extra_content"] == extras["extra_content"]


@pytest.mark.parametrize("arguments", ["[1]", '"x"', "1", "true", "[1", '"x', '{"a": 1}]', "[{}]"])
@pytest.mark.parametrize("way", ALL)
def test_arguments_that_are_no_object_are_shown_as_they_came(
    gateway: Gateway, endpoint: Endpoint, way: Way, arguments: str
) -> None:
    whole = call(0, arguments, id="a", type="function", name="f")
    head = call(0, "", id="a", type="function", name="f")
    gateway.misbehave(_answer(way, head, *(call(0, char) for char in arguments), **whole))

    message = way(model(endpoint), "Hello")

    assert message.tool_calls == []
    assert [bad["args"] for bad in message.invalid_tool_calls] == [arguments]
    assert _plain(message) == [{"type": "invalid_tool_call", "id": "a", "name": "f", "args": arguments}]


@pytest.mark.parametrize("way", EVENTS)
def test_langchain_asks_the_hooks_for_events(
    endpoint: Endpoint, way: Callable[[Any, str], AIMessage]
) -> None:
    """LangChain looks the hooks up by name: without them calls would lose what providers put on them."""
    asked = []

    class Model(ChatTexAPI):
        def _stream_chat_model_events(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append((len(messages), kwargs["stop"], kwargs["run_manager"].run_id))
            return super()._stream_chat_model_events(messages, *args, **kwargs)

        def _astream_chat_model_events(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append((len(messages), kwargs["stop"], kwargs["run_manager"].run_id))
            return super()._astream_chat_model_events(messages, *args, **kwargs)

    message = way(Model(**endpoint.for_langchain(model="gpt-5.2")), "Say one")

    ((count, stop, run_id),) = asked
    assert (count, stop, message.id) == (1, None, f"lc_run--{run_id}")


def test_no_event_without_a_chunk(endpoint: Endpoint) -> None:
    class Silent(ChatTexAPI):
        def _stream(self, *_: Any, **__: Any) -> Any:
            return iter(())

    assert list(Silent(**endpoint.for_langchain(model="m"))._stream_chat_model_events([])) == []
