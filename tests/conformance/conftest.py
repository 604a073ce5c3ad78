"""The LLM under test, as a fixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.subject import SUBJECT
from tests.conftest import Endpoint


@pytest.fixture
def make(endpoint: Endpoint) -> Callable[..., Any]:
    """Make the LLM as its documentation says, without retries."""

    def make(**kwargs: Any) -> Any:
        return SUBJECT.llm(endpoint, **kwargs)

    return make
