"""Runs in the kernel: where every rank is right now, in notebook lines."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ddp_magic import recorder, waits
from ddp_magic.documents import decoded
from ddp_magic.sourcemap import SourceMap

if TYPE_CHECKING:
    from ddp_magic.launch import Guard
    from ddp_magic.rundir import RunDir

__all__ = ["take", "without_ours"]

_PATIENCE = 2.0
"""Seconds that the ranks get; a stopped process or one in a driver call never writes."""


def take(run: RunDir, guard: Guard, world_size: int) -> str:
    """Ask every rank for its stacks; return what they come to, and them rank by rank.

    faulthandler writes from the signal handler, in C: it needs no GIL, so it works in a rank that
    hangs in a collective.
    """
    asked = recorder.ask(run, world_size)
    before = [_size(run, rank) for rank in range(world_size)]
    guard.stacks()
    gone = _gone(run)
    end = time.monotonic() + _PATIENCE
    sizes = before
    while time.monotonic() < end:
        time.sleep(0.05)
        last, sizes = sizes, [_size(run, rank) for rank in range(world_size)]
        written = (
            a > b or rank in gone for rank, (a, b) in enumerate(zip(sizes, before, strict=True))
        )
        if sizes == last and all(written):
            break
    stacks = {rank: _written(run, rank, before[rank]) for rank in range(world_size)}
    texts = _texts(run)
    found = [
        waits.ended(rank) if rank in gone else waits.wait(rank, stack, texts)
        for rank, stack in stacks.items()
    ]
    said = [waits.conclude(found), recorder.conclude(recorder.read(run, asked))]
    shown = [_shown(rank, stack, gone=rank in gone) for rank, stack in stacks.items()]
    return "\n\n".join(filter(None, [*said, *shown]))


def _size(run: RunDir, rank: int) -> int:
    path = run.stacks(rank)
    return path.stat().st_size if path.exists() else 0


def _gone(run: RunDir) -> set[int]:
    """Return the ranks that have ended."""
    gone: set[int] = set()
    with contextlib.suppress(OSError, ValueError), open(run.events, "rb") as events:
        for item in map(decoded, events):
            if item["ev"] == "worker":
                gone.discard(item["rank"])
            elif item["ev"] == "gone":
                gone.add(item["rank"])
    return gone


def _texts(run: RunDir) -> dict[str, dict[int, str]]:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return SourceMap.read(run.source_map).texts
    return {}


def _written(run: RunDir, rank: int, start: int) -> str | None:
    """Return a rank's stacks without our frames; None where it did not answer."""
    path = run.stacks(rank)
    text = path.read_bytes()[start:].decode("utf-8", "replace") if path.exists() else ""
    return without_ours(text.strip(), indent="  ") if text.strip() else None


def _shown(rank: int, stack: str | None, *, gone: bool) -> str:
    if gone:
        return f"Rank {rank}: it has ended."
    if stack is None:
        return f"Rank {rank}: no answer. It has not started yet, has ended, or is stopped."
    return f"Rank {rank}:\n" + stack.replace("\n\n", "\n")


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
