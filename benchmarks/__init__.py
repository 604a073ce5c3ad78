"""What a call costs on this side of the wire: `make bench`."""
