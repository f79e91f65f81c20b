"""What trainers' libraries set up for the process that makes it; runs in kernel and workers.

Some of it no rank may get: it would train alone, or on data that every rank reads whole. Types are
known by their names, so that nothing is imported to know them.
"""

from __future__ import annotations

from typing import Any

from ddp_magic.pickling.refusals import CannotTravel

__all__ = ["WHY", "check", "may_be_refused", "type_names"]

WHY = "which was set up in this kernel, for its one process, and would know of no other rank"
_HERE = "Make it inside the %%ddp cell"
_FACTORY = (
    f"{_HERE}, or write a function that makes and returns it, and name that with --trainer. If "
    "the cell needs only something that it holds, bind that in a cell of its own "
    "(model = trainer.model)"
)
_PREPARED = "Call prepare() inside the %%ddp cell instead, on what it was given"
_SET_UP = "Call setup() inside the %%ddp cell instead, on what it was given"

_LIGHTNING = {
    "trainer.trainer.Trainer": ("a Lightning Trainer", _FACTORY),
}
_FABRIC = {
    "fabric.Fabric": ("a Fabric", _HERE),
    "wrappers._FabricModule": ("a model of Fabric.setup()", _SET_UP),
    "wrappers._FabricOptimizer": ("an optimizer of Fabric.setup()", _SET_UP),
    "wrappers._FabricDataLoader": ("a DataLoader of Fabric.setup_dataloaders()", _SET_UP),
}
_REFUSED = {
    "accelerate.accelerator.Accelerator": ("an Accelerator", _HERE),
    "accelerate.state.AcceleratorState": ("accelerate's AcceleratorState", _HERE),
    "accelerate.state.PartialState": ("accelerate's PartialState", _HERE),
    "accelerate.state.GradientState": ("accelerate's GradientState", _HERE),
    "accelerate.data_loader.DataLoaderStateMixin": ("a prepared DataLoader", _PREPARED),
    "accelerate.optimizer.AcceleratedOptimizer": ("a prepared optimizer", _PREPARED),
    "accelerate.scheduler.AcceleratedScheduler": ("a prepared scheduler", _PREPARED),
    "transformers.trainer.Trainer": ("a transformers Trainer", _FACTORY),
    **{f"lightning.pytorch.{name}": said for name, said in _LIGHTNING.items()},
    **{f"pytorch_lightning.{name}": said for name, said in _LIGHTNING.items()},
    **{f"lightning.fabric.{name}": said for name, said in _FABRIC.items()},
    **{f"lightning_fabric.{name}": said for name, said in _FABRIC.items()},
}


def type_names(kind: type) -> list[str]:
    """Return the full names of a type and of all that it is made of."""
    return [f"{k.__module__}.{k.__qualname__}" for k in kind.__mro__]


def may_be_refused(kind: type) -> bool:
    """Whether `check` refuses objects of this type."""
    return any(name in _REFUSED for name in type_names(kind))


def check(obj: Any) -> None:
    """Refuse what no rank may get.

    Raises:
        CannotTravel: This is such a thing.
    """
    for name in type_names(type(obj)):
        if name in _REFUSED:
            raise CannotTravel(*_REFUSED[name], obj, why=WHY)
