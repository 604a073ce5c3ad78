"""The strict check of a chat request."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.check_cache_marks import check_cache_marks
from tests.gateway.check_content import check_media
from tests.gateway.check_messages import check_messages
from tests.gateway.check_names import check_name
from tests.gateway.check_schemas import check_schemas
from tests.gateway.check_tools import check_kinds, check_tool_choice, check_tools
from tests.gateway.refusal import invalid, unknown_model

_FORMATS = ("text", "json_object", "json_schema")


def parse_body(raw: bytes) -> Any:
    """Return the JSON of a request body, or nothing when it is not JSON."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def check_request(body: Any, models: tuple[str, ...], *, any_schema: bool = False) -> dict[str, Any]:
    """The body of a chat request that the strictest provider takes; ``any_schema`` takes any schema."""
    if not isinstance(body, dict):
        raise invalid(None, "The body of the request must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model", "You must provide a model.")
    if model not in models:
        raise unknown_model(model)
    check_messages(body.get("messages"))
    names = check_tools(body)
    check_tool_choice(body, names)
    check_kinds(body)
    _check_settings(body)
    _check_format(body)
    if not any_schema:
        check_schemas(body)
    check_media(body["messages"])
    check_cache_marks(body)
    return body


def _check_settings(body: dict[str, Any]) -> None:
    if not isinstance(body.get("stream", False), bool | None):
        raise invalid("stream", "'stream' must be true or false.")
    if body.get("stream_options") is not None:
        if not body.get("stream"):
            raise invalid("stream_options", "'stream_options' needs 'stream' to be true.")
        if not isinstance(body["stream_options"], dict):
            raise invalid("stream_options", "'stream_options' must be an object.")
    limits = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    if len(limits) == 2:
        raise invalid("max_tokens", "Give 'max_tokens' or 'max_completion_tokens', not both.")
    for name in ("max_tokens", "max_completion_tokens", "n"):
        _check_number(body, name, lowest=1, whole=True)
    _check_number(body, "temperature", lowest=0, highest=2)
    _check_number(body, "top_p", lowest=0, highest=1)
    _check_number(body, "top_logprobs", lowest=0, highest=20, whole=True)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise invalid("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is not None and not _is_list_of_texts(stops):
        raise invalid("stop", "'stop' must be a string or a list of strings.")


def _check_number(
    body: dict[str, Any],
    name: str,
    *,
    lowest: float,
    highest: float | None = None,
    whole: bool = False,
) -> None:
    value = body.get(name)
    if value is None:
        return
    is_number = isinstance(value, int) or (isinstance(value, float) and not whole)
    if isinstance(value, bool) or not is_number:
        raise invalid(name, f"'{name}' must be {'an integer' if whole else 'a number'}.")
    if value < lowest or (highest is not None and value > highest):
        limit = f"between {lowest} and {highest}" if highest is not None else f"{lowest} or more"
        raise invalid(name, f"'{name}' must be {limit}, but is {value}.")


def _check_format(body: dict[str, Any]) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in _FORMATS:
        raise invalid("response_format.type", f"'type' must be one of {', '.join(_FORMATS)}.")
    if kind != "json_schema":
        return
    declared = wanted.get("json_schema")
    if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
        raise invalid("response_format.json_schema.name", "A JSON schema needs a name.")
    check_name(declared["name"], "response_format.json_schema.name")
    if not isinstance(declared.get("schema", {}), dict):
        raise invalid("response_format.json_schema.schema", "The schema must be an object.")


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
