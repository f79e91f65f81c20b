"""What tests of the standby share: the keeper of a shell, and a shell that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic import magic
from tests.notebook import Notebook, until

if TYPE_CHECKING:
    from ddp_magic.standby import Keeper

__all__ = ["keeper_of", "ready", "start"]

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
