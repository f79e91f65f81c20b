"""Accelerate in a rank: it takes the workers that are there, without being told of the CPU."""

from __future__ import annotations

import importlib
import sys
from inspect import signature
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.company import is_rank, said, workers
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["count_workers", "start_nothing"]


def count_workers(module: ModuleType) -> None:
    """Let a state that finds no GPU count the workers, as one that is made with ``cpu=True``.

    Accelerate 1.15 takes one process there whatever the launcher says, so that each of our workers
    would train a model of its own; transformers' Trainer likewise.
    """
    patch(module, "PartialState.__init__", _begin)


def start_nothing(module: ModuleType) -> None:
    """Have a launcher for notebooks call its function in this rank: the processes are there.

    Accelerate 1.15 would start as many more from each rank, which train apart.
    """
    patch(module, "notebook_launcher", _call_here)
    package = sys.modules.get("accelerate")
    if hasattr(package, "notebook_launcher"):  # it was imported ahead, and has taken that already
        patch(package, "notebook_launcher", _call_here)


@around
def _begin(wrapped: Callable[..., None], _: object, args: Any, given: dict[str, Any]) -> None:
    if _is_one_of_several_on_the_cpu():
        args, given = args[1:], {**given, "cpu": True}
    wrapped(*args, **given)


@around
def _call_here(wrapped: Callable[..., None], _: object, args: Any, given: dict[str, Any]) -> None:
    if not is_rank():
        wrapped(*args, **given)
        return
    call = signature(wrapped).bind(*args, **given)
    call.apply_defaults()
    asked = call.arguments
    _require_as_many(asked["num_processes"], asked.get("num_nodes", 1))
    # where Accelerator() reads it; what the launcher itself sets (MIXED_PRECISION) is read nowhere
    precision = str(asked.get("mixed_precision", "no")).lower()
    told = {} if precision == "no" else {"accelerate_mixed_precision": precision}
    with importlib.import_module("accelerate.utils").patch_environment(**told):
        asked["function"](*asked["args"])


def _require_as_many(processes: int | None, nodes: int) -> None:
    """Refuse a launcher that is to start another number of processes.

    Raises:
        ValueError: Says what to write.
    """
    wanted = workers() if processes is None else processes * nodes
    if wanted != workers():
        raise ValueError(
            f"notebook_launcher() is to start {wanted} processes, and %%ddp has started {said()}. "
            f"Leave num_processes out, or start as many: %%ddp -n {wanted}."
        )


def _is_one_of_several_on_the_cpu() -> bool:
    import torch

    return workers() > 1 and not torch.cuda.is_available()
