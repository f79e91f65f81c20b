"""Lets setup cells see what runs; in the kernel."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from ddp_magic.setups.kept import Setups

__all__ = ["attach"]


def attach(setups: Setups, shell: InteractiveShell) -> Callable[[], None]:
    """Register the setup cells' transformer and events; return what takes that back."""
    undo = ExitStack()
    undo.callback(setups.close)

    def transform(lines: list[str]) -> list[str]:
        return setups.as_ordinary(lines)

    # so that a terminal goes on asking for lines, as below any cell magic
    transform.has_side_effects = True  # type: ignore[attr-defined]
    shell.input_transformers_cleanup.append(transform)
    undo.callback(shell.input_transformers_cleanup.remove, transform)
    for event, act in (("pre_run_cell", setups.begin), ("post_run_cell", setups.end)):
        shell.events.register(event, act)
        undo.callback(shell.events.unregister, event, act)
    return undo.close
