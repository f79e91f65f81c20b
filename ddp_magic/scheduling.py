"""How the system schedules a process that works ahead; imported by agent and workers."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["behind_others"]


@contextlib.contextmanager
def behind_others() -> Generator[None]:
    """Run as a batch job, which what people wait for overtakes; then as before.

    Not by nice: an ordinary user cannot take that back (RLIMIT_NICE), a policy he can.
    """
    try:
        before = os.sched_getscheduler(0)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not on macOS; forbidden in a sandbox
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
