"""Every row of the fault table x both frameworks x sync and async x whole and streamed.

`make test` runs each row with one call style, `make combinations` with all others.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.exceptions import ModelError

from tests.conftest import Endpoint
from tests.faults.case import Case, Seen
from tests.faults.table import TABLE, concerns
from tests.faults.verbatim import Verbatim, VerbatimServer
from tests.faults.ways import WAYS, Way, one_loop, some_ways
from tests.gateway import Gateway
from texapi_core import FALLBACK_ERRORS, TexAPIError, TexAPIStreamInterruptedError

_TIMEOUT = 1.0
_NO_LIMITS = {"timeout": 60.0, "stream_idle_timeout": 60.0}
"""The timeout of rows that no time limit should end, however busy the machine."""
_MAX_SECONDS = 25.0
"""The maximum duration of any case, in seconds: nothing may hang past its limit."""


@pytest.fixture(scope="module")
def verbatim_server() -> Iterator[VerbatimServer]:
    with VerbatimServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _one_loop() -> Iterator[None]:
    with one_loop():
        yield


def _way_of(number: int, ways: list[Way]) -> Way:
    """The call style of a row in `make test`: twelve consecutive rows cover every one, where they have it."""
    return some_ways(number, ways)[number // 2 % 2]


def _matrix() -> list[Any]:
    """Each row with each call style it applies to; those that `make test` leaves out are marked."""
    matrix = []
    for number, (name, case) in enumerate(TABLE.items()):
        ways = [way for way in WAYS if concerns(case, way)]
        chosen = _way_of(number, ways)
        for way in ways:
            marks = () if way == chosen else pytest.mark.combination
            matrix.append(pytest.param(name, way, marks=marks, id=f"{name}-{way.name}"))
    return matrix


@pytest.mark.parametrize(("name", "way"), _matrix())
def test_fault(
    gateway: Gateway, endpoint: Endpoint, verbatim_server: VerbatimServer, name: str, way: Way
) -> None:
    case = TABLE[name]
    is_verbatim = isinstance(case.fault, Verbatim)
    if isinstance(case.fault, Verbatim):
        verbatim_server.respond(case.fault)
    else:
        gateway.misbehave(case.fault, times=case.max_retries + 2)
    server = verbatim_server if is_verbatim else gateway
    limits = {"timeout": _TIMEOUT} if case.needs_limits else _NO_LIMITS
    where = {"base_url": server.base_url, "api_key": server.key, "max_retries": case.max_retries, **limits}
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


def test_every_row_runs_in_both_frameworks_and_over_the_default_transport() -> None:
    """`make test` runs many rows in each call style, and half of them in each framework."""
    asked: Counter[str] = Counter()
    for number, case in enumerate(TABLE.values()):
        ways = [way for way in WAYS if concerns(case, way)]
        assert {way.framework for way in ways if "aiohttp" not in way.name} == {"langchain", "llama_index"}
        asked[_way_of(number, ways).name] += 1
    assert all(asked[way.name] > len(TABLE) / 20 for way in WAYS)
    assert abs(sum(asked[way.name] for way in WAYS if way.framework == "langchain") / len(TABLE) - 0.5) < 0.02


def _fails(case: Case, way: Way, where: dict[str, object], error_class: type[TexAPIError]) -> None:
    begun = bool(case.partial) and issubclass(error_class, FALLBACK_ERRORS)
    raised: type[TexAPIError] = TexAPIStreamInterruptedError if begun else error_class
    with pytest.raises(raised) as caught:
        way(**where)

    error = caught.value
    if begun:
        assert isinstance(error.__cause__, error_class)
    assert isinstance(error, openai.OpenAIError)
    assert isinstance(error, ModelError) == (way.framework == "langchain")
    assert error.advice in str(error)
    assert re.search(case.says, str(error)), str(error)
    assert error.partial_text == case.partial
    if isinstance(error, openai.APIStatusError):
        assert isinstance(error.response.text, str)
    if not isinstance(case.fault, Verbatim) and case.fault.delay == 0:
        assert error.request_id == f"req_{case.requests:06d}"
