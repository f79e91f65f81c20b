"""How far collection has come with a name; in the kernel."""

from __future__ import annotations

from enum import Enum

__all__ = ["Progress"]


class Progress(Enum):
    """What has become of a name so far."""

    STARTED = "its definition-time names are being emitted"
    BY_VALUE = "is being written by value"
    DONE = "is in the module"
    FAILED = "cannot be sent"
