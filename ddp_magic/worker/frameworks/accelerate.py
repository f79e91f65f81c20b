"""Accelerate in a rank: without GPUs it means the CPU, and so all workers, without being told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["count_workers"]


def count_workers(module: ModuleType) -> None:
    """Let a state that finds no GPU count the workers, as one that is made with ``cpu=True``.

    Accelerate 1.15 takes one process there whatever the launcher says, so that each of our workers
    would train a model of its own; transformers' Trainer likewise.
    """
    patch(module, "PartialState.__init__", _begin)


@around
def _begin(wrapped: Callable[..., None], _: object, args: Any, given: dict[str, Any]) -> None:
    if _is_one_of_several_on_the_cpu():
        args, given = args[1:], {**given, "cpu": True}
    wrapped(*args, **given)


def _is_one_of_several_on_the_cpu() -> bool:
    import torch

    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()
