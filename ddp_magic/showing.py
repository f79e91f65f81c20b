"""Runs in the kernel: --show, the module that would run and where everything in it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic import script
from ddp_magic.prepare import prepare

if TYPE_CHECKING:
    from ddp_magic.collect.notebook import Cell
    from ddp_magic.options import Options
    from ddp_magic.runs import Runs
    from ddp_magic.shell import Shell

__all__ = ["show"]


def show(line: Options, cell: Cell, shell: Shell, runs: Runs) -> None:
    """Prepare as for a run, show it, start nothing and leave nothing.

    Raises:
        UserError: What would be refused in a run is refused here.
    """
    run = runs.new_run()
    try:
        plan = prepare(line, cell, shell, run)
        shell.write(script.show(plan.definitions) + "\n")
    finally:
        run.remove()
