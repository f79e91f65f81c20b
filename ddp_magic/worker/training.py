"""--trainer in a rank: what a factory made is trained, then rank 0 goes on alone."""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
from typing import Any

from ddp_magic.launcher import is_launchers
from ddp_magic.methods import METHODS, trains
from ddp_magic.worker import frameworks
from ddp_magic.worker.frameworks.trainers import require_trained

__all__ = ["leave_group", "start", "why"]

_OF_GROUPS = re.compile("process group|rendezvous", re.IGNORECASE)
"""In what torch says where a group is missed; its checkpoints and others need none."""
_WHY = (
    "With --trainer the cell's body runs in rank 0 only, after the training: the other ranks have "
    "ended, and the process group with them. Do this in the trainer, or leave --trainer out and "
    "call the trainer in the cell, which then runs in every rank."
)


def start(made: Any) -> object:
    """Call what a factory made, if that trains; else making it was the training.

    Returns:
        What `train()` or `fit()` returned, or `made`.

    Raises:
        TypeError: Nothing was trained.
    """
    for name in METHODS:
        method: Any = getattr(made, name, None)
        if trains(name, method) and _needs_nothing(method):
            return method()
    require_trained(made)
    return made


def _needs_nothing(method: Any) -> bool:
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return True
    return True


def leave_group() -> None:
    """Leave the process group, and be a process of its own to what asks the environment."""
    dist = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    for name in filter(is_launchers, list(os.environ)):
        del os.environ[name]
    frameworks.go_alone()


def why(error: BaseException) -> str:
    """Say why the body has no process group, if that is what it misses; else nothing."""
    if isinstance(error, KeyError) and any(map(is_launchers, error.args[:1])):
        return _WHY
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("torch.distributed.") and _OF_GROUPS.search(str(error)):
            return _WHY
    return ""
