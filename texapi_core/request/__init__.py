"""Request payloads, and the message history in them."""

__all__: tuple[str, ...] = ()
