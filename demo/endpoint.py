"""The endpoint of the demo and the notebooks: TexAPI, or else the embedded stand-in."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from texapi_core.settings import BASE_URL_ENVS
from texapi_core.settings_checks import API_KEY_ENV

if TYPE_CHECKING:
    from tests.gateway import Gateway


@cache
def standin(chunk_delay: float = 0.0) -> Gateway:
    """The stand-in gateway of the tests, started in this process; `chunk_delay` is as below."""
    from tests.gateway import Gateway

    return Gateway(chunk_delay=chunk_delay).__enter__()


@cache
def use_live_or_standin(chunk_delay: float = 0.0) -> str:
    """Choose the endpoint for the rest of this process; return a sentence that describes it.

    Without `TEXAPI_API_KEY`, the stand-in gateway of the tests is started and its address and key are put
    into the environment. `chunk_delay` is its pause, in seconds, between the events of a stream.
    """
    if os.environ.get(API_KEY_ENV):
        return f"{API_KEY_ENV} is set: the answers come live from TexAPI."
    gateway = standin(chunk_delay)
    os.environ[API_KEY_ENV] = gateway.key
    os.environ[BASE_URL_ENVS[0]] = gateway.base_url
    return (
        f"{API_KEY_ENV} is not set: the answers come from a stand-in gateway embedded in this process,\n"
        "not from a language model. Set it to ask TexAPI itself."
    )
