"""Runs in the kernel: --show, the module that would run and where everything in it comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ddp_magic.prepare import place, prepare
from ddp_magic.showing.colours import tokens
from ddp_magic.showing.inventory import take_inventory
from ddp_magic.showing.page import page
from ddp_magic.showing.past import recall
from ddp_magic.showing.text import text
from ddp_magic.views.picture import workers

if TYPE_CHECKING:
    from ddp_magic.collect.notebook import Cell
    from ddp_magic.options import Options
    from ddp_magic.runs import Runs
    from ddp_magic.shell import Shell
    from ddp_magic.showing.inventory import Inventory

__all__ = ["show"]


def show(line: Options, cell: Cell, shell: Shell, runs: Runs, nproc: int | None) -> None:
    """Prepare as for a run, show it, start nothing and leave nothing.

    Raises:
        UserError: What would be refused in a run is refused here.
    """
    placement = place(line, nproc)
    run = runs.new_run()
    try:
        plan = prepare(line, cell, shell, run, placement)
        module = run.main.read_text(encoding="utf-8")
    finally:
        runs.discard(run)
    title = f"{cell.label} would run on {workers(plan.placement.labels)}; nothing was started"
    cells = ((shell.label(name) or name, ran) for name, ran in shell.cells.all())
    past = recall(cells, shell.transform)
    _display(take_inventory(plan.definitions, module, shell.user_ns, past, title), shell, line.ui)


def _display(inventory: Inventory, shell: Shell, ui: str | None) -> None:
    if (ui or shell.ui) != "plain":
        shell.show({"text/html": page(inventory), "text/plain": text(inventory)})
    elif shell.is_terminal and "NO_COLOR" not in os.environ:
        shell.write(text(inventory, lambda code: shell.coloured(tokens(code))))
    else:
        shell.write(text(inventory))
