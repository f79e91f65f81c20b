"""Objects that hold what their process found out about itself; runs in kernel and workers.

They are written without it, or as the notebook's one process has it. A `TrainingArguments` of
transformers finds it out anew in a rank, so that `world_size` and `device` are that rank's. In the
kernel that would end what an Accelerator of the notebook shares with others, so it is told there.
All else that it holds arrives as it is now; its ``__post_init__`` does not run again.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from ddp_magic.attributes import own_dict
from ddp_magic.pickling import samplers
from ddp_magic.pickling.refusals import CannotTravel
from ddp_magic.pickling.strategies import LOGGED, STRATEGIES, alone, unlogged
from ddp_magic.typenames import type_name, type_names

if TYPE_CHECKING:
    from ddp_magic.pickling.instances import Plan

__all__ = ["ARGUMENTS", "plan", "settle"]

ARGUMENTS = "transformers.training_args.TrainingArguments"
_REMEDY = "Make it inside the %%ddp cell"
_GONE: Final = object()
_OF_THE_PROCESS: dict[str, dict[str, object]] = {
    ARGUMENTS: {
        "distributed_state": None,
        "_n_gpu": _GONE,
        "_setup_devices": _GONE,
        "__cached__setup_devices": _GONE,  # transformers 4 has a cached_property of its own
    },
    # prepare() leaves alone what has it, and a rank's model would not be wrapped in DDP
    "torch.nn.modules.module.Module": {
        "_is_accelerate_prepared": _GONE,
        "_original_forward": _GONE,
    },
}
_STATE: dict[str, object] = {
    "num_processes": 1,
    "process_index": 0,
    "local_process_index": 0,
    "backend": None,
}
_PART: dict[str, object] = {"num_processes": 1, "process_index": 0}
_TO_KERNEL = {
    "accelerate.state.AcceleratorState": _STATE,
    "accelerate.state.PartialState": _STATE,
    "accelerate.data_loader.BatchSamplerShard": _PART,
    "accelerate.data_loader.IterableDatasetShard": _PART,
}
"""A Trainer or prepared DataLoader that comes back would go on reading one rank's part."""
_OF_LIGHTNING: dict[str, dict[str, object]] = {
    "core.datamodule.LightningDataModule": {"trainer": None},
    "core.module.LightningModule": {"_fabric": None},
    "callbacks.progress.progress_bar.ProgressBar": {"_trainer": None},
    "callbacks.progress.rich_progress.RichProgressBar": {"_metric_component": None},
}
"""What holds the trainer or Fabric that it was last used with, and is given the next one."""
_TO_RANKS = {
    f"{package}.{name}": left
    for package in ("lightning.pytorch", "pytorch_lightning")
    for name, left in _OF_LIGHTNING.items()
}
_READ_FROM_PROCESS = frozenset(
    {
        *("device", "distributed_state", "n_gpu", "parallel_mode", "world_size"),
        *("local_process_index", "local_rank", "process_index", "should_log", "should_save"),
        *("eval_batch_size", "train_batch_size"),
    }
)


def plan(kind: type, usual: Plan, *, to_kernel: bool) -> Plan:
    """Return how instances of a type are written; `usual` is how they were else.

    Args:
        kind: The type.
        usual: As `instances.plan` has it.
        to_kernel: Whether the kernel will read them, else ranks.
    """
    names = type_names(kind)
    left: dict[str, object] = {}
    for name in names:
        one_way = _TO_KERNEL if to_kernel else _TO_RANKS
        left |= _OF_THE_PROCESS.get(name, {}) | one_way.get(name, {})
    if to_kernel and (packages := [STRATEGIES[name] for name in names if name in STRATEGIES]):
        return lambda obj: alone(obj, packages[0]) or usual(obj)
    if to_kernel and not LOGGED.isdisjoint(names):
        return unlogged
    if samplers.SAMPLER in names:
        return (samplers.to_kernel if to_kernel else samplers.to_ranks)(usual)
    if ARGUMENTS in names:
        return lambda obj: _arguments(obj, usual, left, to_kernel=to_kernel)

    def write(obj: Any) -> tuple[Any, ...] | None:
        own = own_dict(obj)
        if left.keys().isdisjoint(own):
            return usual(obj)
        reduced = usual(obj) or obj.__reduce_ex__(5)
        make, arguments, *rest = reduced
        here = left | _forward(obj, own) | _alone(left, own)
        return (make, arguments, _without(rest[0], here), *rest[1:]) if rest else reduced

    return write if left else usual


def _forward(obj: Any, own: dict[str, Any]) -> dict[str, object]:
    """Undo what prepare() did for mixed precision: what it puts over forward() refuses pickling."""
    if "_original_forward" not in own:
        return {}
    found: Any = getattr(own["_original_forward"], "__func__", None)
    while found is not None and found is not getattr(type(obj), "forward", None):
        found = getattr(found, "__wrapped__", None)
    return {"forward": _GONE if found else own["_original_forward"], "_original_forward": _GONE}


def _alone(left: dict[str, object], own: dict[str, Any]) -> dict[str, object]:
    """Say of a state of accelerate that nothing is distributed, by a member of its own Enum."""
    kind: Any = own.get("distributed_type")
    return {"distributed_type": type(kind).NO} if kind and left.keys() >= _STATE.keys() else {}


def _without(state: Any, left: dict[str, object]) -> Any:
    """Leave attributes out of a state: a dict, or a tuple with the dict of attributes in it."""
    if type(state) is dict:
        kept = {n: left.get(n, v) for n, v in state.items()}
        return {n: v for n, v in kept.items() if v is not _GONE}
    if type(state) is not tuple:
        return state
    at = 0 if len(state) == 2 else 2  # with slots; as `making.fill` has it
    return (*state[:at], _without(state[at], left), *state[at + 1 :])


def _arguments(obj: Any, usual: Plan, left: dict[str, object], *, to_kernel: bool) -> Any:
    """Write a TrainingArguments; one that says itself how it is made anew, is made so."""
    if not to_kernel:
        _refuse_settled(obj)
    reduced: Any = usual(obj) or obj.__reduce_ex__(5)
    make, arguments, *rest = reduced
    if not rest:
        return reduced
    setter = rest[3] if len(rest) > 3 else None
    state = setter, _without(rest[0], left), _precision(obj)
    return make, arguments, state, None, None, settle


def _refuse_settled(obj: Any) -> None:
    """Refuse what was computed from this process when it was made, and cannot be told from it."""
    if own_dict(obj).get("deepspeed"):
        why = "which has set deepspeed up in the process that made it"
        raise CannotTravel("a TrainingArguments with deepspeed", _REMEDY, obj, why=why)
    kind = type(obj)
    for cls in kind.__mro__:
        if type_name(cls) == ARGUMENTS:
            return
        for name in ("__init__", "__post_init__"):
            function = vars(cls).get(name)
            code = function.__code__ if isinstance(function, FunctionType) else None
            own = code is not None and code.co_filename != "<string>"  # no dataclass's __init__
            read = sorted(_READ_FROM_PROCESS & {*code.co_names}) if code and own else []
            if read:
                raise CannotTravel(
                    f"a {kind.__qualname__}",
                    _REMEDY,
                    obj,
                    why=f"whose {name}() has read {read[0]}, which is not the same in a rank",
                )


def _precision(obj: Any) -> dict[str, object]:
    """Return the settings of torch that a TrainingArguments changes in its process."""
    backends: Any = getattr(sys.modules.get("torch"), "backends", None)
    if getattr(obj, "tf32", None) is None and not getattr(obj, "torch_compile", False):
        return {}
    if hasattr(backends, "fp32_precision"):  # torch 2.9
        return {"fp32_precision": backends.fp32_precision}
    found = {f"{part}.allow_tf32": part for part in ("cuda.matmul", "cudnn")}
    return {path: _part(backends, part).allow_tf32 for path, part in found.items()}


def _part(backends: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        backends = getattr(backends, name)
    return backends


def settle(made: Any, told: tuple[Any, Any, dict[str, object]]) -> None:
    """Fill a TrainingArguments, and let it know its process."""
    setter, state, precision = told
    if setter is not None:
        setter(made, state)
    elif hasattr(made, "__setstate__"):
        made.__setstate__(state)
    else:
        vars(made).update(state)
    if "WORLD_SIZE" not in os.environ:
        _tell_alone(made)
        return
    for path, value in precision.items():
        import torch

        part, _, name = path.rpartition(".")
        setattr(_part(torch.backends, part), name, value)
    _ = made.device


def _tell_alone(made: Any) -> None:
    """Tell it its device as the one process that there is; a Trainer takes that for granted."""
    import torch

    gpus = 0 if made.use_cpu else torch.cuda.device_count()
    own = isinstance(inspect.getattr_static(made, "_setup_devices"), functools.cached_property)
    device = torch.device("cuda:0" if gpus else "cpu")
    vars(made)["_setup_devices" if own else "__cached__setup_devices"] = device
    made._n_gpu = gpus  # noqa: SLF001 - as it sets it itself
