"""Cells that do what experts do and what nobody should, in few real runs with much in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ddp_magic.errors import RunStopped, WorkerFailed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.notebook import Notebook

pytestmark = pytest.mark.workers


@pytest.fixture
def torch_notebook(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook.cells(
        "import io, json, logging, multiprocessing, os, signal, subprocess, sys, threading, time\n"
        "import torch, torch.distributed as dist"
    )
    return notebook


def test_a_program_that_takes_the_process_over_still_brings_its_results_back(
    torch_notebook: Notebook, tmp_path: Path
):
    notebook = torch_notebook
    notebook.cells(f"place = {str(tmp_path)!r}")
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o exits
        rank = int(os.environ["RANK"])
        dist.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2)
        dist.barrier()
        dist.destroy_process_group()
        exits = []
        try:
            raise KeyError("handled while it forks")
        except KeyError:
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            child.start(); child.terminate(); child.join(); exits.append(child.exitcode)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            exits += pool.map(abs, [-1])
        subprocess.Popen(["sleep", "600"])
        threading.Thread(target=lambda: (time.sleep(0.1), os.write(2, b"thread done\\n"))).start()
        logging.basicConfig(level="INFO"); logging.info("logged")
        os.write(1, b"from C \\xff\\n"); print("no end", end="", flush=True)
        sys.stdout, sys.stderr = io.StringIO(), None
        json.dumps = json.loads = time.time = None
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.chdir("/"); os.close(1)
        [rank, exits]
        """
    )

    assert shown.error is None, shown.told
    assert shown.value == [0, [-15, 1]]
    assert notebook.ns["exits"] == [-15, 1]
    assert "from C" in shown.out
    assert "no end" in shown.out
    assert "INFO:root:logged" in shown.err
    assert "thread done" in shown.err
    assert "never communicated" not in shown.err


def test_a_victim_in_backward_is_not_the_cause_and_an_error_without_a_text_is(
    forked: None, torch_notebook: Notebook
):
    notebook = torch_notebook
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o step
        class Mute(Exception):
            def __str__(self): raise OSError
        dist.init_process_group()
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
        for step in range(9):
            if step == 3 and dist.get_rank() == 1:
                try:
                    raise Mute
                finally:
                    dist.destroy_process_group()
                    time.sleep(0.5)
            model(torch.ones(2, 4)).sum().backward()
        """
    )

    assert isinstance(shown.error, WorkerFailed)
    assert shown.told.startswith("Rank 1 of 2 failed: Mute: <exception str() failed>\n")
    assert 'File "Cell In[2]", line 9, in <module>\n    raise Mute' in shown.told
    assert "Rank 0 lost its peer (RuntimeError:" in shown.told
    assert "ddp_magic" not in shown.told + shown.out
    assert notebook.ns["step"] == 3


def test_a_rank_that_leaves_the_loop_early_is_named(forked: None, torch_notebook: Notebook):
    shown = torch_notebook.run(
        """
        %%ddp --nproc 2 -o count
        dist.init_process_group()
        count = 0
        for _ in range(3 + dist.get_rank()):
            dist.all_reduce(torch.ones(1), async_op=True).wait()
            count += 1
        """
    )

    assert isinstance(shown.error, WorkerFailed)
    assert "Rank 0 had reached the end of the cell while rank 1 was still in" in shown.told
    assert torch_notebook.ns["count"] == 3


def test_an_interrupt_before_the_program_runs_says_nothing_of_ours(
    light: None, torch_notebook: Notebook, tmp_path: Path
):
    notebook = torch_notebook
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, threading\n"
        "if 'boot.py' in str(sys.argv) or any('boot.py' in a for a in sys.orig_argv):\n"
        f"    open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "    import time; time.sleep(0.2)\n"
    )
    thread = notebook.interrupt_at(tmp_path / "ready")
    shown = notebook.run(f"%%ddp --nproc 2 --env PYTHONPATH={tmp_path} -o x\nx = 1")
    thread.join()

    assert isinstance(shown.error, RunStopped)
    assert "Not brought back: x: rank 0 ended before it could save" in shown.told
    assert "boot.py" not in shown.out + shown.err


def test_what_startup_files_bind_is_the_notebooks(light: None, notebook: Notebook, tmp_path: Path):
    """As a profile's startup files, exec_lines and %pylab do: IPython hides it from %who."""
    startup = tmp_path / "00.py"
    startup.write_text("from pathlib import Path\nscale = [2]\ndef twice(x): return scale[0] * x\n")
    notebook.shell.safe_execfile(str(startup), notebook.ns)
    notebook.shell.user_ns_hidden.update(notebook.ns)
    shown = notebook.run("%%ddp --nproc 1\nPath('a').name, twice(4), 'In' in globals()")

    assert (shown.error, shown.value) == (None, ("a", 8, False)), shown.told
    assert "IPython's own names stay" in notebook.run("%%ddp --nproc 1\nlen(In)").told
