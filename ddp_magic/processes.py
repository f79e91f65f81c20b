"""Processes as the operating system tells of them; standard library only, imported by every side.

A run's processes carry `MARK` in their environment, which children inherit however often they fork
and whatever session they move to. That is how what a killed guard left behind is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "LINUX",
    "MARK",
    "WAITING",
    "boot_id",
    "cpu_time",
    "descendants",
    "die_with_parent",
    "kill_all",
    "kill_marked",
    "marked",
    "named",
    "start_time",
    "stopped",
    "subreaper",
    "wait_gone",
]

LINUX = sys.platform == "linux"
MARK = "DDP_MAGIC_RUN"
"""Environment variable of agent and workers: the run's directory."""

WAITING = "ddp_standby"
"""What the system calls a worker that waits for a job."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def boot_id() -> str:
    """Return what tells this boot of this machine from every other; empty where unknown."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def start_time(pid: int) -> str | None:
    """Return when a living process started, in a form to compare; None where there is none.

    With the boot id it tells a process from a later one that got the same pid.
    """
    if not LINUX:
        shown = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip()
        return None if not shown or shown.startswith("Z") else shown.split(None, 1)[1]
    fields = _stat(pid)
    return None if fields is None or _dead(fields) else fields[19]


def stopped(pid: int) -> bool:
    """Whether somebody has stopped a process (SIGSTOP, a debugger; Linux)."""
    fields = _stat(pid) if LINUX else None
    return fields is not None and fields[0] in "Tt"


def cpu_time(pid: int) -> float:
    """Return the seconds that a process has computed so far; 0 where there is none (Linux)."""
    fields = _stat(pid) if LINUX else None
    return 0.0 if fields is None else sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def descendants(root: int, *, but: int | None = None) -> list[int]:
    """Return every living process below `root`, parents first; without `but` and all below it.

    One look at the process table: between two, `but` could have started another child.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = [root]
    while todo:
        below = [pid for pid in children.get(todo.pop(), []) if pid != but]
        found += below
        todo += below
    return found


def marked(run: Path) -> list[int]:
    """Return every living process of this user that belongs to a run in or below `run`.

    Linux only (elsewhere the environment of a process is not to be read): empty there.
    """
    want = f"\0{MARK}={run}".encode()
    found: list[int] = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            environment = b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
            at = environment.find(want)
            if at >= 0 and environment[at + len(want) :][:1] in (b"\0", b"/", b""):
                found.append(pid)
    # The newest first: should we be killed half-way, the agent is still there to go on.
    found.sort(reverse=True)
    return [p for p in found if p != os.getpid() and start_time(p) is not None]


def kill_all(find: list[int]) -> None:
    """Send SIGKILL to every one of these processes that is still there and ours."""
    for pid in find:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_marked(run: Path) -> None:
    """Kill every process of a run until none is seen in three looks.

    One look is not enough: a process in the middle of execve(2) has no environment to read.
    """
    unseen = 0
    end = time.monotonic() + 10
    while unseen < 3 and time.monotonic() < end:
        found = marked(run)
        unseen = 0 if found else unseen + 1
        kill_all(found)
        time.sleep(0.02)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process the moment its parent's main thread is gone (Linux).

    PR_SET_PDEATHSIG is bound to the *thread* that forked us (prctl(2)), so it serves agent and
    workers, whose parents fork from their main threads, and not the guard.
    """
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(70)


def subreaper() -> None:
    """Become the parent of every orphan below us, so that nothing there escapes to init."""
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def named(name: str) -> Generator[None]:
    """Have the system call this process by another name for a while (Linux)."""
    comm = Path("/proc/self/comm")
    before = comm.read_text().strip() if LINUX else ""
    _rename(name)
    try:
        yield
    finally:
        _rename(before)


def _rename(name: str) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def wait_gone(find: list[int], seconds: float) -> list[int]:
    """Wait until these processes are gone; return those that are still there."""
    end = time.monotonic() + seconds
    left = find
    while (left := [p for p in left if start_time(p) is not None]) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def _pids() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(d) for d in os.listdir("/proc") if d.isdigit()]
    return []


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return raw[raw.rindex(")") + 2 :].split()


def _dead(fields: list[str]) -> bool:
    """Whether nothing of a process runs any more.

    Its main thread alone may have ended (state Z): killed under load, the others follow up to
    30 ms later, and until then they are the parents of its children and hold its memory.
    """
    return fields[0] == "Z" and int(fields[17]) <= 1  # num_threads (proc(5))


def _parents() -> list[tuple[int, int]]:
    if LINUX:
        table = [(pid, _stat(pid)) for pid in _pids()]
        return [(pid, int(f[1])) for pid, f in table if f is not None and not _dead(f)]
    rows = [line.split() for line in _ps("-axo", "pid=,ppid=,stat=").splitlines()]
    return [(int(r[0]), int(r[1])) for r in rows if not r[2].startswith("Z")]


def _ps(*arguments: str) -> str:
    return subprocess.run(
        ["/bin/ps", *arguments], capture_output=True, text=True, check=False
    ).stdout
