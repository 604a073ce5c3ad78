"""Other programs that speak to the gateway, run for real against the stand-in."""
