"""What all tests share: how hard hypothesis looks, and which dtnode is under test.

Fixtures of one package live with that package's tests.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

import dtnode

# No deadline: two workers and coverage share a small machine. The fast profile always draws the
# same examples, so that a run that fails here fails everywhere; the deep one looks for new ones.
settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True)
settings.register_profile(
    "deep", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("deep" if os.environ.get("DTNODE_FUZZ") == "deep" else "fast")


def pytest_report_header() -> str:
    return f"dtnode under test: {Path(dtnode.__path__[0])}"
