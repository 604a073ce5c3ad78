"""A stand-in for TexAPI, a gateway that speaks the protocol of OpenAI.

It is a real server on this computer that answers from the request alone, always in the same way::

    with Gateway() as gateway:
        client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key)
"""

from tests.gateway.fault import Fault
from tests.gateway.journal import LedgerEntry, ReceivedRequest
from tests.gateway.request import Call
from tests.gateway.server import KEY, Gateway

__all__ = ["KEY", "Call", "Fault", "Gateway", "LedgerEntry", "ReceivedRequest"]
