"""Any part and any data URL is read without an error, and what is legal stays."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.check_content import check_media
from tests.properties.strategies import examples, json_values, texts
from tests.test_outgoing_content import FILES, IMAGES, SOUNDS
from texapi_core.request.media import legal_data_url, legal_part

CONTENTS = [*IMAGES.values(), *SOUNDS.values(), *(file[0] for file in FILES.values())]
MIME_TYPES = st.sampled_from(["image/png", "IMAGE/JPG", "audio/mpeg", "application/pdf", "text/csv", "", "x"])
PARAMETERS = st.lists(st.sampled_from(["charset=utf-8", "name=a"]), max_size=2).map(
    lambda found: "".join(f";{each}" for each in found)
)
content: Any = st.sampled_from(CONTENTS) | st.binary(min_size=1, max_size=60)
encode: Any = st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])


@st.composite
def data_urls(draw: st.DrawFn) -> str:
    text = draw(encode)(draw(content)).decode()
    padded = text.rstrip("=") if draw(st.booleans()) else text
    return f"data:{draw(MIME_TYPES)}{draw(PARAMETERS)};base64,{padded}"


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Any]:
    url = draw(data_urls())
    return draw(
        st.sampled_from(
            [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "file", "file": {"file_data": url}},
                {"type": "file", "file": {"filename": "a", "file_data": url}},
                {"type": "input_audio", "input_audio": {"data": url.partition(",")[2], "format": "wav"}},
            ]
        )
    )


@examples
@given(st.lists(parts(), min_size=1, max_size=3))
def test_media_of_any_label_are_sent_under_their_own(given_parts: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(given_parts)

    legal = list(map(legal_part, given_parts))

    images = [part for part in legal if part["type"] == "image_url"]
    others = [part for part in legal if part["type"] != "image_url"]
    known = [part for part in images if part["image_url"]["url"].startswith("data:image/")]
    check_media([{"content": [*known, *others]}])
    assert given_parts == before
    assert list(map(legal_part, legal)) == legal


@examples
@given(st.tuples(texts, texts).map(lambda found: f"data:{found[0]},{found[1]}"))
def test_any_data_url_is_read_or_refused(url: str) -> None:
    legal = read_or_refused(partial(legal_data_url, url))

    assert legal is None or legal_data_url(legal) == legal


@examples
@given(
    st.dictionaries(
        st.sampled_from(["image_url", "video_url", "file", "input_audio"]),
        json_values
        | st.fixed_dictionaries({"file_data": json_values, "url": json_values, "data": json_values}),
        min_size=1,
    )
)
def test_any_part_is_read_or_refused(members: dict[str, Any]) -> None:
    for name in members:
        part = {"type": name, **members}
        before = json.dumps(part)

        read_or_refused(partial(legal_part, part))

        assert json.dumps(part) == before


def read_or_refused(read: Callable[[], Any]) -> Any:
    """What is read, or nothing if that is refused as what no provider can read."""
    try:
        return read()
    except ValueError as error:
        if not str(error).startswith("Unsupported content block"):
            raise
        return None
