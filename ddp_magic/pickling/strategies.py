"""What a Lightning Trainer or Fabric does for its ranks, and in the kernel for one; in workers.

In the kernel there is no launcher that it could ask who it is, and no other rank: whatever it were
told to do would fail. So a strategy of DDP comes back as the one that Lightning takes for a single
device, with the same model, optimizers and precision.
"""

from __future__ import annotations

import sys
from typing import Any

from ddp_magic.attributes import own_dict
from ddp_magic.pickling import making

__all__ = ["LOGGED", "STRATEGIES", "alone", "unlogged"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning", "lightning.fabric", "lightning_fabric")
STRATEGIES = {f"{package}.strategies.ddp.DDPStrategy": package for package in _PACKAGES}
"""The strategies by their names, each with the package that has the other one too."""
_RESULT = "trainer.connectors.logger_connector.result._ResultCollection"
LOGGED = frozenset(f"{package}.{_RESULT}" for package in _PACKAGES)
"""What the loops of a Trainer keep of each name that was logged."""
_ITS_OWN = ("_root_device", "global_rank", "local_rank", "world_size", "_launcher")
_ITS_OWN_IN_FABRIC = ("_backward_sync_control",)


def alone(obj: Any, package: str) -> tuple[Any, ...] | None:
    """Write a strategy of several ranks as that of one device; None where it has no such one.

    Args:
        obj: The strategy.
        package: Which of Lightning's packages it is of.
    """
    module = sys.modules.get(f"{package}.strategies.single_device")
    kind = getattr(module, "SingleDeviceStrategy", None)
    if kind is None:
        return None
    own: dict[str, Any] = own_dict(obj)
    devices: Any = own.get("_parallel_devices") or own.get("parallel_devices")
    made = vars(kind(f"{devices[0].type}:0" if devices and devices[0].index is not None else "cpu"))
    kept = own.keys() & made.keys() - {*_ITS_OWN, *_ITS_OWN_IN_FABRIC}
    state = (object, None, {**made, **{name: own[name] for name in kept}})
    return making.instance, (object, kind, ()), state, None, None, making.fill


def unlogged(obj: Any) -> tuple[Any, ...]:
    """Write what a loop keeps of what was logged as before the first epoch.

    How a name is averaged over ranks stands in it, and a Trainer that logs it otherwise refuses to
    train on. The metrics of the last epoch are kept elsewhere.
    """
    return *obj.__reduce_ex__(5)[:4], None
