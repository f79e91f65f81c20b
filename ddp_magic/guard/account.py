"""Runs in the guard: the run's account, `events.jsonl`, which the kernel follows."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Account"]


class Account:
    """Appends events to the file and wakes the kernel by a byte on our stdout.

    Attributes:
        broken: Whether an event could not be written (a full disk).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = False
        os.set_blocking(1, False)

    def tell(self, **event: Any) -> None:
        """Append one event with the time."""
        line = json.dumps({"t": time.time(), **event}) + "\n"
        try:
            with open(self.path, "a", encoding="utf-8") as events:
                events.write(line)
        except OSError:
            self.broken = True
        with contextlib.suppress(OSError):
            os.write(1, b".")

    def close(self) -> None:
        """End the account; where it is broken, end-of-file on our stdout says so instead."""
        if self.broken:
            os.close(1)
