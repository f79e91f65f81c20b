"""What `ddp_magic.log` does in a worker: a line for each call, in a file that the kernel reads.

Runs in every worker. However often it is called, the file stays small: past its first megabytes
only a few calls a second are written, and the last one at the program's end.
"""

from __future__ import annotations

import os
import time
from json import dumps  # now: the user's program may put another in its place
from typing import TYPE_CHECKING, Any

from ddp_magic.reporting import report_to

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Reporter"]

_FREE = 4 << 20
"""Bytes that are written however fast they come."""
_PERIOD = 0.5
"""Seconds between two lines past these; at 100 bytes a line, 17 MB in a day."""
_NAME = 100
"""Characters of a metric's name."""


class Reporter:
    """Writes what a rank reports.

    Args:
        run: The run.
        rank: Who reports.
    """

    def __init__(self, run: RunDir, rank: int) -> None:
        self._path = run.metrics(rank)
        self._file: int | None = None
        self._written = 0
        self._at = 0.0
        self._held = b""

    def begin(self) -> None:
        """Have `ddp_magic.log` report here."""
        report_to(self.report)

    def report(self, step: float | None, values: dict[str, Any]) -> None:
        """Write numbers down.

        Raises:
            TypeError: One of them is none, or the step is not.
        """
        now = time.time()
        numbers = {str(name)[:_NAME]: _number(name, value) for name, value in values.items()}
        line = dumps([now, None if step is None else _number("step", step), numbers]).encode()
        self._held = line + b"\n"
        if self._written < _FREE or now - self._at >= _PERIOD:
            self._at = now
            self.flush()

    def flush(self) -> None:
        """Write what was held back."""
        if self._held and self._file is None:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        if self._held and self._file is not None:
            self._written += os.write(self._file, self._held)
            self._held = b""


def _number(name: str, value: Any) -> float:
    detach = getattr(value, "detach", None)  # torch warns about a number that wants a gradient
    try:
        return float(value if detach is None else detach())
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise TypeError(
            f"ddp_magic.log() takes numbers, and {name} is a {kind}. "
            "Log one number of it, as its mean."
        ) from None
