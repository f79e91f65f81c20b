"""Train on several GPUs from a notebook cell: ``%load_ext ddp_magic``, then ``%%ddp --gpus 2``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.reporting import log

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__", "load_ipython_extension", "log", "unload_ipython_extension"]

__version__ = "0.1.0"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics with IPython; imports neither torch nor a widget library."""
    from ddp_magic import magic

    magic.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Stop what still runs and remove this kernel's files."""
    from ddp_magic import magic

    magic.unload(shell)
