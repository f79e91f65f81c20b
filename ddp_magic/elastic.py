"""Runs in the agent: the few things in which our torch.distributed.run differs; see `agent`."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, Any

from torch.distributed.elastic.multiprocessing.api import LogsDest, LogsSpecs, PContext

from ddp_magic.processes import LINUX

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Pipes", "wait_for_ever", "watch_workers"]

_NEVER = 10**8  # seconds
_LOOK = 5.0
"""Seconds between two looks at workers of which nothing is heard."""
_TOGETHER = 0.05
"""Seconds in which ranks that fail of one cause may say so before the others are stopped."""


def wait_for_ever() -> None:
    """Leave all killing by the clock to the guard.

    torch grants 30 s after a failure whatever --shutdown-timeout says (pytorch PR 192815); a rank 0
    that is writing results may need longer, and one that hangs should get less.
    """
    close = PContext.close

    def patient(self: PContext, death_sig: Any = None, timeout: int = 0) -> None:
        del timeout
        close(self, death_sig, _NEVER)

    PContext.close = patient


def watch_workers() -> None:
    """Sleep until a worker ends, where torch looks ten times a second.

    A standby waits for minutes, and its agent is to cost nothing then.
    """
    wait = PContext.wait

    def patient(self: PContext, timeout: float = -1, period: float = 1) -> Any:
        if timeout == 0 and _ends(list(self.pids().values())):
            time.sleep(_TOGETHER)
        return wait(self, timeout, period)

    if LINUX:
        PContext.wait = patient


def _ends(pids: list[int]) -> bool:
    """Wait for the end of any of these processes; return whether one has ended."""
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        for pid in pids:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                return True
            stack.callback(os.close, pidfd)
            poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_LOOK * 1000))


class Pipes(LogsSpecs):
    """Makes every rank write to its own pipe, which the guard reads."""

    def __init__(self, run: RunDir) -> None:
        super().__init__()
        self._run = run

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Return where torch opens the workers' streams, and where it looks for their errors."""
        run = self._run
        return LogsDest(
            stdouts={r: str(run.pipe(r, "stdout")) for r in envs},
            stderrs={r: str(run.pipe(r, "stderr")) for r in envs},
            tee_stdouts=dict.fromkeys(envs, ""),
            tee_stderrs=dict.fromkeys(envs, ""),
            error_files={r: str(run.scratch / f"error.{r}.json") for r in envs},
        )

    @property
    def root_log_dir(self) -> str:
        """Return where torch puts what else it writes."""
        return str(self._run.scratch)
