"""What trainers' libraries set up for the process that makes it; runs in kernel and workers.

Some of it no rank may get: it would train alone, or on data that every rank reads whole.
"""

from __future__ import annotations

from typing import Any

from ddp_magic.pickling.refusals import CannotTravel
from ddp_magic.typenames import entry

__all__ = ["check", "may_be_refused"]

_WHY = "which was set up in this kernel, for its one process, and would know of no other rank"
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


def may_be_refused(kind: type) -> bool:
    """Whether `check` refuses objects of this type."""
    return entry(_REFUSED, kind) is not None


def check(obj: Any) -> None:
    """Refuse what no rank may get.

    Raises:
        CannotTravel: This is such a thing.
    """
    if said := entry(_REFUSED, type(obj)):
        raise CannotTravel(*said, obj, why=_WHY)
