"""Runs in the kernel: where a run's processes come from, the standby's or new ones."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from ddp_magic.displays import settings
from ddp_magic.documents import encoded
from ddp_magic.environment import environment
from ddp_magic.launch import Guard, LaunchSpec
from ddp_magic.options import parse, torchrun_argv
from ddp_magic.prepare import place
from ddp_magic.rundir import RunDir
from ddp_magic.standby import ahead, birth

if TYPE_CHECKING:
    from ddp_magic.devices import Placement
    from ddp_magic.options import Options
    from ddp_magic.prepare import Prepared
    from ddp_magic.runs import Runs
    from ddp_magic.shell import Shell
    from ddp_magic.standby import Keeper

__all__ = ["Start", "likely", "spec_for"]

_FIRST = 2
"""How many workers wait at most before the first run."""


def spec_for(line: Options, placement: Placement, *, columns: int, colour: bool) -> LaunchSpec:
    """Return what to start for a line."""
    size = placement.world_size
    return LaunchSpec(
        world_size=size,
        restarts=line.restarts,
        grace=line.grace,
        torchrun=tuple(torchrun_argv(line, size)),
        environ=environment(
            os.environ,
            world_size=size,
            devices=placement.env,
            columns=columns,
            colour=colour,
            extra=dict(line.env),
        ),
        cwd=os.getcwd(),
        inherited=birth.inherited(),
    )


def likely(size: int | None, nproc: int | None) -> LaunchSpec:
    """Return what a run without options would start.

    Args:
        size: Of so many workers; None for as many as there would be, two at most.
        nproc: The user's setting.
    """
    line = parse("" if size is None else f"--nproc {size}")
    placement = place(line, nproc)
    if size is None and placement.world_size > _FIRST:
        return likely(_FIRST, None)
    return spec_for(line, placement, columns=100, colour=False)


class Start:
    """One run's start: claims the standby at once, so that it wakes while we collect.

    Attributes:
        run: The run's directory.
    """

    def __init__(
        self, line: Options, placement: Placement, shell: Shell, runs: Runs, keeper: Keeper
    ) -> None:
        self._line = line
        self._shell = shell
        self._runs = runs
        self._keeper = keeper
        self._placement = placement
        self._columns = shutil.get_terminal_size().columns if shell.is_terminal else 100
        self._asked = self._spec(colour=False)
        self._group = keeper.claim(self._asked, cold=line.cold)
        self._known = self._group.told if self._group and self._group.ready else ""
        self.run = self._group.run if self._group else runs.new_run()

    def _spec(self, *, colour: bool) -> LaunchSpec:
        columns = self._columns
        return spec_for(self._line, self._placement, columns=columns, colour=colour)

    def undo(self) -> None:
        """Leave everything as it was: the run was refused."""
        self._keeper.put_back(self._group)
        if self._group is None:
            self._runs.discard(self.run)

    def settle(self, plan: Prepared) -> Prepared:
        """Make sure of the standby; where it cannot be had, return the plan for a cold run."""
        why = self._why_not(plan)
        if self._group is None or not why:
            return plan
        new = self._runs.new_run()
        self.run.move(new)  # before what is refused is removed
        hung, self._group, self.run = self._group, None, new
        self._keeper.refuse(hung, why)
        return replace(plan, run=new)

    def _why_not(self, plan: Prepared) -> str:
        """Return what speaks against the group that was claimed, now that it must be there."""
        if self._group is None:
            return ""
        if early := birth.read_early(plan.definitions.environ):
            names = ", ".join(early)
            return f"the cell sets {names}, which imported libraries may have read (see --env)"
        if not self._group.present():
            return "the waiting workers did not answer"
        # while it was still importing, nobody could tell what
        known = self._known and self._known == self._group.told
        return "" if known else self._group.differs(self._asked)

    def launch(self, plan: Prepared, *, colour: bool) -> Guard:
        """Start the run's processes, or give those that wait their job.

        Raises:
            LaunchFailed: They could not be started.
        """
        spec = self._spec(colour=colour)
        job = {
            "outputs": self._line.output,
            "stores": plan.stores,
            "gpus": any(plan.placement.env.values()),
            "grace": spec.grace,
            "cwd": spec.cwd,
            "packages": sorted(plan.definitions.packages),
            "displays": settings(self._shell.formatter, wide=not self._shell.is_terminal),
            "late": birth.late(self._group.spec, spec) if self._group else {},
        }
        self.run.write(self.run.job, encoded(job))
        self._keeper.expect(spec, ahead.preloadable(plan.definitions))
        if self._group is None:
            return Guard(self.run, spec)
        self._runs.waiting = None
        self._group.go()
        return self._group.guard

    def renewed(self) -> bool:
        """Whether what waited was killed before any worker began; the run can then start anew.

        To be asked when no process is left; `launch` will start new ones in the same directory.
        """
        if self._group is None or not self._group.untouched():
            return False
        self._group = None
        self._keeper.why_cold = "the waiting workers were killed as the cell began"
        old = RunDir(self.run.path.with_name(f"left-{self.run.run_id}"))
        self.run.path.rename(old.path)
        self.run = RunDir.create(self.run.path)
        old.job.unlink(missing_ok=True)
        old.move(self.run)
        old.remove()
        return True
