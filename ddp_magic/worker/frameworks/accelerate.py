"""Accelerate in a rank: without GPUs it means the CPU, and so all workers, without being told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["count_workers"]


def count_workers(module: ModuleType) -> None:
    """Let a state that finds no GPU count the workers, as one that is made with ``cpu=True``.

    Accelerate 1.15 takes one process there whatever the launcher says, so that each of our workers
    would train a model of its own; transformers' Trainer likewise.
    """
    usual = module.PartialState.__init__

    def begin(state: Any, cpu: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - its own
        usual(state, cpu or _is_one_of_several_on_the_cpu(), **more)

    module.PartialState.__init__ = begin


def _is_one_of_several_on_the_cpu() -> bool:
    import torch

    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()
