"""What tests of the standby share: the keeper of a shell, and a shell that has one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ddp_magic import magic
from tests.notebook import Notebook, until

if TYPE_CHECKING:
    from ddp_magic.launch import LaunchSpec
    from ddp_magic.standby import Keeper

__all__ = ["keeper_of", "no_more", "ready", "start", "without_torch"]

PATIENCE = 60


def keeper_of(shell: Any) -> Keeper:
    """Return the keeper of a shell's extension."""
    return magic._loaded[id(shell)].standby


def ready(notebook: Notebook) -> Keeper:
    """Wait until workers wait, all imports done, and return who keeps them."""
    keeper = keeper_of(notebook.shell)
    until(keeper.ready, PATIENCE)
    return keeper


def start(notebook: Notebook) -> Keeper:
    """Have the first workers started and wait for them."""
    notebook.cells("import torch")
    return ready(notebook)


def no_more(keeper: Keeper) -> None:
    """Have no workers started but those that wait: what only the next run would need."""
    keeper.config.standby = False


def without_torch(keeper: Keeper) -> Keeper:
    """Have the next workers wait without torch, whose import is most of what they cost."""
    wanted = keeper._wanted

    def less() -> LaunchSpec:
        spec = wanted()
        return replace(spec, preload=tuple(n for n in spec.preload if n != "torch"), lazy=())

    keeper._wanted = less
    return keeper
