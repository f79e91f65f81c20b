"""What a worker displays is what a plain cell would; each in a fresh process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.display_cases import CASES

ROOT = Path(__file__).parent.parent
INLINE = "module://matplotlib_inline.backend_inline"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What both places displayed."""
    env = {**os.environ, "MPLBACKEND": INLINE, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    started = {
        way: subprocess.Popen(
            [sys.executable, "-m", "tests.display_cases", way],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for way in ("plain", "rank")
    }  # fmt: skip
    found = {way: process.communicate(timeout=120) for way, process in started.items()}
    for way, process in started.items():
        assert process.returncode == 0, found[way][1][-3000:]
    return {way: json.loads(out.splitlines()[-1]) for way, (out, _) in found.items()} | {
        "errors": found["rank"][1]
    }


@pytest.mark.parametrize("name", CASES)
def test_a_worker_displays_what_a_plain_cell_does(told: dict[str, Any], name: str):
    plain, rank = told["plain"][name], told["rank"][name]

    assert [_known(each) for each in rank] == [_known(each) for each in plain]
    assert plain or name in ("closed", "empty", "not interactive")


def _known(output: list[Any]) -> list[Any]:
    """Return an output without an id that was drawn by chance, and without addresses."""
    kind, name, bundle = output
    text = re.sub(r"0x[0-9a-f]+", "0x", json.dumps(bundle))
    return [kind, "…" if len(name) == 32 else name, json.loads(text)]
