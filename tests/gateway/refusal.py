"""Error responses of the gateway."""

from __future__ import annotations

import json


class Refusal(Exception):
    """A refused request, with the error that is returned for it."""

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.code = code
        self.param = param

    @property
    def body(self) -> bytes:
        """The JSON body of the response."""
        error = {
            "type": self.error_type,
            "code": self.code or self.error_type,
            "message": self.message,
            "param": self.param,
        }
        return json.dumps({"error": error}, ensure_ascii=False).encode()


def invalid(param: str | None, message: str) -> Refusal:
    """Return the refusal of a request that breaks the protocol at ``param``."""
    return Refusal(400, "invalid_request_error", message, param=param)


def unauthorized() -> Refusal:
    """Return the refusal of a request without an accepted key."""
    return Refusal(401, "invalid_api_key", "Incorrect API key provided.")


def unknown_model(model: str) -> Refusal:
    """Return the refusal of a request for a model that is not offered."""
    message = f"The model '{model}' does not exist."
    return Refusal(404, "model_not_found", message, param="model")


def unknown_path(method: str, path: str) -> Refusal:
    """Return the refusal of a request for an unknown path."""
    return Refusal(404, "not_found", f"There is nothing at {method} {path}.")
