"""Strict checks of schemas and media, which only `Gateway(strict=True)` makes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from tests.gateway.refusal import invalid

_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)


def check_schemas(body: dict[str, Any]) -> None:
    """Check that the parameters of tools are schemas of objects with properties."""
    for index, tool in enumerate(body.get("tools") or ()):
        function = tool["function"]
        if "parameters" in function:
            problem = next(_problems(function["parameters"]), None)
            if problem:
                raise invalid(
                    f"tools[{index}].function.parameters",
                    f"Invalid schema for function '{function['name']}': {problem}",
                )


def _problems(schema: Any, context: tuple[str, ...] = (), *, is_root: bool = True) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    where = f"In context={context}, "
    if is_root and schema.get("type") != "object":
        yield f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if schema.get("type") == "object" and "properties" not in schema and "additionalProperties" not in schema:
        yield f"{where}object schema missing properties."
    if schema.get("type") == "array" and not ("items" in schema or "prefixItems" in schema):
        yield f"{where}array schema missing items."
    if "$schema" in schema:
        yield f'{where}Unknown name "$schema": Cannot find field.'
    for name, inner in (schema.get("properties") or {}).items():
        yield from _problems(inner, (*context, "properties", name), is_root=False)
    yield from _problems(schema.get("items"), (*context, "items"), is_root=False)
    for name, inner in (schema.get("$defs") or {}).items():
        yield from _problems(inner, (*context, "$defs", name), is_root=False)


def check_media(messages: list[dict[str, Any]]) -> None:
    """Check that images are of the type that they are declared as, by their first bytes."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") == "image_url":
                _check_image(part["image_url"]["url"], f"messages.{index}.content.{at}.image.source.base64")


def _check_image(url: str, path: str) -> None:
    matched = _DATA_URL.fullmatch(url)
    if not matched:
        return
    declared, data = matched.groups()
    try:
        start = base64.b64decode(data[:64] + "=" * (-len(data[:64]) % 4))
    except binascii.Error:
        raise invalid(path, f"{path}: invalid base64 data") from None
    actual = next((kind for kind, signature in _SIGNATURES.items() if signature.match(start)), declared)
    if actual != declared:
        raise invalid(
            path,
            f"{path}: The image was specified using the {declared} media type, but the image appears to be "
            f"a {actual} image",
        )
