"""Temporary."""
def describe(frame, info): return frame[:2].hex()
