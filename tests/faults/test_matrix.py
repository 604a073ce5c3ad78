"""Every row of the fault table x both frameworks x sync and async x whole and streamed."""

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
from tests.faults.ways import WAYS, Way, one_loop
from tests.gateway import Gateway
from texapi_core import TexAPIError

_TIMEOUT = 1.0
_LONGEST = 25.0
"""Seconds that no case may take: nothing hangs past its limit."""


@pytest.fixture(scope="module")
def verbatim_server() -> Iterator[VerbatimServer]:
    with VerbatimServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _one_loop() -> Iterator[None]:
    with one_loop():
        yield


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name, case in TABLE.items() for way in WAYS if concerns(case, way)],
    ids=lambda value: value.name if isinstance(value, Way) else value,
)
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
    assert time.monotonic() - started < _LONGEST


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
