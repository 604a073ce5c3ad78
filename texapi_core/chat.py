"""Chat completions: payload in, `ChatReply` out, for a stream after its `ChatDelta`s.

`complete` and `stream` have async twins that differ by `await` alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from texapi_core.accounting.recorder import record_call
from texapi_core.call import Attempt, Call
from texapi_core.settings import NO_OPTIONS, CallOptions, Settings
from texapi_core.transport.body_end import (
    aclosing_when_silent,
    aread_to_end,
    closing,
    read_to_end,
    read_to_end_guarded,
)
from texapi_core.transport.read import AnswerStream, Reading, aread_body, read_body
from texapi_core.transport.send import asend, send
from texapi_core.wire.values import ChatDelta, ChatReply


def complete(settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS) -> ChatReply:
    """The whole answer to one request.

    If the model cannot be forced to call a tool, the request is sent again with `tool_choice="auto"`.

    Args:
        settings: from `resolve_settings`.
        payload: the JSON of the request, as in the gateway's documentation, without `stream`.
        options: what is different for this call.

    Raises:
        TexAPIError: see `texapi_core.errors`.
    """
    attempt = Attempt(Call(settings, payload, options))
    while True:
        with attempt as call, record_call(call) as record:
            with record.sending():
                response = send(call)
            record.opened(response)
            return record.finished(call.completed(read_body(call, response).reply()))


async def acomplete(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> ChatReply:
    """The whole answer to one request. Async twin of `complete`."""
    attempt = Attempt(Call(settings, payload, options))
    while True:
        with attempt as call:
            async with record_call(call) as record:
                with record.sending():
                    sent = await asend(call)
                record.opened(sent.response)
                return record.finished(call.completed((await aread_body(call, sent)).reply()))


def stream(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> Generator[ChatDelta | ChatReply]:
    """The answer as it arrives: `ChatDelta`s, then one `ChatReply` of the whole.

    Closing the generator closes the connection. A stream that breaks raises; it never ends early. If the
    model cannot be forced to call a tool, the request is sent again with `tool_choice="auto"`.

    Args:
        settings: from `resolve_settings`.
        payload: the JSON of the request, as in the gateway's documentation, without `stream`.
        options: what is different for this call.

    Raises:
        TexAPIError: see `texapi_core.errors`. The answer received so far is in the error's `partial`.
    """
    attempt = Attempt(Call(settings, payload, options))
    while True:
        with attempt as call, record_call(call, streamed=True) as record:
            with record.sending():
                response = send(call, stream=True)
            answer = AnswerStream(call, response)
            record.opened(response, answer)
            packets = answer.decoder.packets(
                response
            )  # keep a reference: dropping it would close the connection
            with closing(response):
                with Reading(call, response, answer):
                    for answer.packet in packets:
                        for delta in answer.feed(answer.packet):
                            attempt.has_begun = True
                            yield delta
                        if answer.done:
                            break
                        answer.wait()
                for delta in answer.finish():
                    attempt.has_begun = True
                    yield delta
                yield record.finished(call.completed(answer.reply()))
                if settings.http_client is None:
                    read_to_end(response)
                else:
                    read_to_end_guarded(response)
            return


async def astream(
    settings: Settings, payload: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> AsyncGenerator[ChatDelta | ChatReply]:
    """The answer as it arrives. Async twin of `stream`."""
    attempt = Attempt(Call(settings, payload, options))
    while True:
        with attempt as call:
            async with record_call(call, streamed=True) as record:
                with record.sending():
                    sent = await asend(call, stream=True)
                answer = AnswerStream(call, sent.response)
                record.opened(sent.response, answer)
                packets = answer.decoder.apackets(sent.response)
                try:
                    with (
                        Reading(call, sent.response, answer),
                        aclosing_when_silent(sent.response, answer),
                    ):
                        async for answer.packet in packets:
                            for delta in answer.feed(answer.packet):
                                attempt.has_begun = True
                                yield delta
                            if answer.done:
                                break
                            answer.wait()
                    for delta in answer.finish():
                        attempt.has_begun = True
                        yield delta
                    yield record.finished(call.completed(answer.reply()))
                    await aread_to_end(packets)
                finally:
                    await sent.aclose()
                return
