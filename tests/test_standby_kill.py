"""Workers that wait in a real kernel: what dies with them and with it, and what a next cell does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic.processes import marked, start_time, wait_gone

from .kernels import Kernel, kernel
from .notebook import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.workers]

LOAD = """
import os, time
from ddp_magic import magic
from ddp_magic.standby import keeper as _keeper
_keeper._AFTER_LOAD = 0.05
%load_ext ddp_magic
magics = magic._loaded[id(get_ipython())]
keeper = magics.standby
"""
# Most tests here do without torch in the workers: half of what a group costs.
LIGHT = """
from dataclasses import replace
wanted = keeper._wanted
keeper._wanted = lambda: replace(wanted(), preload=())
"""
READY = """
end = time.monotonic() + 30
while not keeper.ready() and time.monotonic() < end: time.sleep(0.01)
print(keeper.ready(), keeper.group and keeper.group.run.path)
"""
HANG = """%%ddp --nproc 1 --grace 3
import subprocess, time
import torch.distributed as dist
dist.init_process_group()
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["setsid", "-f", "sleep", "600"]).wait()
def hang(data):
    open({ready!r}, "w").close()
    time.sleep(600)
hang(array)
"""
KINDS = {"guard": "guard/__main__.py", "agent": "ddp_magic/agent.py", "worker": "worker/boot.py"}


class Notebook:
    """A kernel whose extension keeps workers waiting.

    Attributes:
        kernel: The kernel.
        place: Where its runs have their directory.
        blobs: Where the ranks' data lies: not in the run's directory.
    """

    def __init__(self, kernel: Kernel, place: Path, blobs: Path) -> None:
        self.kernel = kernel
        self.place = place
        self.blobs = blobs
        self.seen: set[int] = set()
        self._hangs = 0

    def says(self, code: str) -> str:
        """Run a cell that must succeed; return what it showed."""
        status, shown = self.kernel.run(code)
        assert status == "ok", shown
        return shown.strip()

    def load(self, then: str = LIGHT) -> None:
        """Load the extension, which soon starts the first workers."""
        self.says(LOAD + then)

    def wait(self) -> dict[str, list[int]]:
        """Wait until workers wait; return the processes of their group by kind."""
        ready, _, path = self.says(READY).partition(" ")
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
        self.request = self.kernel.start(HANG.format(ready=str(ready)))
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
        assert wait_gone([*self.seen, *marked(self.place)], 10) == []
        until(lambda: not [*self.place.glob("ddp_magic-*"), *self.blobs.iterdir()], 10)
        words = {*homes, *(f"_{pid}_" for pid in self.seen)}
        assert not [n for n in os.listdir("/dev/shm") if any(word in n for word in words)]  # noqa: S108


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _send(number: signal.Signals, *pids: int) -> None:
    for pid in pids:
        os.kill(pid, number)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Has kernels keep one worker waiting; returns where blobs go."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(blobs))
    monkeypatch.setenv("DDP_MAGIC_STANDBY", "1")
    monkeypatch.setenv("DDP_MAGIC_STANDBY_WORKERS", "1")
    monkeypatch.setenv("DDP_MAGIC_STANDBY_LIMIT", "1000")  # of all that wait on this machine
    return blobs


@pytest.fixture
def notebook(settings: Path, nothing_left: Path) -> Iterator[Notebook]:
    """A kernel with the extension loaded."""
    with kernel() as made:
        found = Notebook(made, nothing_left, settings)
        found.load()
        yield found


@pytest.mark.parametrize("victims", [("kernel",), ("guard", "kernel")], ids=" and ".join)
def test_workers_that_wait_die_with_their_kernel(notebook, victims):
    group = {**notebook.wait(), "kernel": [notebook.kernel.pid]}
    _send(signal.SIGKILL, *(pid for kind in victims for pid in group[kind]))

    assert [len(group[kind]) for kind in KINDS] == [1, 1, 1]
    notebook.nothing_is_left()


def test_workers_that_wait_leave_when_they_are_not_wanted_any_more(notebook):
    notebook.wait()
    notebook.says("%unload_ext ddp_magic")
    notebook.nothing_is_left()

    notebook.load()
    notebook.wait()
    notebook.kernel.manager.restart_kernel(now=False)
    notebook.nothing_is_left()

    notebook.kernel.client.wait_for_ready(timeout=60)
    notebook.load(then="")  # and that kernel dies while its workers import
    until(lambda: any("libtorch" in _maps(p) for p in marked(notebook.place)))
    assert notebook.says("print(keeper.ready())") == "False"
    notebook.seen.update(marked(notebook.place))
    _send(signal.SIGKILL, notebook.kernel.pid)
    notebook.nothing_is_left()


def _maps(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def test_a_cell_runs_cold_where_the_waiting_workers_were_killed_or_stopped(notebook):
    notebook.says("%ddp_config standby_workers=2")  # what waited alone is discarded
    gone = "the waiting workers are gone"
    hung = "the waiting workers did not answer"
    blows = [
        ("worker", signal.SIGKILL, {gone, hung}),
        ("agent", signal.SIGKILL, {gone, hung}),
        ("guard", signal.SIGKILL, {gone, hung}),
        ("worker", signal.SIGSTOP, {hung}),
        ("guard", signal.SIGSTOP, {hung}),
    ]
    for kind, number, reasons in blows:
        group = notebook.wait()
        home = next(notebook.place.glob("ddp_magic-*"))
        before = {p.name for p in home.glob("run-*")}
        victim = group[kind][0]
        _send(number, victim)
        if number == signal.SIGSTOP:
            until(lambda pid=victim: _state(pid) == "T")
        shown = notebook.says("%%ddp --nproc 2\nimport os\n6 * int(os.environ['WORLD_SIZE'])")

        assert shown.endswith("12"), (kind, number)
        assert notebook.says("print(keeper.why_cold)") in reasons, (kind, number)
        assert wait_gone([pid for pids in group.values() for pid in pids], 5) == []
        notebook.wait()  # by then the directory of the one before is removed
        after = {p.name for p in home.glob("run-*")}
        assert len(after - before) == 2, (before, after)  # the run's and the next standby's
        assert len(before - after) == 1, (before, after)


def test_workers_of_two_kernels_do_not_disturb_each_other(notebook, settings, tmp_path):
    os.environ["TMPDIR"] = str(tmp_path)  # the fixture puts it back
    with kernel() as made:
        other = Notebook(made, tmp_path, settings)
        other.load()
        for each in (other, notebook):
            waited = each.wait()["worker"]
            fork = "if not (pid := os.fork()):\n    magics.close()\n    os._exit(0)\nos.waitpid(pid, 0)"
            each.says(fork)  # a fork of the kernel runs copies of the kernel's exit hooks
            each.says("%%ddp --nproc 1 -o pid\nimport os\npid = os.getpid()")
            assert each.says("print(pid, keeper.why_cold)") == str(waited[0])
        other.wait()
        group = notebook.wait()
        other.kernel.manager.shutdown_kernel(now=False)
        other.nothing_is_left()

        assert [pid for pids in group.values() for pid in pids if start_time(pid) is None] == []


def test_nothing_outlives_a_warm_run_that_is_killed(notebook):
    for victim in ("guard", "agent"):
        group = notebook.hang()
        _send(signal.SIGKILL, *group[victim])
        notebook.fails()
        pids = [*group["worker"], *group["agent"]]
        assert wait_gone(pids, 10) == []
    notebook.hang()
    _send(signal.SIGKILL, notebook.kernel.pid)
    notebook.nothing_is_left()


def test_nothing_outlives_a_warm_run_whose_kernel_goes(notebook):
    notebook.hang()
    notebook.kernel.manager.restart_kernel(now=False)
    notebook.nothing_is_left()

    notebook.kernel.client.wait_for_ready(timeout=60)
    notebook.load()
    group = notebook.hang()
    _send(signal.SIGKILL, *group["guard"], notebook.kernel.pid)
    notebook.nothing_is_left()
