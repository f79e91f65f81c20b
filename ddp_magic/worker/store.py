"""The store in which this run's ranks meet; in every worker."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

__all__ = ["PeerFailed", "connect"]


class PeerFailed(RuntimeError):
    """Another rank has failed, and its error is the root cause."""


def connect() -> Any:
    """Return a client of the launcher's store, in which torch makes process groups too."""
    from torch.distributed import TCPStore

    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(*address, is_master=False, timeout=timedelta(seconds=5))
