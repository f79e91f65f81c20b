"""A worker that waits for a case's body."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from ddp_magic import magic
from ddp_magic.standby import ahead

__all__ = ["begin", "why_cold"]

_PATIENCE = 60.0


def begin(shell: Any, sources: list[str]) -> None:
    """Have a worker import what these cells import, and wait until it waits."""
    magics = magic._loaded[id(shell)]
    keeper = magics.standby
    names = {name for source in sources for name in ahead.preloadable(_module(source))}
    if not any("torch" in source for source in sources):
        names.discard("torch")  # which is preloaded without being asked for: half of the time
    keeper.expect(magics._likely(1), sorted(names, key=lambda name: (name != "torch", name)))
    for setting in ("standby_workers=1", "standby_limit=1000", "standby=on"):
        magics.ddp_config(setting)
    keeper.cell_ended()
    end = time.monotonic() + _PATIENCE
    while not keeper.ready():
        if time.monotonic() > end:
            raise RuntimeError(f"no worker waits: {keeper.status()}")
        time.sleep(0.01)


def _module(source: str) -> Any:
    return SimpleNamespace(items=(), packages=(), modules=(), body=source)


def why_cold(shell: Any) -> str:
    """Return why the last run could not have the worker that waited; empty if it could."""
    return magic._loaded[id(shell)].standby.why_cold
