"""Secrets are found behind any escapes, in several layers, and nothing else of a text is taken out."""

from __future__ import annotations

import html
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import examples
from texapi_core.failures.secrets import Secrets
from texapi_core.wire.escapes import unescaped, unescaped_with_places

_ONE_CHARACTER: list[Callable[[str], str]] = [
    lambda one: f"%{ord(one):02x}",
    lambda one: f"&#{ord(one)};",
    lambda one: f"&#x{ord(one):04X};",
    lambda one: f"\\u{ord(one):04x}",
    lambda one: f"\\x{ord(one):02X}",
    lambda one: f"\\U{ord(one):08x}",
    lambda one: f"\\u{{{ord(one):x}}}",
    lambda one: f"\\{ord(one):03o}",
]
_WHOLE_TEXTS: list[Callable[[str], str]] = [
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text).replace("/", "\\/")[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: html.escape(text),
    lambda text: urllib.parse.quote(text, safe=""),
]
_SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%&\\"), min_size=16, max_size=60
)
"""A secret with marks of escapes in it may mean something else after each layer."""
_PLAIN = st.text("abc đ余 .,;:-<>/", max_size=40)


@st.composite
def _escaped(draw: st.DrawFn, text: str) -> str:
    """A text with some characters escaped, then escaped as a whole in up to three layers."""
    for escape in draw(st.lists(st.sampled_from([None, *_WHOLE_TEXTS]), max_size=3)):
        if escape is not None:
            text = escape(text)
        elif draw(st.booleans()):
            write = draw(st.sampled_from(_ONE_CHARACTER))
            chosen = draw(st.sets(st.sampled_from(text))) | {"%", "&", "\\"}
            text = "".join(write(one) if one in chosen else one for one in text)
    return text


@examples
@given(st.data(), _SECRETS, _PLAIN, _PLAIN)
def test_no_piece_of_a_secret_is_left_behind_escapes(
    data: st.DataObject, secret: str, before: str, after: str
) -> None:
    text = f"{before} {data.draw(_escaped(secret))} {after}"
    secrets = Secrets([secret])

    redacted = secrets.redact(text)

    assert secrets.are_in(text)
    assert not secrets.are_in(redacted)
    for seen in (redacted, unescaped(redacted)):
        assert not any(secret[at : at + 12] in seen for at in range(len(secret) - 11))


@pytest.mark.parametrize("write", _ONE_CHARACTER)
def test_a_secret_written_in_one_kind_of_escape(write: Callable[[str], str]) -> None:
    secrets = Secrets(["planted-key-0123456789"])

    assert secrets.redact("key " + "".join(map(write, "planted-key-0123456789"))) == "key ***"


@examples
@given(st.data(), _PLAIN)
def test_a_text_without_secrets_stays_as_it_is(data: st.DataObject, text: str) -> None:
    written = data.draw(_escaped(text)) if text else text

    assert Secrets(["sk-tex-Zq8vXw2pLk9mNb4cTr7y"]).redact(written) == written


@examples
@given(st.text("%25&amp;#x4\\u{}01aFn<đ", max_size=60))
def test_each_character_has_its_place(text: str) -> None:
    without, starts, ends = unescaped_with_places(text)

    assert without == unescaped(text)
    assert len(without) == len(starts) == len(ends)
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(start < end <= len(text) for start, end in zip(starts, ends, strict=True))


def test_only_the_escaped_secret_is_taken_out() -> None:
    secrets = Secrets(["sk-tex-0123456789abcdef"])

    for text in (
        "key sk%2Dtex%2d0123456789abcdef is wrong",
        "key sk&#45;tex&#x2d;0123456789abcdef is wrong",
        "key sk&amp;#45;tex%252D0123456789abcdef is wrong",
        "key sk\\u002dtex\\\\u002d0123456789abcdef is wrong",
        "key \\x73\\x6b-tex-0123456789abcdef is wrong",
    ):
        assert secrets.redact(text) == "key *** is wrong"
    assert secrets.redact("100 % of &lt;b&gt; and C:\\new") == "100 % of &lt;b&gt; and C:\\new"
