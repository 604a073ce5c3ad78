"""This project's classes are answered in every row of what applications hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.outgoing import run
from tests.faults.ways import chat_texapi, texapi
from tests.gateway import Gateway


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.combination)])
@pytest.mark.parametrize(("make", "number"), [(chat_texapi, 0), (texapi, 1)])
def test_every_row_is_answered(gateway: Gateway, make: Callable[..., Any], number: int, step: int) -> None:
    """`make test` asks each row in one call style, the next row in another."""
    with asyncio.Runner() as runner:
        outcomes = run(make, gateway, runner, number=number, step=step)

    assert {row: wrong for row, wrong in outcomes.items() if wrong} == {}
    assert len(outcomes) > 200 / step
