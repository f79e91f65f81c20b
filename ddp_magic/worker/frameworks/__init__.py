"""What training libraries have to be told about a run; in every worker.

Nothing is imported for it: a hook runs when its library is, or at once where that was imported
ahead.
"""

from __future__ import annotations

from wrapt import register_post_import_hook

__all__ = ["attend"]

_HOOKS = {
    "lightning.fabric.accelerators.cpu": "lightning:count_workers",
    "lightning.pytorch.accelerators.cpu": "lightning:count_workers",
    "lightning_fabric.accelerators.cpu": "lightning:count_workers",
    "pytorch_lightning.accelerators.cpu": "lightning:count_workers",
    "ultralytics.utils": "ultralytics:begin",
    "ultralytics.utils.downloads": "ultralytics:download",
    "ultralytics.engine.trainer": "ultralytics:train",
    "ultralytics.engine.validator": "ultralytics:validate",
}
"""What is called with which module, as soon as that module is there."""


def attend() -> None:
    """Be there when a library is imported that needs to be told something."""
    for module, hook in _HOOKS.items():
        register_post_import_hook(f"{__name__}.{hook}", module)
