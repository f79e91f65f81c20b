"""Lightning in a rank: on the CPU its `devices="auto"` means all workers, as it does on GPUs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["count_workers"]


def count_workers(module: ModuleType) -> None:
    """Let the CPU accelerator of this module count the workers of this machine.

    Lightning 2.6 takes one process there whatever the launcher says, so that each of our workers
    would train a model of its own.
    """
    module.CPUAccelerator.auto_device_count = staticmethod(_workers)


def _workers() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
