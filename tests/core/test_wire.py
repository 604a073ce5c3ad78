"""A whole answer becomes a reply, or an error that says what was received instead."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from texapi_core.wire.generated import CONTENT_PARTS, read_images
from texapi_core.wire.json import parse_json_object
from texapi_core.wire.reply import parse_reply
from texapi_core.wire.text import excerpt
from texapi_core.wire.values import ChatReply, ErrorAnswer, MalformedAnswer


def answer(message: Any = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [choice],
        **members,
    }


def parse(body: dict[str, Any]) -> ChatReply:
    return parse_reply(body, request_id="req_1", headers={"x-request-id": "req_1"})


def test_a_reply_can_be_converted_to_plain_dicts() -> None:
    reply = parse(answer({"content": "ok", "reasoning_content": "why"}))

    (choice,) = dataclasses.asdict(reply)["choices"]

    assert choice["reasoning"] == {
        "text": "why",
        "field": "reasoning_content",
        "details": (),
        "details_field": None,
    }


def test_every_field() -> None:
    reply = parse(
        answer({"role": "assistant", "content": "ok"}, service_tier="default", system_fingerprint=None)
    )

    assert (reply.id, reply.model, reply.created, reply.request_id) == ("c1", "m", 7, "req_1")
    assert (reply.choice.text, reply.choice.finish_reason) == ("ok", "stop")
    assert reply.extras == {"service_tier": "default"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("ok", "ok"),
        (None, ""),
        ([{"type": "text", "text": "o"}, {"type": "text", "text": "k"}], "ok"),
        (["o", "k"], "ok"),
        ({"type": "text", "text": "ok"}, "ok"),
        ([], ""),
        (7, "7"),
    ],
)
def test_content_in_any_form(content: Any, text: str) -> None:
    assert parse(answer({"role": "assistant", "content": content})).choice.text == text


def test_parts_that_are_not_text_are_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

    assert parse(answer({"content": [image]})).choice.extras == {"content_parts": [image]}


@pytest.mark.parametrize("missing", ["id", "object", "created", "model"])
def test_every_envelope_field_is_optional(missing: str) -> None:
    body = answer({"content": "ok"})
    del body[missing]

    assert parse(body).choice.text == "ok"


@pytest.mark.parametrize("choices", [[], None, "none", [None], [{"index": 0}]])
def test_no_choice_is_an_error(choices: Any) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 0}
    with pytest.raises(MalformedAnswer, match="without choices") as caught:
        parse({"id": "c1", "choices": choices, "usage": usage})

    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == 3


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no"}},
        {"error": "no"},
        {"object": "error", "message": "no"},
        {"type": "error", "message": "no"},
        {"choices": [{"error": {"message": "no"}}]},
        {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]},
    ],
)
def test_an_error_object_is_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(ErrorAnswer):
        parse(body)


def test_several_choices_come_in_the_order_of_their_index() -> None:
    choices = [{"index": index, "message": {"content": str(index)}} for index in (1, 0)]

    reply = parse({"choices": choices})

    assert [choice.text for choice in reply.choices] == ["0", "1"]


def test_unknown_members_are_kept_where_they_were() -> None:
    reply = parse(answer({"content": "ok", "annotations": [1], "empty": None}, provider="p"))

    assert reply.choice.extras == {"annotations": [1]}
    assert reply.extras == {"provider": "p"}


def test_usage_of_the_raw_answer_holds_ints_only() -> None:
    usage = {
        "prompt_tokens": 3.0,
        "completion_tokens": None,
        "total_tokens": 5,
        "prompt_tokens_details": None,
    }

    assert parse(answer({"content": "ok"}, usage=usage)).raw["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_no_usage_is_none_and_not_in_the_raw_answer(usage: Any) -> None:
    reply = parse(answer({"content": "ok"}, usage=usage))

    assert reply.usage is None
    assert "usage" not in reply.raw


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "an empty body"),
        (b"<html></html>", "an HTML page"),
        (b"busy", "text that is no JSON"),
        (b'{"id": ', "broken JSON"),
        (b"[1]", "JSON that is no object"),
        (b"\xff\xfe\x00", "text that is no JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, "nested too deeply"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_described_in_the_error(text: bytes, reason: str) -> None:
    with pytest.raises(MalformedAnswer, match=reason):
        parse_json_object(text)


def test_an_excerpt_is_short_and_on_one_line() -> None:
    assert excerpt("a\n b" + "x" * 500) == "a b" + "x" * 196 + "…"
    assert excerpt(json.dumps("Hà Nội", ensure_ascii=False).encode()) == '"Hà Nội"'


def test_log_probabilities_of_any_form_are_tolerated() -> None:
    choice = {
        "index": 0,
        "message": {"content": "ok"},
        "logprobs": {"content": [None, {"token": "a"}], "mean": 0.5},
    }

    assert parse({"choices": [choice]}).choice.logprobs == {"content": [{"token": "a"}]}


@pytest.mark.parametrize(
    ("part", "url"),
    [
        ({"type": "redacted_thinking", "data": "EmwKAhgBIkD="}, None),
        ({"type": "reasoning.encrypted", "data": "iVBORw0K"}, None),
        ({"type": "x", "data": "iVBORw0KGgo="}, "data:image/png;base64,iVBORw0KGgo="),
        ({"type": "image", "data": "EmwK"}, "data:image/png;base64,EmwK"),
        ({"inlineData": {"mimeType": "image/webp", "data": "EmwK"}}, "data:image/webp;base64,EmwK"),
        ({"inline_data": {"mime_type": "application/pdf", "data": "JVBERi0="}}, None),
    ],
)
def test_only_an_image_of_an_answer_is_an_image(part: dict[str, Any], url: str | None) -> None:
    assert read_images({CONTENT_PARTS: [part]}) == ([url] if url else [])
