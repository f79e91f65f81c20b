"""Runs in the kernel: a run that goes on without its cell, in a thread of its own.

Preparing and starting are over; the thread does what the cell would have done next: follow, obey,
load what came back, draw the record, remove the files. It changes the notebook between cells only.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ddp_magic import outcome
from ddp_magic.events import Detached
from ddp_magic.views import escape

if TYPE_CHECKING:
    from contextlib import ExitStack

    from ddp_magic.errors import DdpError
    from ddp_magic.run import Run

__all__ = ["go_on"]


def go_on(run: Run, held: ExitStack) -> None:
    """Have the run go on in a thread, which takes over what it holds."""
    rest = held.pop_all()
    run.blocking = False
    run.drawing.quiet = not run.shell.in_kernel
    run.drawing.show(Detached(time=time.time()))
    run.thread = run.origin.thread(lambda: _finish(run, rest), f"ddp_magic {run.run_id}")
    try:
        run.thread.start()
    except BaseException:
        rest.close()
        raise


def _finish(run: Run, held: ExitStack) -> None:
    """Do the rest of `Run.execute`; whatever happens, no process is left and it is told."""
    try:
        with held:
            run.follow(held)
            value = run.end()
    except BaseException as error:  # nobody else would see it
        told = outcome.told(error)
        told.args = (escape.plain(str(told)),)
        _fail(run, told)
    else:
        run.future.set_result(value)
    run.keeper.cell_ended()


def _fail(run: Run, error: DdpError) -> None:
    """Keep the error for those who ask, and show it below the record, as a cell's own would be."""
    run.shell.write(f"{error}\n", stderr=True)
    run.future.set_exception(error)
