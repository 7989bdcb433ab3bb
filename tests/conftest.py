"""What all tests share: how hard hypothesis looks, and which dtnode is under test.

Fixtures of one package live with that package's tests.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

import dtnode

# No deadline and no complaint about slow drawing: two workers and coverage share a small machine,
# and a test must not fail because of that. The fast profile always draws the same examples, so that
# a run that fails here fails everywhere; the deep one looks for new ones.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", UNTIMED, max_examples=50, derandomize=True)
settings.register_profile("deep", UNTIMED, max_examples=5000)
settings.load_profile("deep" if os.environ.get("DTNODE_FUZZ") == "deep" else "fast")


def pytest_report_header() -> str:
    return f"dtnode under test: {Path(dtnode.__path__[0])}"
