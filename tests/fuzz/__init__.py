"""The fuzzer of everything that reads what a gateway sends."""
