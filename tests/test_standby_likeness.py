"""A worker that waited is as one that was started for the run, item by item."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
OF_MODULES = {"loggers", "status"}
"""What differs where the cell imports nothing: torch's own loggers and numpy's idle thread."""


def told(*options: str) -> dict[str, Any]:
    """Return what both kinds of workers find, in a process of its own."""
    environ = {**os.environ, "DDP_MAGIC_STANDBY": "1", "DDP_MAGIC_STANDBY_LIMIT": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.likeness", *options],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.workers
def test_cold_and_warm_cannot_be_told_apart():
    """As an ordinary user: root hides what such a one cannot take back."""
    found = told("torch", "nothing", "--ordinary")

    assert int(found["powers"], 16) == 0
    assert (found["torch warm why"], found["nothing warm why"]) == ("", "")
    for way in ("cold", "warm"):
        found[f"torch {way}"]["loggers"] = _apart_from_lazy(found[f"torch {way}"]["loggers"])
    assert found["torch cold"] == found["torch warm"]
    cold, warm = found["nothing cold"], found["nothing warm"]
    assert {n: v for n, v in cold.items() if n not in OF_MODULES} == {
        n: v for n, v in warm.items() if n not in OF_MODULES
    }
    assert _apart_from_threads(cold) == _apart_from_threads(warm)


def _apart_from_threads(found: dict[str, Any]) -> list[str]:
    return [line for line in found["status"] if not line.startswith("Threads:")]


def _apart_from_lazy(loggers: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an optimizer would import: waiting workers have that in sys.modules too."""
    return {n: v for n, v in loggers.items() if not n.startswith(("torch._", "torch.fx"))}
