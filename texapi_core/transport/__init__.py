"""All I/O: clients of the openai SDK, their connections and event loops, sending, reading."""

__all__: tuple[str, ...] = ()
