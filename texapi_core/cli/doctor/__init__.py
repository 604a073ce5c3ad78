"""`texapi doctor`: the checks, and their texts in English and Vietnamese."""

__all__: tuple[str, ...] = ()
