"""Error responses of the gateway."""

from __future__ import annotations

import json


class Refusal(Exception):
    """A refused request, with the error that is returned for it."""

    def __init__(self, status: int, error_type: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(error_type, error_type, message, param)


def error_body(error_type: str, code: str, message: str, param: str | None = None) -> bytes:
    """Return the JSON of an error response."""
    error = {"type": error_type, "code": code, "message": message, "param": param}
    return json.dumps({"error": error}, ensure_ascii=False).encode()


def invalid(param: str | None, message: str) -> Refusal:
    """Return the refusal of a request that breaks the protocol at ``param``."""
    return Refusal(400, "invalid_request_error", message, param)


def unauthorized() -> Refusal:
    return Refusal(401, "invalid_api_key", "Incorrect API key provided.")


def unknown_model(model: str) -> Refusal:
    return Refusal(404, "model_not_found", f"The model '{model}' does not exist.", "model")


def unknown_path(method: str, path: str) -> Refusal:
    return Refusal(404, "not_found", f"There is nothing at {method} {path}.")
