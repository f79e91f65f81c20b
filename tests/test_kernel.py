"""A real ipykernel and its front-ends: what dies with it, and what is shown where no page is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ddp_magic.processes import marked, wait_gone

from .framework_notebooks import FRAMEWORKS, NOTEBOOKS
from .kernels import SET_FORKED, kernel
from .notebook import until

pytestmark = [pytest.mark.kernel, pytest.mark.workers]


GUARD = b"guard/__main__.py"  # the path alone tells nothing: it stands in every command line

HANG = """%%ddp --nproc 2 --grace 3
import os, signal, subprocess, time; signal.signal(signal.SIGUSR1, lambda *_: os._exit(9))
{before}
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["setsid", "-f", "sleep", "600"]).wait()
def hang(data):
    if os.environ["RANK"] == "1": time.sleep(600)
    open({ready!r}, "w").close()
    {wait}
hang(array)
"""
COLLECTIVE = {
    "before": "import torch, torch.distributed as dist; dist.init_process_group()",
    "wait": "dist.all_reduce(torch.ones(1))",
}
SLEEP = {"before": "", "wait": "time.sleep(600)"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Where the ranks' data lies: not in the run's directory."""
    place = tmp_path / "blobs"
    place.mkdir()
    monkeypatch.setenv("DDP_MAGIC_BLOBS", str(place))
    return place


@pytest.fixture
def hanging(tmp_path, nothing_left, elsewhere, request):
    """A kernel whose cell hangs, in a collective if asked to, with data and children of ranks."""
    with kernel() as made:
        made.run("%load_ext ddp_magic\nimport numpy\narray = numpy.ones(4_000_000)")
        how = getattr(request, "param", SLEEP)
        made.request = made.start(HANG.format(ready=str(tmp_path / "ready"), **how))
        until((tmp_path / "ready").exists)
        yield made


collective = pytest.mark.parametrize(
    "hanging", [COLLECTIVE], indirect=True, ids=["in a collective"]
)


def everything(place: Path) -> list[int]:
    return marked(place)


@collective
def test_nothing_outlives_a_kernel_that_is_killed(hanging, nothing_left, elsewhere):
    pids = everything(nothing_left)
    assert [p.name for p in elsewhere.glob("*/*.bin")] == ["0.bin"]
    os.kill(hanging.pid, signal.SIGKILL)

    assert len(pids) >= 8  # guard, agent, 2 workers, 4 sleeps
    assert wait_gone(pids, 10) == []
    until(lambda: not [*nothing_left.glob("ddp_magic-*"), *elsewhere.iterdir()], 10)


@collective
def test_nothing_outlives_a_kernel_and_a_guard_that_are_killed_together(
    hanging, nothing_left, elsewhere
):
    pids = everything(nothing_left)
    guard = next(p for p in pids if GUARD in Path(f"/proc/{p}/cmdline").read_bytes())
    os.kill(guard, signal.SIGKILL)
    os.kill(hanging.pid, signal.SIGKILL)

    assert wait_gone(pids, 10) == []
    until(lambda: not [*nothing_left.glob("ddp_magic-*"), *elsewhere.iterdir()], 10)


def test_nothing_outlives_a_restart(hanging, nothing_left, elsewhere):
    pids = everything(nothing_left)
    hanging.manager.restart_kernel(now=False)

    assert wait_gone(pids, 10) == []
    until(lambda: not [*nothing_left.glob("ddp_magic-*"), *elsewhere.iterdir()], 10)


@pytest.mark.parametrize("victim", ["guard/__main__.py", "ddp_magic/agent.py"])
def test_a_run_whose_guard_or_agent_is_killed_is_said_to_be_lost(hanging, nothing_left, victim):
    pids = everything(nothing_left)
    name = victim.encode()
    os.kill(
        next(p for p in pids if name in Path(f"/proc/{p}/cmdline").read_bytes()), signal.SIGKILL
    )
    status, shown = hanging.finish(hanging.request)

    assert status == "error"
    assert "killed" in shown
    left = wait_gone(pids, 10)
    assert [p for p in left if GUARD not in Path(f"/proc/{p}/cmdline").read_bytes()] == []
    assert hanging.run("%%ddp --nproc 1\n6 * 7")[1].rstrip().endswith("42")


@collective
def test_a_subshell_sees_stacks_and_status_while_the_cell_hangs_and_stops_it(hanging):
    subshell = hanging.subshell()
    status, stacks = hanging.run("%ddp_stacks", subshell_id=subshell)
    _, running = hanging.run("%ddp_status", subshell_id=subshell)
    _, second = hanging.run("%%ddp --nproc 1\n6 * 7", subshell_id=subshell)
    hanging.run("%ddp_stop", subshell_id=subshell)
    ended, shown = hanging.finish(hanging.request)

    assert status == "ok", "and what the training does on SIGUSR1 was left to the training"
    assert 'File "Cell In[2]", line 9 in hang' in stacks
    assert 'File "Cell In[2]", line 7 in hang' in stacks
    assert "running" in running
    assert second.rstrip().endswith("42"), "on the CPU no run is in another's way"
    assert ended == "error"
    assert "stopped" in shown


@pytest.mark.parametrize(
    "name", sorted(p.name for p in NOTEBOOKS.glob("*.ipynb") if p.name not in FRAMEWORKS)
)
def test_a_notebook_of_ours_runs_as_it_is(name, tmp_path, forks):
    """By the three ways that people run notebooks without a page; quickstart by torch's launcher.

    Those of training libraries, in tests of their own, have torch's launcher as well.
    """
    tools = {
        "quickstart.ipynb": ["jupyter", "execute", "--output", str(tmp_path / "out.ipynb")],
        "compare_runs.ipynb": ["jupyter", "execute", "--output", str(tmp_path / "out.ipynb")],
        "pytorch.ipynb": ["jupyter", "execute", "--output", str(tmp_path / "out.ipynb")],
        "one_gpu_to_two.ipynb": ["papermill"],
        # it has a cell that is meant to raise, which papermill does not tolerate
        "interrupt_and_results.ipynb": ["jupyter", "nbconvert", "--to", "notebook", "--execute"],
    }
    tool = [str(Path(sys.executable).parent / tools[name][0]), *tools[name][1:]]
    target = {"jupyter": [], "papermill": [str(tmp_path / "out.ipynb")]}[tools[name][0]]
    if "nbconvert" in tool:
        tool += ["--output-dir", str(tmp_path), "--output", "out.ipynb"]
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    if name != "quickstart.ipynb":
        forks.start()
        startup = tmp_path / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "forked.py").write_text(SET_FORKED)
    done = subprocess.run(
        [*tool, str(NOTEBOOKS / name), *target],
        env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(tmp_path / "out.ipynb", 4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.source.startswith("%%ddp")]
    text = "".join(o.get("text", "") for cell in cells for o in cell.outputs)

    assert "succeeded" in text
    assert "widgets" not in notebook.metadata
    assert not [o for cell in cells for o in cell.outputs if "widget" in str(o.get("data", {}))]
