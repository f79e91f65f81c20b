"""Runs in the kernel: starts a guard with its worker group, and is the client of one."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic import recorder
from ddp_magic.documents import encoded
from ddp_magic.errors import LaunchFailed
from ddp_magic.processes import MARK, kill_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddp_magic.rundir import RunDir

__all__ = ["Guard", "LaunchSpec", "said"]

_PACKAGE = Path(__file__).parent
_AGENT = _PACKAGE / "agent.py"
_OBEYS_WITHIN = 15.0
"""Seconds that a guard gets to kill everything before we do it, and it, ourselves."""
_TOGETHER = 0.2
"""Seconds between a guard's death and our sweep.

A kernel that is killed together with its guard often lives a little longer. Should it kill the
agent in that time and then die, nobody is left to remove the directory.
"""


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """What to start.

    Attributes:
        world_size: Number of workers.
        restarts: torch's max_restarts.
        grace: Seconds between the polite signal and the kill.
        torchrun: Arguments for torch.distributed.run's parser.
        environ: The workers' whole environment, but for the run's mark.
        cwd: The notebook's working directory.
        inherited: What else processes take over from the kernel (`standby.birth`).
        standby: Seconds that the workers wait for a job; None where it is there.
        preload: What they import meanwhile: what the job's module imports too.
        lazy: What else they may import, of what libraries import when they need it.
        hesitation: Seconds for which they wait before these, where no run has needed them yet.
    """

    world_size: int
    restarts: int
    grace: float
    torchrun: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: str
    inherited: Mapping[str, Any] = field(default_factory=dict[str, Any])
    standby: float | None = None
    preload: tuple[str, ...] = ()
    lazy: tuple[str, ...] = ()
    hesitation: float = 0

    def write(self, run: RunDir) -> None:
        """Make the run's pipes and write what guard and agent read."""
        for rank in range(self.world_size):
            for stream in ("stdout", "stderr"):
                os.mkfifo(run.pipe(rank, stream), 0o600)
            if self.standby is not None:
                os.mkfifo(run.hand_over(rank), 0o600)
        os.mkfifo(run.news, 0o600)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
        agent = [sys.executable, *flags, str(_AGENT), str(run.path)]
        spec = {
            "kernel": os.getpid(),
            "world_size": self.world_size,
            "restarts": self.restarts,
            "grace": self.grace,
            "agent": agent,
            "torchrun": list(self.torchrun),
            "worker": [str(_PACKAGE / "worker" / "boot.py")],
            "flags": flags,
            "standby": self.standby,
            "preload": self.preload,
            "lazy": self.lazy,
            "hesitation": self.hesitation,
        }
        run.write(run.spec, encoded(spec))


class Guard:
    """The client of one guard; also of its afterlife, in which it watches over the directory."""

    def __init__(self, run: RunDir, spec: LaunchSpec) -> None:
        """Start the guard, which starts everything else.

        Raises:
            LaunchFailed: The process could not be started.
        """
        self.run = run
        spec.write(run)
        command = [
            sys.executable,
            "-I",
            "-S",
            str(_PACKAGE / "guard" / "__main__.py"),
            str(run.path),
        ]
        with open(run.path / "guard.log", "xb") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # Jupyter interrupts and kills the kernel's whole process group.
                    start_new_session=True,
                    env={
                        **spec.environ,
                        **recorder.environment(run, spec.environ),
                        MARK: str(run.path),
                    },
                    cwd=spec.cwd,
                )
            except OSError as error:
                raise LaunchFailed(
                    f"The workers could not be started: {error}. Check the working directory "
                    "and the machine's process limit."
                ) from None
        assert self._process.stdout is not None
        self.lost = False
        self._to_kill_by: float | None = None

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is news (for `select`)."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def wait(self, seconds: float, *also: int) -> None:
        """Sleep until there is news, one of the descriptors `also` is readable, or time is up.

        Sets `lost` when the guard is gone, having killed what it left behind.
        """
        watched = [*also] if self.lost else [self.fileno(), *also]
        ready, _, _ = select.select(watched, [], [], seconds)
        for fd in also:
            if fd in ready:
                os.read(fd, 4096)
        if self.lost:
            return
        gone = self.fileno() in ready and not os.read(self.fileno(), 4096)
        if self._to_kill_by is not None and time.monotonic() > self._to_kill_by:
            self._process.kill()  # someone has stopped it (SIGSTOP), or its disk hangs
            gone = True
        if gone:
            self.lost = True
            self.sweep()

    @property
    def pid(self) -> int:
        """The guard's process."""
        return self._process.pid

    def adopted(self) -> None:
        """Say that a run has taken this standby: its job is written."""
        self._command("A")

    def interrupt(self) -> None:
        """Have every worker get KeyboardInterrupt, and the grace begin."""
        self._command("I")

    def extend(self, seconds: int) -> None:
        """Move the kill of a run that was interrupted so many seconds away."""
        self._command("L" * seconds)

    def kill(self) -> None:
        """Have everything killed now."""
        if self._to_kill_by is None:
            self._to_kill_by = time.monotonic() + _OBEYS_WITHIN
        self._process.send_signal(signal.SIGCONT)  # should someone have stopped it
        self._command("K")

    def stacks(self) -> None:
        """Have every worker write its stacks."""
        self._command("S")

    def destroy(self) -> None:
        """Kill the guard, which does not obey, and all that it guards."""
        self._process.kill()
        self.sweep()
        self._process.wait()

    def dismiss(self) -> None:
        """Let the guard leave when its work is done, without removing anything."""
        self._command("X")
        self._close()

    def hang_up(self) -> None:
        """Let the guard know that the kernel is gone: it kills what runs, and leaves.

        The last of several removes the kernel's directory, and each waits for that of the others.
        """
        self._process.send_signal(signal.SIGCONT)
        self._close()

    def end(self) -> None:
        """Kill what runs, wait for the guard to leave, and reap it."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)

    def reaped(self) -> bool:
        """Return whether the guard has left, reaping it."""
        return self._process.poll() is not None

    def sweep(self) -> None:
        """Kill every process of this run that outlived its guard."""
        time.sleep(_TOGETHER)
        kill_marked(self.run.path)

    def _command(self, letter: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(letter.encode())
            self._process.stdin.flush()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def said(run: RunDir, sequence: Sequence[str] = ("guard.log", "agent.log")) -> str:
    """Return the last lines of the guard's and the agent's own words, for when they failed."""
    text = ""
    for name in sequence:
        with contextlib.suppress(OSError):
            text += (run.path / name).read_text(errors="replace")[-4000:]
    return text.strip()
