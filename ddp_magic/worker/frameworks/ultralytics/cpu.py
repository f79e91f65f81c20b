"""Ultralytics' data-parallel training on the CPU, over gloo; runs in every worker.

Its trainers take part in a process group on GPUs only, in four places. Each is another where a
trainer's device is the CPU and it has company; on GPUs nothing changes. The patched things are
those that every trainer has, so that a class of the notebook needs nothing of its own.
"""

from __future__ import annotations

from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.company import workers
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["train", "validate"]


def train(module: Any) -> None:
    """Let trainers count the workers, meet over gloo and average the gradients of a CPU model."""
    import torch

    module.BaseTrainer.world_size = _WorldSize()
    patch(module, "BaseTrainer._setup_ddp", _meeting)
    parallel = _with(torch.nn.parallel, DistributedDataParallel=_parallel)
    module.nn = _with(module.nn, parallel=parallel)


def validate(module: Any) -> None:
    """Let the validation after a training run on the CPU, where it asks for the current GPU."""
    patch(module, "BaseValidator.__call__", _validating)
    patch(module, "AutoBackend", _on_its_device)


class _WorldSize:
    """How many train: an attribute that a trainer sets to 0 or 1 on the CPU."""

    def __get__(self, trainer: Any, owner: object = None) -> Any:
        if trainer is None:
            return self
        try:
            return vars(trainer)["world_size"]
        except KeyError:
            raise AttributeError("world_size") from None

    def __set__(self, trainer: Any, value: int) -> None:
        vars(trainer)["world_size"] = workers() if _in_company(trainer) else value


def _in_company(trainer: Any) -> bool:
    return workers() > 1 and trainer.device.type == "cpu"


@around
def _meeting(wrapped: Callable[[], None], trainer: Any, *_: object) -> None:
    """Meet on the CPU too, and take a group that is there.

    A trainer leaves its process group behind, and a second one in the same process would not train
    under torchrun: it makes a group as well.
    """
    import torch

    dist = torch.distributed
    if dist.is_initialized():
        if trainer.device.type == "cuda":
            trainer.device = torch.device("cuda", torch.cuda.current_device())
    elif _in_company(trainer):
        dist.init_process_group("gloo", timeout=timedelta(hours=3))  # as long as on GPUs
    else:
        wrapped()


def _parallel(model: Any, *arguments: Any, **options: Any) -> Any:
    """Wrap a model as asked for; one on the CPU has no device ids."""
    from torch.nn.parallel import DistributedDataParallel

    if all(parameter.device.type == "cpu" for parameter in model.parameters()):
        options.pop("device_ids", None)
    return DistributedDataParallel(model, *arguments, **options)


@around
def _validating(wrapped: Callable[..., Any], _: object, args: Any, given: dict[str, Any]) -> Any:
    import torch

    if workers() == 1 or torch.cuda.is_available():
        return wrapped(*args, **given)
    current = torch.cuda.current_device
    torch.cuda.current_device = lambda: 0  # it raises without a GPU
    try:
        return wrapped(*args, **given)
    finally:
        torch.cuda.current_device = current


@around
def _on_its_device(wrapped: type, _: object, args: Any, given: dict[str, Any]) -> Any:
    """Load a model for validation on the device of the ranks."""
    import torch

    if workers() > 1 and not torch.cuda.is_available():
        given = {**given, "device": torch.device("cpu")}
    return wrapped(*args, **given)


def _with(module: ModuleType, **names: object) -> ModuleType:
    """Return a module that differs in some names: the real one is everybody's."""
    made = ModuleType(module.__name__, module.__doc__)
    vars(made).update(vars(module), **names)
    return made
