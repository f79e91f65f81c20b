"""Workers that wait in a real kernel: what dies with it, and what a cell does without them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic.processes import marked, start_time, wait_gone

from .kernels import kernel
from .notebook import until
from .standby_kernel import FORK, KINDS, Waiting, state

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.workers]


def _send(number: signal.Signals, *pids: int) -> None:
    for pid in pids:
        os.kill(pid, number)


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
def notebook(settings: Path, nothing_left: Path, request) -> Iterator[Waiting]:
    """A kernel with the extension loaded."""
    with kernel() as made:
        found = Waiting(made, nothing_left, settings, light=getattr(request, "param", False))
        found.load()
        yield found


light = pytest.mark.parametrize("notebook", [True], indirect=True, ids=["light"])
"""Without torch's launcher: for what is not its own."""


@pytest.mark.parametrize("victims", [("kernel",), ("guard", "kernel")], ids=" and ".join)
def test_workers_that_wait_die_with_their_kernel(notebook, victims):
    group = {**notebook.wait(), "kernel": [notebook.kernel.pid]}
    _send(signal.SIGKILL, *(pid for kind in victims for pid in group[kind]))

    assert [len(group[kind]) for kind in KINDS] == [1, 1, 1]
    notebook.nothing_is_left()


@light
def test_workers_that_wait_leave_when_they_are_not_wanted_any_more(notebook):
    notebook.wait()
    notebook.says("%unload_ext ddp_magic")
    notebook.nothing_is_left()

    notebook.load()
    notebook.wait()
    notebook.kernel.manager.restart_kernel(now=False)
    notebook.nothing_is_left()

    notebook.kernel.client.wait_for_ready(timeout=60)
    notebook.load(torch=True)  # and that kernel dies while its workers import
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


@light
def test_a_cell_runs_cold_where_the_waiting_workers_were_stopped(notebook):
    stopped = {
        "worker": "the waiting workers did not answer",
        "guard": "the waiting workers' launcher is stopped",
    }  # the other blows: benchmarks/kill_matrix.py --standby
    for kind, reason in stopped.items():
        group = notebook.wait()
        home = next(notebook.place.glob("ddp_magic-*"))
        before = {p.name for p in home.glob("run-*")}
        victim = group[kind][0]
        _send(signal.SIGSTOP, victim)
        until(lambda pid=victim: state(pid) == "T")
        shown = notebook.says("%%ddp --nproc 1\nimport os\n6 * int(os.environ['WORLD_SIZE'])")

        assert shown.endswith("6"), kind
        assert notebook.says("print(keeper.why_cold)") == reason
        assert wait_gone([pid for pids in group.values() for pid in pids], 5) == []
        notebook.wait()  # by then the directory of the one before is removed
        after = {p.name for p in home.glob("run-*")}
        assert len(after - before) == 2, (before, after)  # the run's and the next standby's
        assert len(before - after) == 1, (before, after)


@light
def test_workers_of_two_kernels_do_not_disturb_each_other(notebook, settings, tmp_path):
    os.environ["TMPDIR"] = str(tmp_path)  # the fixture puts it back
    with kernel() as made:
        other = Waiting(made, tmp_path, settings, light=True)
        other.load()
        for each in (other, notebook):
            waited = each.wait()["worker"]
            each.says(FORK)
            each.says("%%ddp --nproc 1 -o pid\nimport os\npid = os.getpid()")
            assert each.says("print(pid, keeper.why_cold)") == str(waited[0])
        other.wait()
        group = notebook.wait()
        other.kernel.manager.shutdown_kernel(now=False)
        other.nothing_is_left()

        assert [pid for pids in group.values() for pid in pids if start_time(pid) is None] == []


def test_nothing_outlives_a_warm_run_that_is_killed(notebook):
    group = notebook.hang()
    _send(signal.SIGKILL, *group["agent"])
    notebook.fails()
    assert wait_gone([*group["worker"], *group["agent"]], 10) == []
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
