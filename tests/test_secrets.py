"""Plant secrets everywhere a user can pass one, and search every output for them."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.log_stream import LogStreamCallbackHandler
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from pydantic import SecretStr

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.gateway import Fault, Gateway

KEY = "sk-tex-planted-key-5f1d"
DEFAULT = "planted-default-header-77a0"
EXTRA = "planted-extra-header-93be"
PROXY = "planted-proxy-password-c2d4"
SECRETS = {"key": KEY, "default header": DEFAULT, "extra header": EXTRA, "proxy password": PROXY}


def assert_clean(*shown: Any) -> None:
    for text in shown:
        for name, secret in SECRETS.items():
            assert secret not in str(text), f"the {name} is in {str(text)[:2000]}"
            assert secret not in repr(text), f"the {name} is in {repr(text)[:2000]}"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(keys=[KEY]) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _fresh(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.reset()
    monkeypatch.setenv("TEXAPI_API_KEY", KEY)


@pytest.fixture
def chat(gateway: Gateway) -> ChatTexAPI:
    headers: dict[str, str | SecretStr] = {"X-Tenant": DEFAULT, "X-Other": SecretStr(DEFAULT)}
    return ChatTexAPI(
        model="gpt-5.2",
        api_key=SecretStr(KEY),
        base_url=gateway.base_url,
        default_headers=headers,
        max_retries=0,
    )


@pytest.fixture
def llm(gateway: Gateway) -> TexAPI:
    headers: dict[str, str | SecretStr] = {"X-Tenant": DEFAULT, "X-Other": SecretStr(DEFAULT)}
    return TexAPI(
        model="gpt-5.2", api_key=KEY, api_base=gateway.base_url, default_headers=headers, max_retries=0
    )


def test_the_planted_secrets_reach_the_gateway(gateway: Gateway, chat: ChatTexAPI, llm: TexAPI) -> None:
    """Otherwise every other test here would pass trivially."""
    chat.invoke("Hello", extra_headers={"X-Extra": EXTRA, "x-tenant": "replaced"})
    llm.chat([ChatMessage("Hello")], extra_headers={"X-Extra": SecretStr(EXTRA)})

    first, second = (request.headers for request in gateway.requests)
    assert first["authorization"] == second["authorization"] == f"Bearer {KEY}"
    assert (first["x-tenant"], second["x-tenant"]) == ("replaced", DEFAULT)
    assert (first["x-other"], second["x-other"]) == (DEFAULT, DEFAULT)
    assert (first["x-extra"], second["x-extra"]) == (EXTRA, EXTRA)


def test_the_langchain_object(chat: ChatTexAPI) -> None:
    bound = chat.bind_tools([]).bind(seed=1)

    assert_clean(chat, chat.model_dump(), chat.model_dump_json(), chat.__dict__["texapi_api_key"])
    assert_clean(dumps(chat), dumpd(chat), chat.to_json(), chat.to_json_not_implemented(), chat.asdict())
    assert_clean(bound, dumps(bound), chat._get_ls_params(), chat._identifying_params, chat._get_llm_string())
    assert_clean(
        chat._get_invocation_params(extra_headers={"X-Extra": EXTRA}), chat.get_name(), chat.lc_secrets
    )
    assert_clean(*(repr(value) for name, value in chat if name != "default_headers"))


def test_the_llama_index_object(llm: TexAPI) -> None:
    assert_clean(llm, llm.model_dump(), llm.model_dump_json(), llm.to_dict(), llm.to_json(), llm.to_payload())
    assert_clean(llm.metadata, llm.dict(), llm.api_key)


def test_the_core_settings() -> None:
    settings = texapi_core.resolve_settings(
        api_key=KEY, base_url=None, timeout=1, max_retries=0, default_headers={"X-Tenant": DEFAULT}
    )

    assert_clean(settings, texapi_core.CallOptions(extra_headers={"X-Extra": EXTRA}))


def _configured() -> Any:
    """A LangChain model with a temperature that is configurable per call."""
    heat = ConfigurableField(id="heat")
    chat: Any = ChatTexAPI(model="m").configurable_fields(temperature=heat)
    return chat.prepare({"configurable": {"heat": 0.5}})[0]


@pytest.mark.parametrize("make", [lambda: ChatTexAPI(model="m"), lambda: TexAPI(model="m"), _configured])
def test_a_pickle_does_not_contain_a_key_from_the_environment(make: Callable[[], Any]) -> None:
    assert KEY.encode() not in pickle.dumps(make())


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": f"{KEY} "},
        {"api_key": KEY, "temperature": KEY},
        {"api_key": KEY, "default_headers": {"X-Tenant": f"{DEFAULT}\n"}},
        {"api_key": KEY, "default_headers": {"X-Tenant": [DEFAULT]}},
        {"api_key": KEY, "default_headers": DEFAULT},
        {"api_key": KEY, "base_url": f"https://user:{PROXY}@gateway.example/v1"},
        {"api_key": KEY, "base_url": f"ftp://user:{PROXY}@gateway.example"},
        {"api_key": KEY, "base_url": f"https://gateway.example/v1?key={EXTRA}"},
        {"api_key": [KEY]},
    ],
)
@pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])
def test_rejected_values_are_not_quoted(make: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 # ours or pydantic's; what matters is the text
        make(model="m", **wrong)

    assert_clean(_all_texts(caught.value))


# What the gateway quotes


_QUOTES = f"refused {KEY} and {DEFAULT} and {EXTRA}"
_STREAM = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
_LONG = "x" * 190
_ECHOES: dict[str, Fault] = {
    "401 JSON": Fault(status=401, error_type="invalid_api_key", message=_QUOTES),
    "400 in a type": Fault(status=400, error_type=KEY, message=DEFAULT, code=EXTRA),
    "403 HTML": Fault(status=403, body=f"<html>{_QUOTES}</html>"),
    "429": Fault(status=429, body={"error": {"message": _QUOTES, "metadata": {KEY: [EXTRA]}}}),
    "500 text": Fault(status=500, body=_QUOTES),
    "503 in headers": Fault(status=503, headers={"x-echo": _QUOTES, "www-authenticate": f"Bearer {KEY}"}),
    "a text cut in the key": Fault(status=400, message=_LONG + KEY + _LONG),
    "200 error": Fault(body={"error": {"message": _QUOTES}}, headers={"x-echo": _QUOTES}),
    "200 HTML": Fault(raw=f"<html>{_QUOTES}".encode(), content_type="text/html", headers={"x-echo": KEY}),
    "200 cut in the key": Fault(raw=f"{_LONG}{KEY}{_LONG}".encode(), content_type="text/plain"),
    "200 broken": Fault(raw=f'{{"a": "{_QUOTES}'.encode(), content_type="application/json"),
    "200 no choices": Fault(body={"seen": _QUOTES}),
    "in the stream": Fault(raw=_STREAM + f'data: {{"error": {{"message": "{_QUOTES}"}}}}\n\n'.encode()),
    "in a stray line": Fault(raw=_STREAM + f"{_QUOTES}\n\n".encode(), headers={"x-echo": _QUOTES}),
    "307 in the address": Fault(status=307, body=b"", headers={"location": f"http://a.example/?k={KEY}"}),
    "302 in the address": Fault(status=302, body=b"", headers={"location": f"/v1?k={KEY}"}),
    "401 that cannot be unpacked": Fault(
        status=401,
        body=b"\x1f\x8b\xff",
        headers={"content-encoding": "gzip", "www-authenticate": f"Bearer {KEY}"},
    ),
    "401 in the id": Fault(status=401, headers={"x-request-id": KEY}),
    "200 broken, in the id": Fault(raw=b"{", headers={"x-request-id": f"req-{KEY}"}),
    "cut stream, in the id": Fault(raw=_STREAM, headers={"x-request-id": KEY}),
    "cut stream": Fault(raw=_STREAM, headers={"x-echo": _QUOTES}),
}


def _invoke(chat: ChatTexAPI, llm: TexAPI) -> Any:
    return chat.invoke("Hello", extra_headers={"X-Extra": EXTRA})


def _astream(chat: ChatTexAPI, llm: TexAPI) -> Any:
    async def collect() -> Any:
        return [chunk async for chunk in chat.astream("Hello", extra_headers={"X-Extra": EXTRA})]

    return asyncio.run(collect())


def _stream_chat(chat: ChatTexAPI, llm: TexAPI) -> Any:
    return list(llm.stream_chat([ChatMessage("Hello")], extra_headers={"X-Extra": SecretStr(EXTRA)}))


def _achat(chat: ChatTexAPI, llm: TexAPI) -> Any:
    return asyncio.run(llm.achat([ChatMessage("Hello")], extra_headers={"X-Extra": SecretStr(EXTRA)}))


_ASKS = [_invoke, _astream, _stream_chat, _achat]


@pytest.mark.parametrize("ask", _ASKS)
@pytest.mark.parametrize("echo", _ECHOES)
def test_errors(
    gateway: Gateway,
    chat: ChatTexAPI,
    llm: TexAPI,
    echo: str,
    ask: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway.misbehave(_ECHOES[echo])

    with pytest.raises(texapi_core.TexAPIError) as caught:
        ask(chat, llm)

    assert_clean(_all_texts(caught.value), pickle.dumps(caught.value))
    assert_clean("".join(traceback.format_exception(caught.value)), caplog.text)


def _all_texts(error: BaseException) -> list[str]:
    """The texts and attributes of an error and of its chained errors."""
    texts: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__]
        texts += [str(each), repr(each), *map(repr, each.args)]
        if isinstance(each, (texapi_core.TexAPIError, openai.OpenAIError)):
            texts += [repr(value) for value in vars(each).values()]
            if (response := getattr(each, "response", None)) is not None:
                texts += [response.text, str(response.headers.multi_items())]
    return texts


def test_an_answer_that_quotes_the_request_in_its_headers(gateway: Gateway, chat: ChatTexAPI) -> None:
    gateway.misbehave(Fault(headers={"x-echo": _QUOTES, "x-request-id": KEY}))

    settings = chat._settings()
    payload = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}]}
    reply = texapi_core.complete(settings, payload, texapi_core.CallOptions(extra_headers={"X-Extra": EXTRA}))

    assert_clean(reply)


_SPELT = [
    '{"token":"planted-within"}',
    "back\\slash-planted-within",
    "a\"quote-and-'-planted-within",
    "/planted-within",
]


@pytest.mark.parametrize("ask", [_invoke, _astream, _stream_chat, _achat])
@pytest.mark.parametrize("secret", _SPELT)
@pytest.mark.parametrize("status", [401, 200])
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_secret_in_another_json_spelling(
    gateway: Gateway,
    chat: ChatTexAPI,
    llm: TexAPI,
    ask: Callable[..., Any],
    secret: str,
    status: int,
    slash: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "EXTRA", secret)
    body = json.dumps({"seen" if status == 200 else "error": {"message": f"no {secret}"}}).replace("/", slash)
    gateway.misbehave(Fault(status=status, body=body))

    with pytest.raises(texapi_core.TexAPIError) as caught:
        ask(chat, llm)

    received = [*_all_texts(caught.value), *traceback.format_exception(caught.value)]
    assert not any("planted-within" in text for text in received), received


def test_a_request_id_set_by_the_user_is_not_redacted(gateway: Gateway, chat: ChatTexAPI) -> None:
    gateway.misbehave(Fault(headers={"x-request-id": "my-own-id-0001"}))

    reply = texapi_core.complete(
        chat._settings(),
        {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello"}]},
        texapi_core.CallOptions(extra_headers={"X-Request-Id": "my-own-id-0001"}),
    )

    assert reply.request_id == "my-own-id-0001"


def _set_proxy(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """As if this process had made no call yet."""
    from texapi_core.failures import secrets

    monkeypatch.setenv(name, address)
    monkeypatch.setattr(secrets, "_passwords_of_proxies", secrets._passwords_of_proxies.__wrapped__)
    monkeypatch.setattr(secrets, "_default_secrets", secrets._default_secrets.__wrapped__)


@pytest.mark.parametrize(
    "address", ["http://user:{}@127.0.0.1:1", "gopher://user:{}@127.0.0.1:1", "http://user:{}/#?@127.0.0.1:1"]
)
def test_proxy_passwords(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords of proxies from the environment; a user's own client is covered below."""
    from texapi_core.transport import clients as client

    monkeypatch.setattr(client, "_pools", {})
    monkeypatch.setattr(client, "_clients", client._clients.__class__())
    _set_proxy(monkeypatch, "ALL_PROXY", address.format(PROXY))
    chat = ChatTexAPI(model="m", base_url="http://gateway.invalid/v1", max_retries=0, timeout=1)

    with pytest.raises(texapi_core.TexAPIConnectionError) as caught:
        chat.invoke("Hello")

    assert_clean(_all_texts(caught.value), "".join(traceback.format_exception(caught.value)))


def test_a_proxy_that_quotes_its_password(
    gateway: Gateway, chat: ChatTexAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_proxy(monkeypatch, "HTTPS_PROXY", f"http://user:{PROXY}@127.0.0.1:1")
    chat = chat.model_copy(update={"max_retries": 0})
    gateway.misbehave(
        Fault(status=502, body={"error": {"message": f"no route for user {PROXY}", "by": [PROXY]}})
    )

    with pytest.raises(texapi_core.TexAPIServerError) as caught:
        chat.invoke("Hello")

    assert "***" in str(caught.value)
    assert_clean(_all_texts(caught.value), "".join(traceback.format_exception(caught.value)))


def test_the_user_s_own_client_with_a_proxy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with openai.DefaultHttpxClient(proxy=f"http://user:{PROXY}@127.0.0.1:1") as own:
        chat = ChatTexAPI(model="m", http_client=own, max_retries=0, timeout=1)
        llm = TexAPI(model="m", http_client=own, max_retries=0, timeout=1)
        assert_clean(chat, dumps(chat), chat.model_dump(), llm, llm.to_dict(), llm.to_json())
        with pytest.raises(texapi_core.TexAPIConnectionError) as caught:
            chat.invoke("Hello")

    assert_clean(_all_texts(caught.value), caplog.text)


# What the frameworks pass on to handlers


class _Everything(BaseCallbackHandler):
    """Collects everything that LangChain passes to handlers."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.received.append((args, kwargs))

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self.received.append((args, kwargs))

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.received.append((args, kwargs))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.received.append((_all_texts(error), kwargs))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_langchain_callbacks(gateway: Gateway, chat: ChatTexAPI, streamed: bool, fails: bool) -> None:
    handler = _Everything()
    if fails:
        gateway.misbehave(_ECHOES["401 JSON"])
    runnable = chat.bind(extra_headers={"X-Extra": EXTRA})
    config: Any = {"callbacks": [handler, LogStreamCallbackHandler()], "metadata": {"run": 1}}

    try:
        if streamed:
            list(runnable.stream("Hello", config))
        else:
            runnable.invoke("Hello", config)
    except texapi_core.TexAPIError:
        assert fails

    assert len(handler.received) >= 2
    assert "gpt-5.2" in str(handler.received)
    assert_clean(handler.received, json.dumps(handler.received, default=repr))


class _Events(BaseEventHandler):
    received: list[Any] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        error = getattr(event, "exception", None)
        self.received.append(
            (event.model_dump(exclude={"exception"}), str(event), _all_texts(error) if error else ())
        )


class _Spans(BaseSpanHandler[Any]):
    received: list[Any] = []

    def new_span(
        self,
        id_: str,
        bound_args: Any,
        instance: Any = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.received.append((id_, str(bound_args), repr(instance), tags, kwargs))

    def prepare_to_exit_span(
        self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **kwargs: Any
    ) -> None:
        self.received.append((id_, str(bound_args), repr(result), kwargs))

    def prepare_to_drop_span(
        self, id_: str, bound_args: Any, instance: Any = None, err: BaseException | None = None, **kwargs: Any
    ) -> None:
        self.received.append((id_, str(bound_args), _all_texts(err) if err else (), kwargs))


class _LegacyHandler(CallbackManager):
    """LlamaIndex's older callbacks, which use a callback manager."""

    def __init__(self) -> None:
        super().__init__([])
        self.received: list[Any] = []

    def on_event_start(self, *args: Any, **kwargs: Any) -> str:
        self.received.append((args, kwargs))
        return super().on_event_start(*args, **kwargs)

    def on_event_end(self, *args: Any, **kwargs: Any) -> None:
        payload = dict(kwargs.get("payload") or {})
        error = payload.pop("exception", None)
        self.received.append((args, payload, _all_texts(error) if error else ()))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_llama_index_events_and_spans(gateway: Gateway, llm: TexAPI, streamed: bool, fails: bool) -> None:
    root, events, spans, legacy = get_dispatcher("root"), _Events(), _Spans(), _LegacyHandler()
    events.received, spans.received = [], []
    root.add_event_handler(events)
    root.add_span_handler(spans)
    llm.callback_manager = legacy
    if fails:
        gateway.misbehave(_ECHOES["401 JSON"])
    headers = {"X-Extra": SecretStr(EXTRA)}

    try:
        if streamed:
            list(llm.stream_chat([ChatMessage("Hello")], extra_headers=headers))
        else:
            llm.chat([ChatMessage("Hello")], extra_headers=headers)
    except texapi_core.TexAPIError:
        assert fails
    finally:
        root.event_handlers.remove(events)
        root.span_handlers.remove(spans)

    for received in (events.received, spans.received, legacy.received):
        assert "X-Extra" in str(received)
        assert_clean(received)


# Logs


@pytest.mark.parametrize("ask", _ASKS)
@pytest.mark.parametrize("fails", [False, True])
def test_logs_at_debug(
    gateway: Gateway,
    chat: ChatTexAPI,
    llm: TexAPI,
    ask: Callable[..., Any],
    fails: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logs of all loggers: ours, the SDK's, the HTTP library's, the frameworks'."""
    for name in [None, *list(logging.root.manager.loggerDict)]:
        caplog.set_level(logging.DEBUG, logger=name)
    if fails:
        gateway.misbehave(Fault(status=401, message="no"))

    try:
        ask(chat, llm)
    except texapi_core.TexAPIError:
        assert fails

    assert "chat/completions" in caplog.text
    assert_clean(caplog.text, *(record.__dict__ for record in caplog.records))


@pytest.mark.parametrize("place", ["body", "stream"])
def test_a_secret_that_is_a_word_of_an_error_does_not_hide_its_class(
    gateway: Gateway, chat: ChatTexAPI, place: str
) -> None:
    message = {"error": {"type": "api_error", "message": "insufficient balance (1008)"}}
    if place == "body":
        gateway.misbehave(Fault(status=500, body=message))
    else:
        raw = f"data: {json.dumps(message)}\n\n".encode()
        gateway.misbehave(Fault(raw=raw, content_type="text/event-stream"))

    with pytest.raises(texapi_core.TexAPIInsufficientCreditsError) as caught:
        list(chat.stream("Hello", extra_headers={"x-tag": "insufficient balance"}))

    assert "insufficient" not in str(caught.value)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("kept", [9, 20, 34])
def test_no_piece_of_a_key_remains_where_a_long_error_is_cut(
    gateway: Gateway, chat: ChatTexAPI, kept: int
) -> None:
    body = b"x" * (2**20 - kept) + KEY.encode() + b"y" * 50
    gateway.misbehave(Fault(status=400, raw=body, content_type="text/plain"))

    with pytest.raises(texapi_core.TexAPIBadRequestError) as caught:
        chat.invoke("Hello")

    assert KEY[:8] not in caught.value.response.text[-100:]
    assert KEY[:8] not in _all_texts(caught.value)
