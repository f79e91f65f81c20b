"""A real kernel whose extension keeps workers waiting, and all of the processes that this makes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ddp_magic.processes import marked, wait_gone
from tests.kernels import LIGHT
from tests.notebook import until

if TYPE_CHECKING:
    from tests.kernels import Kernel

__all__ = ["FORK", "KINDS", "Waiting", "state"]

_LOAD = """
import os, time
from ddp_magic import magic
from ddp_magic.standby import keeper as _keeper
_keeper._AFTER_LOAD = 0.05
{load}
magics = magic._loaded[id(get_ipython())]
keeper = magics.standby
"""
# Most tests here do without torch in the workers: half of what a group costs.
_WITHOUT_TORCH = """
from dataclasses import replace
wanted = keeper._wanted
keeper._wanted = lambda: replace(wanted(), preload=(), lazy=())
"""
_READY = """
end = time.monotonic() + 30
while not keeper.ready() and time.monotonic() < end: time.sleep(0.01)
print(keeper.ready(), keeper.group and keeper.group.run.path)
"""
_HANG = """%%ddp --nproc 1 --grace 3
import subprocess, time
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["setsid", "-f", "sleep", "600"]).wait()
def hang(data):
    open({ready!r}, "w").close()
    time.sleep(600)
hang(array)
"""
# A fork of the kernel runs copies of the kernel's exit hooks.
FORK = """
if not (pid := os.fork()):
    magics.close()
    os._exit(0)
os.waitpid(pid, 0)
"""
KINDS = {"guard": "guard/__main__.py", "agent": "agent.py", "worker": "worker/boot.py"}


class Waiting:
    """A kernel whose extension keeps workers waiting.

    Attributes:
        kernel: The kernel.
        place: Where its runs have their directory.
        blobs: Where the ranks' data lies: not in the run's directory.
    """

    def __init__(self, kernel: Kernel, place: Path, blobs: Path, *, light: bool = False) -> None:
        self.kernel = kernel
        self.place = place
        self.blobs = blobs
        self._load = LIGHT if light else "%load_ext ddp_magic"
        self.seen: set[int] = set()
        self._hangs = 0

    def says(self, code: str) -> str:
        """Run a cell that must succeed; return what it showed."""
        status, shown = self.kernel.run(code)
        assert status == "ok", shown
        return shown.strip()

    def load(self, *, torch: bool = False) -> None:
        """Load the extension, which soon starts the first workers."""
        self.says(_LOAD.format(load=self._load) + ("" if torch else _WITHOUT_TORCH))

    def wait(self) -> dict[str, list[int]]:
        """Wait until workers wait; return the processes of their group by kind."""
        ready, _, path = self.says(_READY).partition(" ")
        assert ready == "True", path
        return self.by_kind(Path(path))

    def by_kind(self, run: Path) -> dict[str, list[int]]:
        """Return the processes of a run by kind."""
        pids = marked(run)
        self.seen.update(pids)
        return {k: [p for p in pids if part in _command(p)] for k, part in KINDS.items()}

    def hang(self) -> dict[str, list[int]]:
        """Start a cell that hangs, with data and children, on the workers that wait."""
        waited = self.wait()
        self.says("import numpy\narray = numpy.ones(4_000_000)")
        run = Path(self.says("print(keeper.group.run.path)"))
        self._hangs += 1
        ready = self.place.parent / f"{self.place.name}.{self._hangs}"
        self.request = self.kernel.start(_HANG.format(ready=str(ready)))
        until(ready.exists)
        found = self.by_kind(run)
        assert found == waited
        assert [*self.blobs.iterdir()]
        return found

    def fails(self) -> None:
        """Wait for the end of the cell that hung: its processes were killed."""
        status, shown = self.kernel.finish(self.request)
        assert (status, "killed" in shown) == ("error", True), shown

    def nothing_is_left(self) -> None:
        """Fail unless all of this kernel's extension has gone or goes now."""
        homes = {p.name for p in self.place.glob("ddp_magic-*")}
        left = wait_gone([*self.seen, *marked(self.place)], 10)
        assert left == [], [(state(pid), _command(pid)) for pid in left]
        until(lambda: not [*self.place.glob("ddp_magic-*"), *self.blobs.iterdir()], 10)
        words = {*homes, *(f"_{pid}_" for pid in self.seen)}
        assert not [n for n in os.listdir("/dev/shm") if any(word in n for word in words)]


def state(pid: int) -> str:
    """Return a process's state as one letter."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
