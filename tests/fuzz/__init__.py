"""Fuzzing of all that reads a peer's bytes: `make fuzz`, slow. test_smoke.py is its shadow."""
