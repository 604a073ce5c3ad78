"""A long run of mixed calls against the stand-in gateway, checked against its ledger: `make soak`."""
