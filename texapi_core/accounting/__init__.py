"""What calls took: their records, prices, budgets, the ledger, spans."""

__all__: tuple[str, ...] = ()
