"""The client-side cost of a call: `make bench`."""
