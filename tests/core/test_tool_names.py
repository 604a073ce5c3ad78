"""The calls of an answer have the tools' own names, however a stream splits the names that were sent."""

from __future__ import annotations

import pytest

from texapi_core.wire.tool_calls import ToolCallDelta
from texapi_core.wire.tool_names import ToolNames
from texapi_core.wire.values import ChatDelta, OwnNames

OWN_NAMES = {"ns_ping": "ns.ping"}


def own(*pieces: tuple[int, str | None, str]) -> list[tuple[int, str | None, str]]:
    """The pieces of calls (index, name, arguments) as they are handed on; each is one chunk."""
    names = ToolNames(OwnNames(OWN_NAMES))
    deltas = [ChatDelta(tool_calls=(ToolCallDelta(index, "id", name, text),)) for index, name, text in pieces]
    handed = [delta for each in deltas for delta in names.own_in_deltas([each])] + list(names.own_at_end([]))
    calls = [call for delta in handed for call in delta.tool_calls]
    return [(call.index, call.name, call.arguments) for call in calls if call.name or call.arguments]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(0, "ns_ping", ""), (0, None, "{}")], [(0, "ns.ping", ""), (0, None, "{}")]),
        ([(0, "ns_", ""), (0, "ping", ""), (0, None, "{}")], [(0, "ns.ping", ""), (0, None, "{}")]),
        ([(0, "ns_", ""), (0, None, "{}")], [(0, "ns_", "{}")]),
        ([(0, "ns_", "")], [(0, "ns_", "")]),
        ([(0, "f", ""), (1, "ns_ping", "{}")], [(0, "f", ""), (1, "ns.ping", "{}")]),
    ],
    ids=["whole", "split", "another name with the same start", "cut", "beside another"],
)
def test_own_names_in_a_stream(
    pieces: list[tuple[int, str | None, str]], expected: list[tuple[int, str | None, str]]
) -> None:
    assert own(*pieces) == expected
