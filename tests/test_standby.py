"""Runs that adopt workers which waited: what fits, what does not, and what is said."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddp_magic.launch import LaunchSpec
from ddp_magic.processes import descendants, start_time, wait_gone
from ddp_magic.standby import Standby, ahead, birth, machine
from ddp_magic.standby import keeper as keeping
from ddp_magic.standby.ahead import shadowed
from tests.notebook import Notebook, until
from tests.standby import keeper_of, no_more, ready, start, without_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

WHO = """\
%%ddp --nproc 2 {options} -o pids,world
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
found = [None, None]
dist.all_gather_object(found, os.getpid())
pids, world = sorted(found), dist.get_world_size()
"""


@pytest.fixture
def warm(
    capfd: pytest.CaptureFixture[str], nothing_left: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    """A notebook whose extension keeps workers waiting."""
    monkeypatch.setenv("DDP_MAGIC_STANDBY", "1")
    monkeypatch.setenv("DDP_MAGIC_STANDBY_LIMIT", "100")  # other tests' workers count too
    made = Notebook(capfd)
    yield made
    made.close()


def group_of(notebook: Notebook) -> Standby:
    """Return the group that waits."""
    group = keeper_of(notebook.shell).group
    assert group is not None
    return group


def below(notebook: Notebook) -> list[int]:
    """Return the processes of the group that waits."""
    return descendants(group_of(notebook).guard.pid)


def role(pid: int) -> str:
    """Return which program of ours a process runs."""
    words = Path(f"/proc/{pid}/cmdline").read_text()
    return "agent" if "agent.py" in words else "workers"


@pytest.mark.workers
def test_a_run_adopts_the_workers_that_waited_and_the_next_ones_start(warm: Notebook):
    without_torch(start(warm))  # the next
    waited = below(warm)

    shown = warm.run(WHO.format(options=""))
    assert shown.error is None, shown.err
    assert set(warm.ns["pids"]) < set(waited)
    assert keeper_of(warm.shell).why_cold == ""

    no_more(ready(warm))
    again = below(warm)
    assert not set(again) & set(waited)
    warm.cells("lr, seen = 0.5, []\ndef f(x): return x * lr")
    shown = warm.run("%%ddp --nproc 2 lr=2.0 -o seen\nseen.append(f(3))\nprint('here')\nseen[0]")
    assert (shown.value, warm.ns["seen"], warm.ns["lr"]) == (6.0, [6.0], 0.5)
    assert "here\n" in shown.out


@pytest.mark.workers
@pytest.mark.parametrize("victim", ["guard", "agent", "workers"])
def test_what_waits_may_be_killed_in_the_moment_in_which_a_cell_begins(
    warm: Notebook, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, victim: str
):
    if victim != "workers":  # whose end is the launcher's to see
        request.getfixturevalue("light")
    without_torch(keeper_of(warm.shell))
    start(warm)
    waited = {"guard": [group_of(warm).guard.pid], "agent": [], "workers": []}
    for pid in below(warm):
        waited[role(pid)].append(pid)
    everyone = [pid for pids in waited.values() for pid in pids]
    go = Standby.go

    def kill_and_go(group: Standby) -> None:
        for pid in waited[victim]:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(start_time, waited[victim])))
        go(group)

    monkeypatch.setattr(Standby, "go", kill_and_go)
    warm.cells("import numpy\nweights = numpy.arange(70_000.0)")
    cell = "%%ddp --nproc 2 -o pid\nimport os\npid = os.getpid()\nprint('once')\nint(weights[-1])"
    shown = warm.run(cell)

    assert (shown.value, shown.error) == (69_999, None), shown.err
    assert shown.out.count("once\n") == 1
    assert warm.ns["pid"] not in everyone
    keeper = keeper_of(warm.shell)
    assert keeper.why_cold == "the waiting workers were killed as the cell began"
    assert wait_gone(everyone, 10) == []

    monkeypatch.setattr(Standby, "go", go)
    no_more(ready(warm))
    group = {*below(warm)}
    assert warm.run(cell).error is None
    assert warm.ns["pid"] in group


@pytest.mark.workers
def test_what_a_run_asks_for_decides_whether_it_has_them(
    light: None, warm: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    warm.cells("%ddp_config standby_workers=1")
    without_torch(keeper_of(warm.shell))
    keeper = start(warm)

    # what is refused costs nothing
    assert "nope" in warm.run("%%ddp --nproc 1 nope=1\n1").told
    assert warm.run("%%ddp --nproc 1\nlist(").error is not None
    waited = below(warm)
    assert keeper.ready()

    # what is read late is told: the colours, the width, the working directory
    warm.cells(f"import os\nos.chdir({str(tmp_path)!r})")
    monkeypatch.setenv("FORCE_COLOR", "1")
    told = warm.run(
        "%%ddp --nproc 1\nimport os\nos.getcwd(), os.environ.get('FORCE_COLOR'), os.getpid()"
    )
    assert told.value[:2] == (str(tmp_path), "1")
    assert told.value[2] in waited
    monkeypatch.delenv("FORCE_COLOR")

    # a wish of the line's leaves what waits to the next run
    ready(warm)
    waited = below(warm)
    told = warm.run("%%ddp --nproc 1 --cold\nimport os\nos.getpid()")
    assert told.value not in waited
    assert keeper.why_cold == "--cold"

    # what a process reads when it starts cannot be told
    monkeypatch.setenv("LIBRARY_DEBUG", "2")
    told = warm.run("%%ddp --nproc 1\nimport os\nos.environ['LIBRARY_DEBUG'], os.getpid()")
    assert told.value[0] == "2"
    assert told.value[1] not in waited
    assert keeper.why_cold == "LIBRARY_DEBUG changed in the environment"


def test_a_variable_that_is_read_late_may_be_set_by_a_job_whose_imports_are_done():
    late = {"NCCL_DEBUG", "GLOO_X", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES", "COLUMNS"}

    assert birth.read_early({*late, "OMP_NUM_THREADS", "HF_HOME"}) == ["HF_HOME", "OMP_NUM_THREADS"]


DIFFERENT = {
    "1 workers waited, and this run has 2": {"world_size": 2},
    "--restarts or --torchrun is another": {"torchrun": ("--role=x",)},
    "B, C changed in the environment": {"environ": {"A": "1", "C": "1", "COLUMNS": "3"}},
    "the CPUs it may use changed": {"inherited": {"the CPUs it may use": {1}}},
    "": {
        "environ": {
            "A": "1",
            "B": "1",
            "CUDA_VISIBLE_DEVICES": "1",
            "TORCHINDUCTOR_CACHE_DIR": "/",
            "PL_GLOBAL_SEED": "3",
        },
        "grace": 7.0,
        "cwd": "/",
    },
}


@pytest.mark.parametrize("why", DIFFERENT)
def test_what_speaks_against_processes_that_started_earlier(why: str):
    born = LaunchSpec(
        world_size=1, restarts=0, grace=30.0, torchrun=(), environ={"A": "1", "B": "1"}, cwd="/tmp",
        inherited={"the CPUs it may use": {0, 1}},
    )  # fmt: skip
    now = replace(born, **{"inherited": born.inherited, **DIFFERENT[why]})

    assert birth.differs(born, now) == why
    if not why:
        told = {
            "CUDA_VISIBLE_DEVICES": "1",
            "TORCHINDUCTOR_CACHE_DIR": "/",
            "PL_GLOBAL_SEED": "3",
        }
        assert birth.late(born, now) == told


@pytest.mark.workers
def test_a_module_of_the_job_is_not_the_one_that_was_imported_ahead(
    light: None, warm: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    warm.cells("%ddp_config standby_workers=1", "import torch")
    keeper = keeper_of(warm.shell)
    until(lambda: keeper.group is not None)  # which still imports: nobody knows yet what
    (tmp_path / "pickletools.py").write_text("mine = True\n")  # torch imports the interpreter's
    monkeypatch.syspath_prepend(tmp_path)

    told = warm.run("%%ddp --nproc 1\nimport pickletools\npickletools.mine")

    assert told.value is True
    assert keeper.why_cold == "pickletools is another module now"


@pytest.mark.workers
def test_the_first_workers_import_what_the_notebook_has_to_train_with(
    light: None, warm: Notebook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ahead, "_TRAINERS", ("pyte",))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyte"]:
        monkeypatch.delitem(sys.modules, name)
    warm.cells("%ddp_config standby_workers=1")
    without_torch(keeper_of(warm.shell))
    keeper = start(warm)
    without = group_of(warm)
    assert "pyte" not in without.spec.preload
    warm.cells("import pyte.screens")
    until(lambda: keeper.group not in (None, without))
    ready(warm)
    warm.cells("import pyte.modes")  # of what is there
    asked = "[name in sys.modules for name in ('pyte.screens', 'rich')]"
    told = warm.run(f"%%ddp --nproc 1\nimport sys\n{asked}")
    assert (told.value, keeper.why_cold) == ([True, False], "")


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("tqdm.py", "tqdm"),
        ("tqdm/__init__.py", "tqdm"),
        ("tqdm.abi3.so", "tqdm"),
        ("tqdm", ""),  # the program, where IPython is started as a program from the same folder
        ("tqdm/data.csv", ""),  # a package that is installed comes before a folder without code
        ("other.py", ""),
    ],
)
def test_what_is_imported_from_a_folder_is_a_module(file, found, monkeypatch, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    known = [os.path.abspath(entry) for entry in sys.path]
    monkeypatch.syspath_prepend(tmp_path)

    assert shadowed({"tqdm": None, "json": None}, known) == found


LATE = """\
%%ddp --nproc 1 -o seen
import importlib, sys, torch
seen = [name in sys.modules for name in ("torch._dynamo", "torch.utils.benchmark")]
importlib.import_module("torch.utils.benchmark")
"""
OPTIMIZER = "torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.1)\n"


@pytest.mark.workers
def test_what_libraries_import_late_the_next_workers_import_ahead(
    light: None, warm: Notebook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "_HESITATION", 0.05)
    warm.cells("%ddp_config standby_workers=1")
    keeper = start(warm)
    until(lambda: keeper.group and keeper.group.told == "later" and keeper.ready())
    monkeypatch.setattr(keeping, "_HESITATION", 60)
    warm.cells(LATE)
    assert (warm.ns["seen"], keeper.why_cold) == ([True, False], "")

    ready(warm)
    warm.cells(LATE)  # before they have begun with what no run has needed yet
    assert (warm.ns["seen"], keeper.why_cold) == ([False, False], "")
    assert "torch._dynamo" not in keeper._lazy  # a run that came meanwhile would wait for it

    ready(warm)
    warm.cells(LATE + OPTIMIZER)
    assert (warm.ns["seen"], keeper.why_cold) == ([False, False], "")
    ready(warm)
    warm.cells(LATE)
    assert (warm.ns["seen"], keeper.why_cold) == ([True, True], "")
    assert keeper._lazy == ["torch.utils.benchmark", "torch._dynamo"]  # not all that these brought

    ready(warm)
    warm.cells("%%ddp --nproc 1\nimport os\nos.environ['A_LIBRARYS'] = '1'")
    assert "new processes: the cell sets A_LIBRARYS, which" in warm.run("%ddp_status").out


@pytest.mark.workers
def test_settings_are_shown_set_and_obeyed(light: None, warm: Notebook):
    shown = warm.run("%ddp_config")
    assert "standby=True" in shown.out
    assert "Seconds after which waiting workers leave" in shown.out
    assert warm.run("%ddp_config standby=perhaps").told == (
        "standby cannot be perhaps. Keep a worker group waiting, so that runs start at once. "
        "Write standby=off."
    )
    assert "There is no setting speed. There are: nproc, standby," in (
        warm.run("%ddp_config speed=1").told
    )
    assert "standby: none" in warm.run("%ddp_status").out
    warm.cells("%config DdpMagic.standby_idle = 900.0")
    assert "standby_idle=900.0" in warm.run("%ddp_config").out

    warm.cells("%ddp_config nproc=3 standby_idle=1000 standby_workers=1")
    start(warm)
    status = warm.run("%ddp_status").out
    assert "Nothing has run yet.\nstandby: 1 workers wait since" in status
    assert "with torch imported (" in status
    assert "would run on 3 workers" in warm.run("%%ddp --show\n1").out

    warm.cells("%ddp_config standby=off")
    assert keeper_of(warm.shell).group is None
    assert "standby=off" in warm.run("%ddp_status").out


@pytest.mark.workers
def test_waiting_workers_leave_after_a_while_and_the_next_run_is_cold(light: None, warm: Notebook):
    warm.cells("%ddp_config standby_idle=1 standby_workers=1")
    keeper = without_torch(keeper_of(warm.shell))
    warm.cells("import torch")
    until(lambda: keeper.group is not None)
    assert keeper.group is not None
    group = keeper.group
    until(lambda: group.gone)

    assert warm.run("%%ddp --nproc 1\n1 + 1").value == 2
    assert keeper.why_cold == "the waiting workers are gone"


def test_no_more_workers_wait_than_the_machine_has_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(machine, "memory", lambda: 60 << 30)
    monkeypatch.setattr(machine, "total", lambda: 64 << 30)
    monkeypatch.setattr(machine, "waiting", lambda: 2)
    assert machine.full(2, 4) == ""
    assert machine.full(3, 4) == "2 workers wait on this machine already, and 4 may"
    assert machine.full(6, None) == ""
    assert machine.full(7, None) == "2 workers wait on this machine already, and 8 may"
    monkeypatch.setattr(machine, "memory", lambda: 16 << 30)
    assert machine.full(2, None) == "memory is short"
