"""Puts the checkout on the path: `tests.hostile` is a package here as on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
