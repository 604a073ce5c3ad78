"""Rate limits that all calls of a process share, or with Redis those of many processes and machines."""

__all__: list[str] = []
