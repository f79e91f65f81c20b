"""Packages that tests/run installs beside what the tests run in: other releases, and trainers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "overlay"]

ROOT = Path(__file__).parent.parent


def overlay(*names: str) -> str:
    """Return the PYTHONPATH of a process that is to have these packages.

    Where they are not installed, the test is skipped, with the reason; in CI it fails.
    """
    places = [Path(sys.prefix, name) for name in names]
    for place in places:
        if not place.exists():
            reason = f"bash tests/run installs what this needs into {place.name}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return os.pathsep.join(map(str, [*places, ROOT]))
