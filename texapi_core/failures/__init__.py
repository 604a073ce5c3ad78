"""Errors: what the gateway and the network say, put into a class of `texapi_core.errors`, without secrets."""

__all__: tuple[str, ...] = ()
