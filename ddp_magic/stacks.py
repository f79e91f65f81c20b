"""Runs in the kernel: where every rank is right now, in notebook lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddp_magic.launch import Guard
    from ddp_magic.rundir import RunDir

__all__ = ["take", "without_ours"]

_PATIENCE = 2.0
"""Seconds that the ranks get; a stopped process or one in a driver call never writes."""


def take(run: RunDir, guard: Guard, world_size: int) -> str:
    """Ask every rank for its stacks and return them, rank by rank.

    faulthandler writes from the signal handler, in C: it needs no GIL, so it works in a rank that
    hangs in a collective.
    """
    before = [_size(run, rank) for rank in range(world_size)]
    guard.stacks()
    end = time.monotonic() + _PATIENCE
    sizes = before
    while time.monotonic() < end:
        time.sleep(0.05)
        last, sizes = sizes, [_size(run, rank) for rank in range(world_size)]
        if sizes == last and all(a > b for a, b in zip(sizes, before, strict=True)):
            break
    return "\n\n".join(_shown(run, rank, before[rank]) for rank in range(world_size))


def _size(run: RunDir, rank: int) -> int:
    path = run.stacks(rank)
    return path.stat().st_size if path.exists() else 0


def _shown(run: RunDir, rank: int, start: int) -> str:
    path = run.stacks(rank)
    text = path.read_bytes()[start:].decode("utf-8", "replace") if path.exists() else ""
    if not text.strip():
        return f"Rank {rank}: no answer. It has not started yet, has ended, or is stopped."
    return f"Rank {rank}:\n" + without_ours(text.strip(), indent="  ").replace("\n\n", "\n")


def without_ours(text: str, indent: str = "") -> str:
    """Return faulthandler's text without our own frames, and without threads that only wait."""
    return "\n\n".join(filter(None, (_thread(block, indent) for block in text.split("\n\n"))))


def _thread(block: str, indent: str) -> str:
    """Return one thread without our own frames; empty where nothing else is left."""
    head, *frames = block.splitlines() or [""]
    if head.startswith("Extension modules: "):
        return ""
    if not head.startswith(("Thread 0x", "Current thread 0x")):
        return block
    ours = ("/ddp_magic/worker/", "/ddp_magic/agent.py")
    kept = [f"{indent}  {f.strip()}" for f in frames if not any(o in f for o in ours)]
    only_waits = all('threading.py"' in f for f in kept)
    return "" if only_waits else "\n".join([f"{indent}{head.strip()}", *kept])
