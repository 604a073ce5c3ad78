"""Many calls at once: an iterator of inputs in, an iterator of answers out, in flat memory."""

from __future__ import annotations

from texapi_core.bulk.calls import STOP_ERRORS, Result, arun, run
from texapi_core.bulk.worker import Columns, Worker

__all__ = ["STOP_ERRORS", "Columns", "Result", "Worker", "arun", "run"]
