"""Runs in the kernel: numbers that workers report or print, as curves of a few hundred points."""

from ddp_magic.metrics.curves import Curves
from ddp_magic.metrics.reported import Reported
from ddp_magic.metrics.series import Series

__all__ = ["Curves", "Reported", "Series"]
