"""Runs in the guard: whether rank 0 is saving something, which is worth waiting for.

Two signs: it writes results for the notebook, or it writes much to files of its own (a checkpoint
in its ``finally``). What it writes to its output pipes is no sign: printing never ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["Saving"]

GRACE = 3.0
"""Seconds for which a sign counts."""
_PERIOD = 0.25
_MUCH = 64 << 10
"""Bytes in a period."""


class Saving:
    """Watches rank 0 while a deadline is pending.

    Args:
        results: The directory of the run's results.
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._pid = 0
        self._written = 0
        self._looked = 0.0
        self._seen = float("-inf")

    def look(self, pid: int, printed: int) -> None:
        """Take a look at rank 0.

        Args:
            pid: Its process.
            printed: Bytes of its output that came through the pipes so far.
        """
        now = time.monotonic()
        if now - self._looked < _PERIOD:
            return
        self._looked = now
        written = _written(pid) - printed
        if pid == self._pid and written - self._written >= _MUCH:
            self._seen = now
        self._pid, self._written = pid, written

    @property
    def going_on(self) -> bool:
        """Whether there was a sign within the grace."""
        newest = 0.0
        with contextlib.suppress(OSError):
            newest = max((e.stat().st_mtime for e in os.scandir(self._results)), default=0.0)
        return time.monotonic() - self._seen < GRACE or time.time() - newest < GRACE


def _written(pid: int) -> int:
    """Return how many bytes a process has handed to write(2) and its like (proc(5), wchar)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("wchar:"):
                return int(line.split()[1])
    return 0
