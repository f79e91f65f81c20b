"""Runs in the kernel: numbers of a run, reported or sampled, as much of them as can be drawn."""

from ddp_magic.metrics.curves import Curves
from ddp_magic.metrics.peaks import Peaks, Recent
from ddp_magic.metrics.reported import Reported
from ddp_magic.metrics.series import Series

__all__ = ["Curves", "Peaks", "Recent", "Reported", "Series"]
