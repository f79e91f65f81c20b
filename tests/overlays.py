"""Packages that tests/run installs beside what the tests run in: other releases, and trainers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "overlay"]

ROOT = Path(__file__).parent.parent


def overlay(name: str) -> str:
    """Return the PYTHONPATH of a process that is to have these packages.

    Where they are not installed, the test is skipped, with the reason; in CI it fails.
    """
    place = Path(sys.prefix, name)
    if not place.exists():
        reason = f"bash tests/run installs {name.replace('-', ' ')} into {name}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return os.pathsep.join([str(place), str(ROOT)])
