"""The worker of one rank: becomes the user's program, brings results back, tells how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import warnings
from json import dumps, loads  # now: the user's program may put another in its place
from typing import TYPE_CHECKING, NoReturn

from ddp_magic.news import tell
from ddp_magic.results import save as results
from ddp_magic.sourcemap import SourceMap
from ddp_magic.worker import errors, frameworks, lifeline, stdio
from ddp_magic.worker.absent import absent, wait_for_first
from ddp_magic.worker.changes import Changes
from ddp_magic.worker.display import Displays
from ddp_magic.worker.metrics import Reporter
from ddp_magic.worker.program import NO_VALUE, Program
from ddp_magic.worker.saves import Saves
from ddp_magic.worker.store import connect
from ddp_magic.worker.termination import Termination, die_of, ignore
from ddp_magic.worker.waiting import Waiting

if TYPE_CHECKING:
    from ddp_magic.rundir import RunDir

__all__ = ["Rank"]

_PARTING = 1.0
"""Seconds that a rank that is done gives the others to end too."""
_LOOK = 0.01


class Rank:
    """One worker; `main` is its story."""

    def __init__(self, run: RunDir, lifeline_fd: int) -> None:
        self.run = run
        self.lifeline = lifeline_fd
        self.rank = int(os.environ["RANK"])
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        self.before: dict[str, object] = {}
        self.imported: set[str] = set()
        self.changes: Changes | None = None
        self.grouped: bool | None = None
        self.reporter = Reporter(run, self.rank)
        self.displays = Displays(run, self.rank)

    def main(self) -> NoReturn:
        """Run the job and leave; never returns."""
        lifeline.free_stdin()
        stdio.open_streams()
        stdio.stacks_on_signal(self.run, self.rank)
        stdio.prefer_for_oom()
        lifeline.watch(self.lifeline)
        frameworks.attend()
        if self.attempt == 0 and self.run.hand_over(self.rank).exists():
            Waiting(self.run, self.rank).main()
        identity = {"rank": self.rank, "attempt": self.attempt, "pid": os.getpid()}
        tell(self.run, ev="worker", local_rank=self.local_rank, **identity)
        self.take_job()
        code, value = self.train()
        with contextlib.suppress(OSError):  # a full disk must not change how a run ends
            self.reporter.flush()
        if code == 0:  # before a figure is saved: pyplot would open it again in the kernel
            self.displays.end()
        if self.rank == 0:
            tell(self.run, ev="group", used=grouped() if self.grouped is None else self.grouped)
            self.tell_imports()
            self.save(code, value)
            with contextlib.suppress(OSError):
                self.run.over(self.attempt).touch(0o600)
        if code:  # drawing takes time, and the guard gives it only so much
            self.displays.end()
        if code == 0:
            self.part()
        tell(self.run, ev="done", code=code, **identity)
        # A thread of the user's may never end, and is joined now.
        die_of(signal.SIGINT, code)
        die_of(signal.SIGTERM, code)
        stdio.leave(code)

    def take_job(self) -> None:
        """Read what is to be done."""
        self.job = loads(self.run.job.read_bytes())
        self.source_map = SourceMap.read(self.run.source_map)
        self.program = Program(self.run)

    def train(self) -> tuple[int, object]:
        """Run the user's program; return the exit code and the body's value."""
        value, finished, lacks, failed = NO_VALUE, False, False, None
        try:
            try:
                Termination(raises=self.rank == 0, failing=self.tell_unfinished)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                value = self.run_program()
                finished = True
            except BaseException as error:
                failed = error
            lacks = self.rank > 0 and absent(failed) is not None
            if failed is not None and lacks:
                self.tell_error(failed, errors.Kind.UNFINISHED)  # an error of rank 0's own counts
                print(f"rank {self.rank} failed: {failed}; it waits for rank 0", file=sys.stderr)
                wait_for_first(self.run.over(self.attempt))
            ignore()
        except BaseException as late:  # a signal between two lines above
            ignore()
            failed = failed or (None if finished else late)
        if failed is None:
            return 0, value
        code = errors.exit_code(failed)
        if (code or not isinstance(failed, SystemExit)) and not lacks:
            self.tell_error(failed, errors.kind(failed))
        return code, NO_VALUE

    def run_program(self) -> object:
        """Run definitions and body; return the body's value."""
        self.set_device()
        self.reporter.begin()
        self.displays.begin(self.job["displays"])
        Saves(self.run.saves(self.rank, self.attempt)).begin()
        self.program.define()
        self.imported = {*sys.modules}
        self.before = dict(self.program.namespace)
        if self.rank == 0:
            with contextlib.suppress(Exception):  # all that it is for is a note
                self.changes = Changes(self.program.namespace, self.program.values)
        tell(self.run, ev="running", rank=self.rank, attempt=self.attempt)
        if self.program.trains:
            self.program.train()
            self.grouped = grouped()
            self.part()
            self.program.go_alone(self.rank)
        return NO_VALUE if self.program.trains and self.rank else self.program.body()

    def set_device(self) -> None:
        """Make this rank's GPU the current one, so that plain ``.cuda()`` means it."""
        if self.job["gpus"]:
            import torch

            torch.cuda.set_device(self.local_rank)

    def part(self) -> None:
        """Give the other ranks a moment to end too.

        A peer that leaves right after init_process_group() or its last collective resets
        connections which the others may still be setting up or reading from.
        """
        dist = sys.modules.get("torch.distributed")
        if dist is None or not dist.is_available() or not dist.is_initialized():
            return
        keys = [f"ddp_magic/{rank}" for rank in range(int(os.environ.get("WORLD_SIZE", "1")))]
        with contextlib.suppress(Exception):  # the store is gone
            store = connect()
            store.set(keys[self.rank], "")
            # not wait(), which prints a warning when the time is over
            until = time.monotonic() + _PARTING
            while not store.check(keys) and time.monotonic() < until:
                time.sleep(_LOOK)

    def tell_error(self, error: BaseException, kind: errors.Kind) -> None:
        """Record why the program ended."""
        errors.record(
            self.run,
            error,
            rank=self.rank,
            attempt=self.attempt,
            source_map=self.source_map,
            kind=kind,
        )

    def tell_unfinished(self, error: BaseException) -> None:
        """Record the error that this rank was handling when it was stopped."""
        if errors.kind(error) == errors.Kind.OWN:
            self.tell_error(error, errors.Kind.UNFINISHED)

    def tell_imports(self) -> None:
        """Record what the body's libraries imported when they needed it, for the next workers."""
        with contextlib.suppress(Exception):  # whatever the program has put into sys.modules
            mine = {*self.job["packages"], "torch"} - sys.stdlib_module_names
            # a module moves to the end when its import is done: whoever asked for others is last
            new = [name for name in reversed(sys.modules) if name not in self.imported]
            late = [name for name in new if name.partition(".")[0] in mine]
            self.run.write(self.run.imported("late"), dumps({"late": late}))

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
            left=self.left_behind(code, value),
        )

    def left_behind(self, code: int, value: object) -> dict[str, str]:
        """Return which of the notebook's values were changed and stay here, each with a verb.

        Told after success and an interrupt: after a failure it is the error that matters.
        """
        if self.changes is None or code not in (0, 128 + signal.SIGINT):
            return {}
        space, stores = self.program.namespace, self.job["stores"]
        brought = [value, *(space[name] for name in self.job["outputs"] if name in space)]
        with contextlib.suppress(Exception):
            return self.changes.left_behind(space, stores=stores, brought=brought)
        return {}


def grouped() -> bool:
    """Return whether a process group was made, be it destroyed again by now.

    `init_process_group` replaces the excepthook, and leaves keys in the store of our rendezvous,
    which lives in the agent, unless the program meets at a file or an address of its own.
    """
    dist = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_available():
        return False
    hook = getattr(sys.excepthook, "__module__", None)
    if dist.is_initialized() or hook == "torch.distributed.distributed_c10d":
        return True
    try:
        return connect().num_keys() > 0
    except Exception:  # a store that is gone tells nothing, and a false alarm is worse than none
        return True
