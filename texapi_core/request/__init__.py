"""Request payloads: parameters, message history and the second attempt of a refused forced tool."""

__all__: tuple[str, ...] = ()
