"""The gateway injects the requested faults, and then behaves normally again."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.gateway import Fault, Gateway
from tests.waiting import wait_until

MESSAGES: list[Any] = [{"role": "user", "content": "Count from 1 to 9"}]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    gateway.reset()
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, **settings: Any) -> str | None:
    answer = client.chat.completions.create(model="gpt-5.2", messages=MESSAGES, **settings)
    return str(answer.choices[0].message.content)


@contextlib.contextmanager
def streaming(gateway: Gateway, headers: dict[str, str] | None = None) -> Iterator[http.client.HTTPResponse]:
    host = gateway.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=60)
    body = json.dumps({"model": "gpt-5.2", "messages": MESSAGES, "stream": True})
    authorization = {"authorization": f"Bearer {gateway.key}"}
    connection.request("POST", "/v1/chat/completions", body, {**authorization, **(headers or {})})
    response = connection.getresponse()
    try:
        yield response
    finally:
        response.close()
        connection.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_status(
    gateway: Gateway, client: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    gateway.misbehave(Fault(status=status, message="Not now."))
    with pytest.raises(error, match=r"Not now\.") as caught:
        ask(client)
    assert caught.value.request_id == "req_000001"
    assert gateway.ledger[0].status == status
    assert ask(client) == "1, 2, 3, 4, 5, 6, 7, 8, 9"


def test_all_fields_of_an_error(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(
        Fault(
            status=402,
            error_type="insufficient_quota",
            code="no_money",
            message="Top up.",
            headers={"Retry-After": "7"},
        )
    )
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client)
    assert caught.value.body == {
        "type": "insufficient_quota",
        "code": "no_money",
        "message": "Top up.",
        "param": None,
    }
    assert caught.value.response.headers["retry-after"] == "7"


def test_faults_are_queued(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(Fault(status=500), times=2)
    gateway.misbehave(Fault(status=429))
    seen = []
    for _ in range(4):
        try:
            ask(client)
            seen.append(200)
        except openai.APIStatusError as error:
            seen.append(error.status_code)
    assert seen == [500, 500, 429, 200]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html>Bad gateway</html>", "text/html"),
        (b"not json", "text/plain; charset=utf-8"),
        ({"detail": "odd"}, "application/json"),
        ('{"detail": "odd"}', "application/json"),
    ],
)
def test_verbatim_body(
    gateway: Gateway, client: openai.OpenAI, body: bytes | str | dict[str, Any], kind: str
) -> None:
    gateway.misbehave(Fault(status=502, body=body))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client)
    wanted = json.dumps(body) if isinstance(body, dict) else body
    assert caught.value.response.content == (wanted.encode() if isinstance(wanted, str) else wanted)
    assert caught.value.response.headers["content-type"] == kind


def test_verbatim_answer_with_status_200(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(Fault(body={"error": {"message": "hidden"}}))
    response = client.chat.completions.with_raw_response.create(model="gpt-5.2", messages=MESSAGES)
    assert json.loads(response.content) == {"error": {"message": "hidden"}}


def test_delay(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(Fault(delay=5))
    with pytest.raises(openai.APITimeoutError):
        ask(client, timeout=0.1)
    gateway.misbehave(Fault(delay=0.1))
    start = time.monotonic()
    assert ask(client)
    assert time.monotonic() - start >= 0.1


def test_cut_stream(gateway: Gateway) -> None:
    gateway.misbehave(Fault(cut_after=3))
    with streaming(gateway) as response, pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial.count(b"data: ") == 3
    wait_until(lambda: not gateway.ledger[-1].completed)
    assert 0 < gateway.ledger[-1].completion_tokens < 17


def test_cut_whole_answer(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(Fault(cut_after=0))
    with pytest.raises(openai.APIConnectionError):
        ask(client)
    assert not gateway.ledger[0].completed


def test_stall(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.misbehave(Fault(stall_after=2))
    stream = client.chat.completions.create(model="gpt-5.2", messages=MESSAGES, stream=True, timeout=0.5)
    seen: list[object] = []
    with pytest.raises(Exception, match=r"(?i)timed? ?out"):
        seen.extend(stream)
    stream.close()
    assert len(seen) <= 2
    assert not gateway.ledger[0].completed


def test_stall_ends_by_itself(gateway: Gateway) -> None:
    gateway.misbehave(Fault(stall_after=1, stall_seconds=0.1))
    with streaming(gateway) as response, pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial.count(b"data: ") == 1


def test_stall_with_comments(gateway: Gateway) -> None:
    gateway.misbehave(Fault(stall_after=1, stall_seconds=0.2, keepalive=True))
    with streaming(gateway) as response, pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial.count(b": keep-alive\n\n") >= 2


def test_raw_pieces(gateway: Gateway) -> None:
    pieces: list[bytes | float] = [b"data: {\xf0", 0.01, b"\x9f\x98\x80}\r\n\r\n", b"data: [DONE]"]
    gateway.misbehave(Fault(raw=pieces))
    with streaming(gateway) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.read() == b"".join(each for each in pieces if isinstance(each, bytes))


def test_raw_bytes_of_another_type(gateway: Gateway) -> None:
    gateway.misbehave(Fault(raw=b"<html>", content_type="text/html"))
    with streaming(gateway) as response:
        assert response.headers["content-type"] == "text/html"
        assert response.read() == b"<html>"


def test_fault_by_header(gateway: Gateway, client: openai.OpenAI) -> None:
    header = {"X-Standin-Fault": '{"status": 429, "headers": {"retry-after-ms": "5"}}'}
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, extra_headers=header)
    assert caught.value.response.headers["retry-after-ms"] == "5"
    with streaming(gateway, {"X-Standin-Fault": '{"raw": ["data: a", 0.01, "b"]}'}) as response:
        assert response.read() == b"data: ab"
    with pytest.raises(openai.RateLimitError):
        client.models.list(extra_headers=header)


@pytest.mark.parametrize("text", ["no json", "[]", '{"unknown": 1}'])
def test_wrong_fault_by_header(client: openai.OpenAI, text: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_headers={"X-Standin-Fault": text})
    assert caught.value.param == "x-standin-fault"


def test_client_that_disconnects() -> None:
    with Gateway(chunk_delay=0.02) as gateway:
        with streaming(gateway) as response:
            lines = [response.readline() for _ in range(8)]
            assert lines[-2].startswith(b"data: ")
        wait_until(lambda: len(gateway.ledger) > 0 and _is_settled(gateway))
        entry = gateway.ledger[0]
        assert not entry.completed
        assert entry.status == 200


def _is_settled(gateway: Gateway) -> bool:
    """Return whether the tokens of an abandoned stream were counted."""
    return gateway.ledger[0].completion_tokens > 0


def test_stops_fast_while_clients_wait() -> None:
    gateway = Gateway()
    with gateway:
        gateway.misbehave(Fault(stall_after=1))
        with streaming(gateway) as response:
            response.readline()
            start = time.monotonic()
            gateway.__exit__(None, None, None)
            assert time.monotonic() - start < 5


def test_many_threads(gateway: Gateway, client: openai.OpenAI) -> None:
    answers: list[str | None] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(client))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["1, 2, 3, 4, 5, 6, 7, 8, 9"] * 12
    assert len({entry.response_id for entry in gateway.ledger}) == 12
    assert all(entry.completed for entry in gateway.ledger)
