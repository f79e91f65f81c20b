"""The worker of one rank: becomes the user's program, brings results back, tells how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from ddp_magic.news import tell
from ddp_magic.results import save as results
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import errors, lifeline, stdio
from ddp_magic.worker.program import NO_VALUE, Program
from ddp_magic.worker.termination import Terminated, Termination

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Rank"]


class Rank:
    """One worker; `main` is its story."""

    def __init__(self, run: RunDir, lifeline_fd: int) -> None:
        self.run = run
        self.lifeline = lifeline_fd
        self.rank = int(os.environ["RANK"])
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        self.job = json.loads(run.job.read_bytes())
        self.termination: Termination
        self.program = Program(run)
        self.before: dict[str, object] = {}

    def main(self) -> NoReturn:
        """Run the job and leave; never returns."""
        lifeline.free_stdin()
        stdio.open_streams()
        stdio.stacks_on_signal(self.run, self.rank)
        stdio.prefer_for_oom()
        identity = {"rank": self.rank, "attempt": self.attempt, "pid": os.getpid()}
        tell(self.run, ev="worker", local_rank=self.local_rank, **identity)
        lifeline.watch(self.lifeline)
        self.termination = Termination(raises=self.rank == 0, failing=self.tell_unfinished)
        code, value = self.train()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if self.rank == 0:
            tell(self.run, ev="group", used=grouped())
            self.save(code, value)
        tell(self.run, ev="done", code=code, **identity)
        stdio.leave(code)

    def train(self) -> tuple[int, object]:
        """Run the user's program; return the exit code and the body's value."""
        try:
            self.set_device()
            self.program.define()
            self.before = dict(self.program.namespace)
            tell(self.run, ev="running", rank=self.rank, attempt=self.attempt)
            return 0, self.program.body()
        except BaseException as error:
            code = errors.exit_code(error)
            if code or not isinstance(error, SystemExit):
                self.tell_error(error)
            return code, NO_VALUE

    def set_device(self) -> None:
        """Make this rank's GPU the current one, so that plain ``.cuda()`` means it."""
        if self.job["gpus"]:
            import torch

            torch.cuda.set_device(self.local_rank)

    def tell_error(self, error: BaseException, kind: errors.Kind | None = None) -> None:
        """Record why the program ended, by default with the kind that the error itself shows."""
        if isinstance(error, Terminated):
            kind = errors.Kind.STOPPED
        errors.record(
            self.run,
            error,
            rank=self.rank,
            attempt=self.attempt,
            source_map=SourceMap.read(self.run.source_map),
            kind=kind or errors.kind(error),
        )

    def tell_unfinished(self, error: BaseException) -> None:
        """Record the error that this rank was handling when it was stopped."""
        if errors.kind(error) == errors.Kind.OWN:
            self.tell_error(error, errors.Kind.UNFINISHED)

    def save(self, code: int, value: object) -> None:
        """Write what comes back: the named outputs, the value, and what the body bound."""
        warnings.simplefilter("ignore")
        space = self.program.namespace
        # A name that a stopped body had not reached still holds the notebook's old value.
        unset = {
            name
            for name in self.job["stores"]
            if code and name in self.before and space.get(name) is self.before[name]
        }
        results.save(
            self.run,
            {name: obj for name, obj in space.items() if name not in unset},
            self.program.sender(),
            outputs=self.job["outputs"],
            bound=self.job["stores"],
            value=() if value is NO_VALUE else (value,),
        )


def grouped() -> bool:
    """Return whether a process group was made, be it destroyed again by now.

    `init_process_group` leaves keys in the store of our rendezvous, which lives in the agent.
    """
    dist = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_available():
        return False
    if dist.is_initialized():
        return True
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(*address, is_master=False, timeout=timedelta(seconds=5))
        return store.num_keys() > 0
    except Exception:  # a store that is gone tells nothing, and a false alarm is worse than none
        return True
