"""All network I/O: openai clients, connection pools, event loops, sending and reading."""

__all__: tuple[str, ...] = ()
