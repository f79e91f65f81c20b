"""Runs in the guard: signals as a descriptor to wait on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wake_on_signals"]


def wake_on_signals(on_term: Callable[..., None]) -> int:
    """Ignore interrupts, call `on_term` on SIGTERM; return what is readable after any signal."""
    # A Python handler and not SIG_IGN, which the agent would inherit through exec.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, _ignore)
    signal.signal(signal.SIGTERM, on_term)
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    return wake


def _ignore(*_: object) -> None:
    """Interrupt the poll and do nothing else."""
