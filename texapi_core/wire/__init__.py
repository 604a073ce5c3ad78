"""The protocol: bytes and JSON of the gateway as typed values. No I/O, no SDK, no settings."""

__all__: tuple[str, ...] = ()
