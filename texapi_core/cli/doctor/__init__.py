"""`texapi doctor`: what is examined, and what is said about it in English and Vietnamese."""

__all__: tuple[str, ...] = ()
