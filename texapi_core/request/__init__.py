"""What goes out: the payload, the history in it, and what is tried when a model refuses it."""

__all__: tuple[str, ...] = ()
