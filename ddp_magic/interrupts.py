"""Runs in the kernel: an interrupt during a run sets a flag, so it never lands inside our code."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

__all__ = ["Alarm", "caught"]


class Alarm:
    """Counts wishes to stop, from a signal or from any thread, and wakes whoever waits.

    Attributes:
        count: How often a stop was wished for.
        fd: Readable after every ring, for `select`.
    """

    def __init__(self) -> None:
        self.count = 0
        self._closed = False
        self._lock = threading.RLock()  # a signal may come while its own thread rings
        self.fd, self._ring = os.pipe()
        os.set_blocking(self._ring, False)

    def ring(self) -> None:
        """Count one wish and wake the waiter."""
        self.count += 1
        self.wake()

    def wake(self) -> None:
        """Wake the waiter without a wish; after `close` nobody waits."""
        with self._lock, contextlib.suppress(OSError):
            if not self._closed:
                os.write(self._ring, b"!")

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._closed = True
            os.close(self.fd)
            os.close(self._ring)


@contextlib.contextmanager
def caught(alarm: Alarm) -> Generator[None]:
    """Have SIGINT ring the alarm instead of raising, while the block runs.

    Signals can be handled in the main thread only; elsewhere (a subshell) this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        alarm.ring()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
