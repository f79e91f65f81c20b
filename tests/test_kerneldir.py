"""The directory of a kernel's runs: private, and swept only when its kernel is really gone."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess

import pytest

from ddp_magic.errors import PlaceError
from ddp_magic.kerneldir import KernelDir, sweep
from ddp_magic.processes import MARK, boot_id, start_time, wait_gone
from ddp_magic.rundir import RunDir
from ddp_magic.runs import Runs


@pytest.fixture
def home():
    made = KernelDir.create()
    yield made
    made.remove()


def disown(home: KernelDir, **changes: object) -> None:
    """Make the directory say that another kernel owns it."""
    path = home.path / "owner.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def test_everything_in_it_is_for_its_owner_only(home):
    run = home.new_run(1)
    run.write(run.main, "x = 1")
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in [home.path, *home.path.rglob("*")]}

    assert all(mode == (0o700 if p.is_dir() else 0o600) for p, mode in modes.items()), modes


def test_a_file_that_is_there_already_is_never_written_over(home, tmp_path):
    run = home.new_run(1)
    (tmp_path / "target").write_text("precious")
    run.main.symlink_to(tmp_path / "target")

    with pytest.raises(PlaceError):
        run.write(run.main, "x = 1")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_living_kernels_directory_stays(home):
    assert sweep() == []


@pytest.mark.parametrize(
    "changes",
    [{"start": "0"}, {"pid": 2**22 + 1}, {"boot": "another"}],
    ids=["a later process has its pid", "no process has its pid", "an earlier boot"],
)
def test_a_dead_kernels_directory_goes(home, changes):
    disown(home, **changes)

    assert sweep() == [home.path]
    assert not home.path.exists()


def test_what_a_dead_kernel_left_running_is_killed(home):
    run = home.new_run(1)
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: str(run.path)})
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: f"{home.path}-not/run-1"})
    disown(home, start="0")
    sweep()

    assert left.wait(10) == -9
    assert start_time(other.pid) is not None
    other.kill()
    other.wait()


def test_processes_of_an_earlier_boot_are_not_looked_for(home):
    run = home.new_run(1)
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: str(run.path)})
    disown(home, boot="another")
    sweep()

    assert start_time(other.pid) is not None
    other.kill()
    other.wait()
    assert wait_gone([other.pid], 5) == []


def test_a_directory_that_a_guard_watches_over_stays(home):
    disown(home, start="0")
    with open(home.path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)

        assert sweep() == []


@pytest.mark.parametrize("spoil", ["open", "garbage", "nothing", "link"])
def test_what_is_not_surely_ours_stays(home, spoil, tmp_path):
    disown(home, start="0")
    if spoil == "open":
        home.path.chmod(0o755)
    elif spoil == "garbage":
        (home.path / "owner.json").write_text("{")
    elif spoil == "nothing":
        (home.path / "owner.json").unlink()
    else:
        moved = tmp_path / "moved"
        home.path.rename(moved)
        home.path.symlink_to(moved)

    assert sweep() == []
    assert home.path.exists()


def test_this_boot_has_a_name():
    assert len(boot_id()) > 10


def test_old_logs_go_when_all_together_are_too_large(monkeypatch):
    monkeypatch.setattr("ddp_magic.runs._LOG_BYTES", 1000)
    runs = Runs()
    made: list[RunDir] = []
    for _ in range(4):
        made.append(runs.new_run())
        made[-1].write(made[-1].log(0, "stdout"), b"x" * 400)

    assert [run.path.exists() for run in made] == [False, True, True, True]
    runs.close()
    assert not made[-1].path.parent.exists()


def test_a_fork_of_the_kernel_does_not_end_its_runs():
    runs = Runs()
    run = runs.new_run()
    child = os.fork()
    if child == 0:
        runs.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert run.path.exists()
    runs.close()
