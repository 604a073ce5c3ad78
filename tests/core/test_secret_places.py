"""No piece of a key is shown, wherever and at whatever offset a gateway quotes it."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.conftest import Endpoint
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way
from tests.gateway import Fault, Gateway
from texapi_core import TexAPIError, resolve_settings
from texapi_core.accounting import flush_ledgers
from texapi_core.accounting.record import CallRecord, log_call
from texapi_core.call import Call
from texapi_core.cli.output import print_calls
from texapi_core.failures import mapping
from texapi_core.failures.classify import error_object
from texapi_core.settings_checks import check_base_url, check_headers
from texapi_core.transport.read import AnswerStream, Body
from texapi_core.wire.text import printable

SECRET = "sk-tex-Zq8vXw2pLk9mNb4cTr7yHd5gJf3s"
_PIECE = 8
"""Characters of a secret that no text may hold."""
_OFFSETS = [*range(12), *range(150, 230), *range(760, 840)]
"""Before a secret: none, near the length of an excerpt, and near the length it is cut from."""
_http = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)


def _call() -> Call:
    return Call(resolve_settings(api_key=SECRET, base_url=None, timeout=5, max_retries=0))


def _response(status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> Any:
    request = _http.Request("POST", "https://gateway.example/v1/chat/completions")
    return _http.Response(status, headers=headers or {}, content=content, request=request)


def _refused(content: bytes, headers: dict[str, str] | None = None, status: int = 400) -> TexAPIError:
    call, response = _call(), _response(status, headers, content)
    sdk = openai.APIStatusError("no", response=response, body=error_object(content))
    return mapping.from_openai(sdk, call.secrets)


def _whole(content: bytes, headers: dict[str, str] | None = None) -> TexAPIError:
    call, response = _call(), _response(200, headers)
    call.secrets.redact_request_id(response)
    body = Body(call, response)
    body.feed(content)
    return _raised(body.reply)


def _streamed(*packets: bytes, headers: dict[str, str] | None = None) -> TexAPIError:
    call, response = _call(), _response(200, headers)
    call.secrets.redact_request_id(response)
    stream = AnswerStream(call, response)

    def read() -> None:
        for packet in packets:
            stream.feed(packet)
        list(stream.finish())

    return _raised(read)


def _raised(act: Callable[[], object]) -> TexAPIError:
    with pytest.raises(TexAPIError) as caught:
        act()
    return caught.value


_HALF = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'


def _event(**error: Any) -> bytes:
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


PLACES: dict[str, Callable[[str], TexAPIError]] = {
    "message of an error": lambda text: _refused(json.dumps({"error": {"message": text}}).encode()),
    "code of an error": lambda text: _refused(json.dumps({"error": {"code": text, "message": "m"}}).encode()),
    "type of an error": lambda text: _refused(json.dumps({"error": {"type": text, "message": "m"}}).encode()),
    "param of an error": lambda text: _refused(json.dumps({"error": {"param": text}}).encode()),
    "name in an error": lambda text: _refused(json.dumps({"error": {text: 1, "message": "m"}}).encode()),
    "error as text": lambda text: _refused(text.encode()),
    "error as HTML": lambda text: _refused(f"<html> \n \n {text}</html>".encode()),
    "error in white space": lambda text: _refused(b" " * 700 + b"\n" + text.encode()),
    "error quoted": lambda text: _refused(
        json.dumps({"error": {"message": json.dumps({"m": text})}}).encode()
    ),
    "error in a list": lambda text: _refused(json.dumps([{"error": {"message": [text]}}]).encode()),
    "error about money": lambda text: _refused(
        json.dumps({"error": {"message": f"余额不足 {text}"}}).encode(), status=500
    ),
    "header of an error": lambda text: _refused(b"{}", {"x-echo": text}),
    "request id of an error": lambda text: _refused(b"{}", {"x-request-id": text}),
    "error in an answer": lambda text: _whole(json.dumps({"error": {"message": text}}).encode()),
    "flat error in an answer": lambda text: _whole(json.dumps({"code": text, "msg": text}).encode()),
    "base_resp of an answer": lambda text: _whole(
        json.dumps({"base_resp": {"status_code": 1008, "status_msg": text}}).encode()
    ),
    "answer without choices": lambda text: _whole(json.dumps({"seen": text}).encode()),
    "answer as HTML": lambda text: _whole(f"<html> \n {text}".encode()),
    "answer as text": lambda text: _whole(text.encode()),
    "broken answer": lambda text: _whole(b'{"a": "' + text.encode()),
    "request id of an answer": lambda text: _whole(b"{", {"x-request-id": text}),
    "error event": lambda text: _streamed(_HALF, _event(message=text)),
    "code of an error event": lambda text: _streamed(_HALF, _event(code=text, message="m")),
    "error event of text": lambda text: _streamed(_HALF, b"event: error\ndata: " + text.encode() + b"\n\n"),
    "stray line": lambda text: _streamed(_HALF, text.encode() + b"\n\n"),
    "stray page": lambda text: _streamed(_HALF, b"<html>\n \n" + text.encode() + b"\n</html>\n\n"),
    "stray error": lambda text: _streamed(_HALF, b"error " + text.encode() + b"\n\n"),
    "broken event": lambda text: _streamed(_HALF, b"data: {" + text.encode() + b"\n\n"),
    "first event": lambda text: _streamed(b"data: " + text.encode() + b"\n\n"),
    "no stream": lambda text: _streamed(text.encode()),
    "request id of a stream": lambda text: _streamed(_HALF, headers={"x-request-id": text}),
    "header of a stream": lambda text: _streamed(_HALF, headers={"x-echo": text}),
    "cause of a broken connection": lambda text: mapping.connection_broke(
        _http.ReadError(text), _response(200), _call().secrets, streamed=True
    ),
    "cause of a request not sent": lambda text: mapping.not_sent(ValueError(text), _call().secrets),
}


def _shown(error: BaseException) -> Iterator[str]:
    """Every text of an error and of its chain: messages, attributes, responses, pickles."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__]
        yield from (str(each), repr(each), repr(vars(each)))
        if (response := getattr(each, "response", None)) is not None:
            yield from (response.text, str(response.headers.multi_items()))
    yield repr(pickle.dumps(error))


def _pieces(text: str, length: int = _PIECE) -> list[str]:
    return [
        SECRET[at : at + length]
        for at in range(len("sk-tex-"), len(SECRET) - length + 1)
        if SECRET[at : at + length] in text
    ]


@pytest.mark.parametrize(
    ("filling", "step"),
    [
        ("x", 10),
        pytest.param("x", 1, marks=pytest.mark.combination),
        pytest.param(" ", 1, marks=pytest.mark.combination),
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_no_piece_of_a_secret_at_any_offset(place: str, filling: str, step: int) -> None:
    """`make test` tries every tenth offset, other ones in each place."""
    for offset in _OFFSETS[list(PLACES).index(place) % step :: step]:
        error = PLACES[place](filling * offset + SECRET + "y" * 40)
        for text in _shown(error):
            assert not _pieces(text), (offset, text)


@pytest.mark.parametrize(
    "quoted",
    [
        f"{SECRET[:20]}***",
        f"***{SECRET[-12:]}",
        f"{SECRET[9:25]}, wrong",
        f"{SECRET[:18]}\n{SECRET[18:]}",
        f"{SECRET[:16]}<b>{SECRET[16:]}</b>",
        json.dumps(SECRET).replace("L", "\\u004c"),
    ],
)
def test_no_long_piece_of_a_secret(quoted: str) -> None:
    for place in PLACES.values():
        for text in _shown(place(quoted)):
            assert not _pieces(text, 12), text


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_name_of_an_answer_shows_a_secret(
    way: Way, gateway: Gateway, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG, logger="texapi")
    secret, ledger = endpoint.api_key, f"sqlite:///{tmp_path / 'calls.db'}"
    choice = {"index": 0, "finish_reason": secret, "native_finish_reason": secret}
    named = {"id": f"id-{secret}", "model": secret, "system_fingerprint": secret}
    if way.streamed:
        chunk = {**named, "choices": [{**choice, "delta": {"content": "Hi"}}]}
        raw = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
        gateway.misbehave(Fault(raw=raw, content_type="text/event-stream"))
    else:
        gateway.misbehave(Fault(body={**named, "choices": [{**choice, "message": {"content": "Hi"}}]}))

    answered = way(base_url=endpoint.base_url, api_key=secret, timeout=60, usage_ledger=ledger)
    assert flush_ledgers()

    assert answered.text == "Hi"
    shown = [record.getMessage() + str(vars(record)) for record in caplog.records]
    shown += [file.read_bytes().decode("latin-1") for file in tmp_path.iterdir()]
    assert any("***" in text for text in shown)
    assert not any(secret in text for text in shown)


_UNSAFE = "a\x1b[31mred\x9b1m\r\nforged \u202egnp.exe \u2066x\u2028line\x00\x07end"
_FORBIDDEN = "\x1b\x9b\r\n\u202e\u2066\u2028\x00\x07"


@pytest.mark.parametrize("place", [place for place in PLACES if "header" not in place and "id" not in place])
def test_no_control_character_reaches_a_message(place: str) -> None:
    message = str(PLACES[place](_UNSAFE))

    assert not set(_FORBIDDEN) & set(message), message


def _settled(frames: traceback.TracebackException) -> Iterator[str]:
    """The locals of our frames, in the whole chain."""
    for one in (frames, frames.__cause__, frames.__context__):
        if one is None:
            continue
        for frame in one.stack:
            if "/texapi_core/" in frame.filename or "_texapi/" in frame.filename:
                yield from (f"{frame.name}: {name}={value}" for name, value in (frame.locals or {}).items())
        if one is not frames:
            yield from _settled(one)


_HEADER = "planted-header-value-93be77a0"
_BROKEN: dict[str, Any] = {
    "refused": Fault(status=401, message=f"wrong key {SECRET}"),
    "cut stream": Fault(raw=_HALF, content_type="text/event-stream"),
    "error event": Fault(raw=_HALF + _event(message="gone"), content_type="text/event-stream"),
    "broken": Verbatim(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "no HTTP": Verbatim(f"{SECRET} HTTP\r\n\r\n".encode()),
    "a bad header": Verbatim(f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode()),
    "a bad chunk": Verbatim(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{SECRET}\r\n".encode()),
    "a reason": Verbatim(f"HTTP/1.1 401 {SECRET}\r\ncontent-length: 0\r\n\r\n".encode()),
    "a redirect": Verbatim(
        f"HTTP/1.1 307 x\r\nlocation: http://{SECRET}.example/\r\ncontent-length: 0\r\n\r\n".encode()
    ),
    "a page": Fault(raw=f"<html>{SECRET}</html>".encode(), content_type="text/html"),
    "an error in an answer": Fault(body={"error": {"message": SECRET}}),
    "a bad gzip": Fault(
        raw=SECRET.encode() * 20, content_type="application/json", headers={"content-encoding": "gzip"}
    ),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Gateway, VerbatimServer]]:
    """One that answers, and one that sends any bytes; both know the secret."""
    with Gateway(keys=[SECRET]) as gateway, VerbatimServer() as verbatim:
        yield gateway, verbatim


@pytest.mark.parametrize("fault", _BROKEN)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_secret_is_in_the_locals_of_our_frames(
    servers: tuple[Gateway, VerbatimServer], way: Way, fault: str
) -> None:
    gateway, verbatim = servers
    broken = _BROKEN[fault]
    gateway.reset()
    server: Any = gateway
    if isinstance(broken, Verbatim):
        server = verbatim
        verbatim.respond(broken)
    else:
        gateway.misbehave(broken)
    with pytest.raises(TexAPIError) as caught:
        way(
            base_url=server.base_url,
            api_key=SECRET,
            timeout=60,
            max_retries=0,
            default_headers={"X-Tenant": _HEADER},
        )

    captured = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    texts = list(_settled(captured))
    assert texts
    for text in [*texts, *_shown(caught.value), "".join(traceback.format_exception(caught.value))]:
        assert not _pieces(text), text
        assert _HEADER not in text, text


@pytest.mark.parametrize(
    "value",
    [" token-7f", "token-7f ", "token-7f\n", "token-7f\r\n", "\ttoken-7f", "tok\x1ben-7f", "tok\x7fen-7f"],
)
@pytest.mark.parametrize("name", ["default_headers", "extra_headers"])
def test_a_header_value_that_cannot_be_sent_is_refused_unseen(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}`.*'X-Token'.*strip") as caught:
        check_headers(name, {"X-Token": value})

    assert "en-7f" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "Bearer x==", "~!@#"])
def test_a_legal_header_value_is_sent_as_it_is(value: str) -> None:
    assert check_headers("default_headers", {"X-Token": value}) == (("X-Token", value),)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:hidden-1@gateway.example/v1?api_key=hidden-2",
        "https://gateway.example/v1/chat/completions?api_key=hidden-1#hidden-2",
        "https://user:hidden-1@gateway.example/v1?api_key=hidden-2",
        "//user:hidden-1@?hidden-2",
        "https://gateway.example:none/v1;hidden-1?hidden-2@x",
    ],
)
def test_no_user_or_query_of_a_base_url_is_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        check_base_url(url)

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("field", ["request_id", "response_id", "model", "served_model", "error_code"])
def test_no_control_character_reaches_the_line_of_a_call(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="texapi")
    record = CallRecord(call_id="c", started_at=datetime.now(UTC), streamed=False, outcome="ok", total_ms=1.0)

    unsafe: dict[str, Any] = {field: _UNSAFE}
    log_call(replace(record, **unsafe))

    (line,) = caplog.records
    assert not set(_FORBIDDEN) & set(line.getMessage())
    assert not set(_FORBIDDEN) & set(str(getattr(line, f"texapi_{field}")))


def test_printable_text_stays_as_it_is() -> None:
    for text in ("Xin chào, số dư", "余额不足", "👩‍💻 ok", "a b"):
        assert printable(text) == text
    assert printable("a\u00a0b\tc") == "a b c"


def test_no_control_character_reaches_the_terminal_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"started_at": datetime.now(UTC), "model": _UNSAFE, "request_id": _UNSAFE, "error_code": _UNSAFE}

    print_calls([defaultdict(lambda: None, row)], "table", "so far")

    assert "forged" in (shown := capsys.readouterr().out)
    assert not (set(_FORBIDDEN) - {"\n"}) & set(shown)
