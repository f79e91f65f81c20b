"""Runs in the kernel: what is remembered of every run, and %ddp_runs, which shows it."""

from ddp_magic.history.keeping import History

__all__ = ["History"]
