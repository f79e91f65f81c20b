"""What training libraries have to be told about a run; in every worker.

Nothing is imported for it: a hook runs when its library is, or at once where that was imported
ahead.
"""

from __future__ import annotations

import functools
import sys
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from wrapt import register_post_import_hook

from ddp_magic.worker.frameworks.patches import unknown

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["attend", "go_alone"]

_HOOKS = {
    "accelerate.launchers": "accelerate:start_nothing",
    "accelerate.state": "accelerate:count_workers",
    "lightning.fabric.accelerators.cpu": "lightning:count_workers",
    "lightning.fabric.fabric": "lightning:watch_fabric",
    "lightning.fabric.plugins.environments.torchelastic": "lightning:answer_alone",
    "lightning.fabric.strategies.ddp": "lightning:start_nothing",
    "lightning.pytorch.accelerators.cpu": "lightning:count_workers",
    "lightning.pytorch.strategies.ddp": "lightning:start_nothing",
    "lightning.pytorch.trainer.connectors.logger_connector.logger_connector": (
        "lightning_metrics:report"
    ),
    "lightning.pytorch.trainer.connectors.signal_connector": "lightning:leave_signals",
    "lightning.pytorch.trainer.trainer": "lightning:watch_trainer",
    "ultralytics.utils": "ultralytics:begin",
    "ultralytics.utils.downloads": "ultralytics:download",
    "ultralytics.engine.trainer": "ultralytics:train",
    "ultralytics.engine.validator": "ultralytics:validate",
}
"""What is called with which module, as soon as that module is there."""
_ALSO = {"lightning.fabric": "lightning_fabric", "lightning.pytorch": "pytorch_lightning"}
"""Lightning's parts are packages of their own as well, with classes of their own."""


def attend() -> None:
    """Be there when a library is imported that needs to be told something."""
    for module, hook in _HOOKS.items():
        tell = functools.partial(_tell, f"{__name__}.{hook}")
        register_post_import_hook(tell, module)
        for part, package in _ALSO.items():
            if module.startswith(part):
                register_post_import_hook(tell, package + module[len(part) :])


def _tell(hook: str, module: ModuleType) -> None:
    try:
        resolve_name(hook)(module)
    except Warning:  # the user wants them to be errors
        raise
    except Exception as error:
        unknown(module.__name__, str(error))


def go_alone() -> None:
    """Tell those that have noted this process's rank that it is the only one from now on."""
    if "ultralytics" in sys.modules:
        from ddp_magic.worker.frameworks.ultralytics.ranks import be_alone

        be_alone()
