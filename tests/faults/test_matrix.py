"""Every row of the fault table x both frameworks x sync and async x whole and streamed.

`make test` asks each row in both frameworks, in a third of its ways; `make combinations` in the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import openai
import pytest
from langchain_core.exceptions import ModelError

from tests.conftest import Endpoint
from tests.faults.case import Case, Seen
from tests.faults.table import TABLE, concerns
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way, one_loop, some_ways
from tests.gateway import Gateway
from texapi_core import TexAPIError

_TIMEOUT = 1.0
_MAX_SECONDS = 25.0
"""Seconds that no case may take: nothing hangs past its limit."""


@pytest.fixture(scope="module")
def verbatim_server() -> Iterator[VerbatimServer]:
    with VerbatimServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _one_loop() -> Iterator[None]:
    with one_loop():
        yield


_MATRIX = [
    pytest.param(
        name, way, marks=[pytest.mark.combination] * (way not in some_ways(number)), id=f"{name}-{way.name}"
    )
    for number, (name, case) in enumerate(TABLE.items())
    for way in WAYS
    if concerns(case, way)
]


@pytest.mark.parametrize(("name", "way"), _MATRIX)
def test_a_fault(
    gateway: Gateway, endpoint: Endpoint, verbatim_server: VerbatimServer, name: str, way: Way
) -> None:
    case = TABLE[name]
    is_verbatim = isinstance(case.fault, Verbatim)
    if isinstance(case.fault, Verbatim):
        verbatim_server.respond(case.fault)
    else:
        gateway.misbehave(case.fault, times=case.max_retries + 2)
    server = verbatim_server if is_verbatim else gateway
    where = {
        "base_url": server.base_url,
        "api_key": server.key,
        "timeout": _TIMEOUT,
        "max_retries": case.max_retries,
    }
    started = time.monotonic()

    if isinstance(case.outcome, Seen):
        seen = way(**where)
        assert (seen.text, list(seen.calls), seen.tokens) == (
            case.outcome.text,
            list(case.outcome.calls),
            case.outcome.tokens,
        )
    else:
        stricter = case.over_aiohttp if way.name.endswith("aiohttp") else None
        _fails(case, way, where, stricter or case.outcome)

    assert len(server.requests) == case.requests
    assert time.monotonic() - started < _MAX_SECONDS


def test_a_third_of_the_ways_has_every_row_in_both_frameworks_and_over_the_default_transport() -> None:
    for number, case in enumerate(TABLE.values()):
        ways = [way for way in some_ways(number) if concerns(case, way)]
        assert {way.framework for way in ways} == {"langchain", "llama_index"}
        assert not all(way.name.endswith("aiohttp") for way in ways)
    assert {way.name for number in (7, 8, 9) for way in some_ways(number)} == {way.name for way in WAYS}


def _fails(case: Case, way: Way, where: dict[str, object], error_class: type[TexAPIError]) -> None:
    with pytest.raises(error_class) as caught:
        way(**where)

    error = caught.value
    assert isinstance(error, openai.OpenAIError)
    assert isinstance(error, ModelError) == (way.framework == "langchain")
    assert error.advice in str(error)
    assert re.search(case.says, str(error)), str(error)
    assert error.partial_text == case.partial
    if isinstance(error, openai.APIStatusError):
        assert isinstance(error.response.text, str)
    if not isinstance(case.fault, Verbatim) and case.fault.delay == 0:
        assert error.request_id == f"req_{case.requests:06d}"
