"""A stand-in for TexAPI, a gateway that speaks the protocol of OpenAI.

It is a real local server with deterministic answers that depend only on the request::

    with Gateway() as gateway:
        client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key)
"""

from tests.gateway.fault import Fault
from tests.gateway.journal import LedgerEntry, ReceivedRequest
from tests.gateway.request import Call
from tests.gateway.server import KEY, Gateway

__all__ = ["KEY", "Call", "Fault", "Gateway", "LedgerEntry", "ReceivedRequest"]
