"""What GPUs and workers do at a moment, as frozen values; imported by the kernel only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GpuSample", "WorkerSample"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSample:
    """One GPU at a moment."""

    label: str
    """As in `RunStarted.devices`."""
    used: int
    """Bytes, of all processes."""
    total: int
    """Bytes."""
    busy: float | None
    """Part of the time in which it computed, 0 to 1; None where the driver does not tell."""
    kernel: int = 0
    """Bytes that the notebook's own kernel holds."""
    moving: float | None = None
    """Part of the time in which its memory was read or written; None where not told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSample:
    """One worker's processes (those it has started too) at a moment."""

    rank: int
    cpu: float
    """Cores that it keeps busy."""
    memory: int
    """Bytes of its own, what it shares with others in equal parts."""
