"""Turns failures of the gateway and the network into `texapi_core.errors`, with secrets redacted."""

__all__: tuple[str, ...] = ()
