"""Runs in the kernel: all of a run that can be refused, before any process starts."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ddp_magic import devices, overrides, script
from ddp_magic.collect import Collector, pitfalls
from ddp_magic.errors import OptionError, PlaceError
from ddp_magic.events import RunStarted
from ddp_magic.line.counts import check_ranks
from ddp_magic.nvml import Nvml
from ddp_magic.trainer import find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ddp_magic.collect import Definitions, Reached
    from ddp_magic.collect.notebook import Cell
    from ddp_magic.devices import Placement
    from ddp_magic.options import Options
    from ddp_magic.overrides import Bound
    from ddp_magic.rundir import RunDir
    from ddp_magic.shell import Shell
    from ddp_magic.trainer import Trainer

__all__ = ["Prepared", "place", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that nothing speaks against any more; its module is written.

    Attributes:
        options: The line.
        cell: The cell.
        run: The directory.
        placement: Which rank runs where.
        bound: What each override goes to.
        stores: Names that the body binds.
        definitions: What was collected.
        shown: The ranks whose output the main view shows.
    """

    options: Options
    cell: Cell
    run: RunDir
    placement: Placement
    bound: tuple[Bound, ...]
    stores: tuple[str, ...]
    definitions: Definitions
    shown: tuple[int, ...]

    def begins(self, now: float) -> RunStarted:
        """Return the event that the run begins with."""
        return RunStarted(
            time=now,
            run_id=self.run.run_id,
            label=self.cell.label,
            world_size=self.placement.world_size,
            devices=self.placement.labels,
            overrides=tuple(b.shown for b in self.bound),
            note=self.options.note,
            log_dir=str(self.run.logs),
            shown=self.shown,
            name=self.options.name,
        )


def place(
    options: Options, nproc: int | None, claims: Mapping[str, str] | None = None
) -> Placement:
    """Choose where the workers run.

    Args:
        options: The line.
        nproc: How many there are where the line does not say; None leaves that to the machine.
        claims: Which GPUs runs of this notebook hold, as `devices.choose` has it.

    Raises:
        UserError: What was asked for is not there, or the machine does not let us.
    """
    _check_here()
    own = {} if nproc is None else {"DDP_MAGIC_NPROC": str(nproc)}
    placement = devices.choose(
        options,
        Nvml(),
        environ={**os.environ, **own},
        kernel_pid=os.getpid(),
        cuda_build=devices.torch_has_cuda(),
        claims=claims,
    )
    check_ranks(options, placement.world_size)
    return placement


def prepare(
    options: Options,
    cell: Cell,
    shell: Shell,
    run: RunDir,
    placement: Placement,
    *,
    mark: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Check everything, collect the notebook and write the module into `run`.

    `mark` is told when everything is collected and when it is written.

    Raises:
        UserError: Something in the line, the cell or the notebook is to be mended first.
        SyntaxError: The body does not parse; it names the cell and its line.
    """
    trainer = find(options.trainer, shell.user_ns, shell.hidden) if options.trainer else None
    cell = trainer.headed(cell) if trainer else cell
    collector = Collector(cell, shell, run, shell.cells)
    reached = collector.gather()
    _check_outputs(options, reached, shell)
    bound = _bound(options, reached, shell, trainer, placement)
    mark("collected")
    definitions = _warned(collector.finish(bound, dry=options.show), reached, shell, placement)
    script.write(definitions, run, header=_header(options, definitions, placement))
    mark("written")
    return Prepared(
        options=options,
        cell=cell,
        run=run,
        placement=placement,
        bound=bound,
        stores=tuple(sorted(reached.stores)),
        definitions=definitions,
        shown=tuple(range(placement.world_size)) if options.rank == "all" else options.rank,
    )


def _bound(
    options: Options,
    reached: Reached,
    shell: Shell,
    trainer: Trainer | None,
    placement: Placement,
) -> tuple[Bound, ...]:
    """Find what each override goes to."""
    bound = overrides.resolve(
        options.overrides,
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=shell.user_ns,
        trainer=trainer and trainer.calls,
    )
    if trainer:
        trainer.require_complete(bound)
        trainer.require_plain(options.output)
        trainer.check(bound, placement.world_size, any(placement.env.values()))
    return bound


def _warned(
    definitions: Definitions, reached: Reached, shell: Shell, placement: Placement
) -> Definitions:
    """Add notes on what would quietly go wrong."""
    found = pitfalls.look(
        definitions,
        reached,
        shell.user_ns,
        shell.cells,
        ranks=placement.world_size,
        gpus=any(placement.env.values()),
    )
    return replace(definitions, notes=(*definitions.notes, *found))


def _check_here() -> None:
    """Refuse a working directory that is gone, in which no process can start."""
    try:
        os.getcwd()
    except OSError:
        raise PlaceError(
            "The notebook's working directory does not exist any more, and the workers would "
            "start in it. Change to another with os.chdir(...)."
        ) from None


def _check_outputs(options: Options, reached: Reached, shell: Shell) -> None:
    """Refuse an -o name that nothing can bind."""
    known = {n for n in shell.user_ns if not n.startswith("_") and not shell.hidden(n)}
    for name in options.output:
        if name not in reached.stores and name not in known:
            close = difflib.get_close_matches(name, sorted(reached.stores | known), 1)
            hint = f"Did you mean {close[0]}?" if close else "Assign it in this cell."
            raise OptionError(
                f"-o {name}: neither this cell nor the notebook has a variable {name}. {hint}"
            )


def _header(options: Options, definitions: Definitions, placement: Placement) -> list[str]:
    """Return the comment lines at the head of the module."""
    label, size = definitions.cell.label, placement.world_size
    lines = [f"{label} on {size} workers: {', '.join(placement.labels)}"]
    if definitions.setups:
        lines.append("first in each: " + ", ".join(definitions.setups))
    if definitions.overrides:
        lines.append("overrides: " + ", ".join(b.shown for b in definitions.overrides))
    if options.trainer:
        lines.append(f"trainer: {options.trainer}; the cell itself runs in rank 0 only, after it")
    if options.note:
        lines.append(f"note: {options.note}")
    return lines
