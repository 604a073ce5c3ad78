"""A stream that nobody reads on, wherever it is dropped."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.conftest import Endpoint
from texapi_core.chat import stream
from texapi_core.settings import Settings

PAYLOAD = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def own_collection() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("own_collection")
def test_the_garbage_collector_may_close_a_stream_in_the_middle_of_another_call(endpoint: Endpoint) -> None:
    """It holds no lock of the connection pool then: this waited for ever."""
    settings = Settings(api_key=endpoint.api_key, base_url=endpoint.base_url)
    for objects in range(20, 400, 3):  # the collector runs at another place of the next call each time
        gc.set_threshold(objects, 1000, 1000)
        answer = stream(settings, PAYLOAD)
        next(answer)
        cycle: list[object] = [answer]
        cycle.append(cycle)
        del answer, cycle
