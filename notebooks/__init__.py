"""Notebooks: executed and recorded by `make notebooks`, replayed by the tests."""
