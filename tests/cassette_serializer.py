"""A readable cassette format: bodies as parsed JSON and events, with URLs and keys rewritten.

`serialize` and `deserialize` are vcrpy's interface for a serializer.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any
from urllib.parse import urlsplit

import yaml
from vcr import VCR
from vcr.request import Request

from texapi_core.settings_checks import DEFAULT_BASE_URL

_PUBLIC = urlsplit(DEFAULT_BASE_URL)
_KEPT_REQUEST_HEADERS = frozenset({"authorization", "content-type"})
_KEPT_RESPONSE_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "x-request-id",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    }
)
_ILLEGAL_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9_.\-\[\]]+")
_MAX_MODELS = 5
"""The number of rows kept of a model list: live lists are long."""

VCR_OPTIONS: dict[str, Any] = {
    "filter_headers": [("authorization", "Bearer sk-tex-REDACTED")],
    "match_on": ["method", "path", "query", "body"],
    "decode_compressed_response": True,
}
"""vcrpy settings: what to leave out of a recording, and how to match requests."""


def configure(vcr: VCR) -> None:
    """Make a recorder use this format."""
    vcr.register_serializer("readable", sys.modules[__name__])
    vcr.serializer = "readable"
    vcr.before_record_request = scrub_request
    vcr.before_record_response = scrub_response


def file_name(test_name: str) -> str:
    """The file name of a test's cassette, without suffix."""
    return _ILLEGAL_IN_FILE_NAMES.sub("-", test_name)


def scrub_request(request: Request) -> Request:
    """The request as sent to TexAPI's public URL, without headers that depend on the client's machine."""
    parts = urlsplit(request.uri)
    request.uri = parts._replace(scheme=_PUBLIC.scheme, netloc=_PUBLIC.netloc).geturl()
    kept = {name: value for name, value in request.headers.items() if name.lower() in _KEPT_REQUEST_HEADERS}
    request.headers = kept
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """The response with only the relevant headers."""
    headers = {
        name.lower(): value
        for name, value in response["headers"].items()
        if name.lower() in _KEPT_RESPONSE_HEADERS
    }
    return {**response, "headers": headers, "body": {"string": _short_model_list(response["body"]["string"])}}


def serialize(cassette: dict[str, Any]) -> str:
    """A cassette as YAML."""
    readable = {
        "version": cassette["version"],
        "interactions": [
            {"request": _readable_request(one["request"]), "response": _readable_response(one["response"])}
            for one in cassette["interactions"]
        ],
    }
    return yaml.safe_dump(readable, allow_unicode=True, sort_keys=False, width=110)


def read(text: str) -> Any:
    """Load YAML, with libyaml where it is available: the pure Python loader is ten times slower."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def deserialize(text: str) -> dict[str, Any]:
    """Load a cassette in the form that vcrpy expects."""
    cassette: dict[str, Any] = read(text)
    for one in cassette["interactions"]:
        request, response = one["request"], one["response"]
        body = request.pop("json", None)
        request["body"] = json.dumps(body) if body is not None else request.get("body", "")
        response["body"] = {"string": _wire_body(response)}
    return cassette


def _readable_request(request: dict[str, Any]) -> dict[str, Any]:
    body = _text(request["body"])
    readable = {"method": request["method"], "uri": request["uri"], "headers": request["headers"]}
    try:
        return {**readable, "json": json.loads(body)} if body else readable
    except ValueError:
        return {**readable, "body": body}


def _readable_response(response: dict[str, Any]) -> dict[str, Any]:
    body = _text(response["body"]["string"])
    readable = {"status": response["status"], "headers": response["headers"]}
    if (events := _parse_events(body)) is not None:
        return {**readable, "events": events}
    try:
        return {**readable, "json": json.loads(body)}
    except ValueError:
        return {**readable, "text": body}


def _parse_events(body: str) -> list[Any] | None:
    """The data of a stream of events, `None` when the body is anything else."""
    if not body.startswith("data:"):
        return None
    events = []
    for event in body.strip().split("\n\n"):
        if not event.startswith("data: ") or "\n" in event:
            return None
        data = event.removeprefix("data: ")
        try:
            events.append(data if data == "[DONE]" else json.loads(data))
        except ValueError:
            return None
    return events


def _wire_body(response: dict[str, Any]) -> bytes:
    if "events" in response:
        texts = [e if isinstance(e, str) else _dumps(e) for e in response.pop("events")]
        return "".join(f"data: {text}\n\n" for text in texts).encode()
    if "json" in response:
        return _dumps(response.pop("json")).encode()
    return str(response.pop("text")).encode()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(body: str | bytes | None) -> str:
    return body.decode() if isinstance(body, bytes) else body or ""


def _short_model_list(body: bytes) -> bytes:
    try:
        parsed = json.loads(body)
    except ValueError:
        return body
    if isinstance(parsed, dict) and parsed.get("object") == "list":
        return json.dumps({**parsed, "data": parsed["data"][:_MAX_MODELS]}).encode()
    return body
