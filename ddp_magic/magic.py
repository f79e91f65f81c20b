"""Runs in the kernel: the magics. They parse, hand over and display; the work is done elsewhere."""

from __future__ import annotations

import atexit
import contextlib
import functools
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from ddp_magic import options
from ddp_magic.completion import completions
from ddp_magic.config import DdpMagic
from ddp_magic.errors import DdpError, UserError
from ddp_magic.line.splitting import joined
from ddp_magic.masking import mask_text
from ddp_magic.platforms import elsewhere
from ddp_magic.runs import Runs
from ddp_magic.shell import Shell
from ddp_magic.standby import Keeper
from ddp_magic.views import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from ddp_magic.launch import LaunchSpec

__all__ = ["DdpMagics", "load", "unload"]

P = ParamSpec("P")
T = TypeVar("T")


def _usage(function: Callable[P, T]) -> Callable[P, T]:
    """Turn a `UserError` into IPython's `UsageError`: one line, no traceback.

    Errors quote what users and workers wrote, so they pass the escape: a terminal obeys what an
    exception's message holds.
    """

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise UsageError(escape.plain(mask_text(str(error)))) from None
        except DdpError as error:
            error.args = (escape.plain(str(error)),)
            raise

    return told


@magics_class
class DdpMagics(Magics):
    """%%ddp and the line magics beside it."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.front = Shell(shell)
        self.runs = Runs()
        self.settings = DdpMagic(shell.config)
        self.standby = Keeper(self.runs, self.settings, self._likely)

    @no_var_expand
    @line_cell_magic
    @_usage
    def ddp(self, line: str, cell: str | None = None) -> Any:  # noqa: D102  (set below, from the options)
        entered = time.time()
        line, cell = joined(line, cell)
        asked = options.parse(line, alone=cell is None)
        whole = self.front.cell(cell)
        # imported late, as in `_likely`: %load_ext is to take no time
        from ddp_magic.run import Run

        if asked.show:
            from ddp_magic import showing

            return showing.show(asked, whole, self.front, self.runs, self.settings.nproc)
        return Run(asked, whole, self.front, self.runs, self.standby, entered=entered).execute()

    ddp.__doc__ = options.help_text()

    @no_var_expand
    @line_cell_magic
    @_usage
    def ddp_setup(self, line: str, cell: str | None = None) -> None:
        """Run this cell here now, and first in every worker of later %%ddp cells.

        ``%%ddp_setup`` begins a cell for what cannot be sent to workers, so that each has to do it
        itself: open a connection or a file, log in, patch a library in a function, set up logging
        or warnings, seed random generators. Workers run such cells in the order in which they first
        ran here, before all else, in the processes that they spawn too; put what those must not
        repeat below ``if __name__ == "__main__":``.

        What the cell binds is made by each worker itself and does not travel, unless the notebook
        has bound the name to something else since. Running the cell again replaces it.

        ``%ddp_setup`` lists the setup cells, ``%ddp_setup --clear`` drops them all, and
        ``%ddp_setup --clear 4`` drops that of Cell In[4].
        """
        setups = self.front.setup_cells
        if cell is None:
            self.front.write(setups.manage(line))
            return
        setups.check(line, self.front.cell(cell))
        raise UserError("Only a cell's first line makes a setup cell. Write %%ddp_setup there.")

    def cell_ended(self, *_: object) -> None:
        """Let the next workers start: a cell has ended."""
        self.standby.cell_ended()

    def close(self) -> None:
        """Stop what runs and what waits, and remove the files."""
        self.standby.close()
        self.runs.close()

    @line_magic
    @_usage
    def ddp_status(self, _line: str = "") -> None:
        """Say what every run does that goes on, what the last one came to, and what waits."""
        lines = [*self.runs.status(time.time()), self.standby.status()]
        self.front.write("\n".join(lines) + "\n")

    @line_magic
    @_usage
    def ddp_config(self, line: str = "") -> None:
        """Show the settings, or set some: ``%ddp_config nproc=4 standby=off``.

        ``c.DdpMagic.nproc = 4`` in IPython's configuration file and ``DDP_MAGIC_NPROC=4`` in the
        environment set them for every notebook.
        """
        for word in line.split():
            name, _, text = word.partition("=")
            self.settings.set(name, text)
        if line.strip():
            self.standby.configured()
        else:
            self.front.write(self.settings.table())

    @line_magic
    @_usage
    def ddp_stop(self, line: str = "") -> None:
        """Interrupt the newest run, or another (``%ddp_stop run-3``); a second time kills it.

        A cell that blocks keeps other cells waiting, so use this from a subshell console
        (JupyterLab: right-click, New Subshell Console), or press Stop.
        """
        self.runs.find(line.strip()).stop()

    @line_magic
    @_usage
    def ddp_stacks(self, line: str = "") -> None:
        """Show where every rank is, in notebook lines; works while ranks hang in a collective.

        Of the newest run that goes on, or of that of a name: ``%ddp_stacks run-3``.
        """
        self.front.write(self.runs.find(line.strip()).stacks() + "\n")

    @line_magic
    @_usage
    def ddp_output(self, line: str) -> Any:
        """Fetch a variable that the last run's cell bound in rank 0: ``%ddp_output model``.

        ``%ddp_output model run-3`` has that of another run, until the next one begins.
        """
        name, _, run = line.strip().partition(" ")
        value = self.runs.left(run.strip()).fetch(name)
        self.front.bind({name: value})
        return value

    @no_var_expand
    @line_magic
    @_usage
    def ddp_runs(self, line: str = "") -> None:
        """List past runs; show one, or compare some: ``%ddp_runs 12 15``.

        ``state=failed``, ``lr=0.05`` and words choose runs, ``sort=loss`` and ``sort=-acc`` have
        the best first, ``last=50`` lists more; ``--compare last=2`` compares what they choose;
        ``--delete 12`` and ``--clear`` remove records.
        """
        from ddp_magic.history.answering import answer

        answer(line, self.front, self.runs.history, on=self.settings.history)

    def _likely(self, size: int | None) -> LaunchSpec:
        import_module("ddp_magic.run")  # the first run needs it, and nobody waits for it now
        if self.front.ui == "widget":
            with contextlib.suppress(ImportError):
                import_module("ddp_magic.views.widget")
        from ddp_magic.start import likely

        return likely(size, self.settings.nproc)


_loaded: dict[int, DdpMagics] = {}


@_usage
def load(shell: InteractiveShell) -> None:
    """Register the magics; a second time does nothing."""
    if id(shell) in _loaded:
        return
    sys.stderr.write(elsewhere(sys.platform))
    magics = _loaded[id(shell)] = DdpMagics(shell)
    shell.register_magics(magics)
    magics.front.listen(completions)
    _configurables(shell).append(magics.settings)
    shell.events.register("post_run_cell", magics.cell_ended)
    magics.standby.loaded()
    atexit.register(magics.close)


def unload(shell: InteractiveShell) -> None:
    """Stop what runs, remove the files and forget the magics."""
    magics = _loaded.pop(id(shell), None)
    if magics is None:
        return
    atexit.unregister(magics.close)
    _configurables(shell).remove(magics.settings)
    shell.events.unregister("post_run_cell", magics.cell_ended)
    magics.close()
    magics.front.close()
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)


def _configurables(shell: InteractiveShell) -> list[Any]:
    """Return what %config knows; IPython's own annotation says that it is all shells."""
    return shell.configurables
