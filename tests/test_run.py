"""Whole runs with real workers (gloo, on the CPU).

What depends on how workers begin is tried with new ones and with some that waited, all else with
either.
"""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from ddp_magic.errors import RunStopped, WorkerFailed
from ddp_magic.metrics import Reported
from ddp_magic.options import parse
from ddp_magic.prepare import place
from ddp_magic.processes import marked
from ddp_magic.rundir import RunDir
from ddp_magic.start import spec_for
from tests.standby import keeper_of, no_more, ready, without_torch

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("on_cpu")]

IMPORTS = """
import os, sys, time
import torch
import torch.distributed as dist
from ddp_magic import log
from torch import nn
from torch.nn.parallel import DistributedDataParallel
"""
TRAINER = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
    def forward(self, x):
        return self.layer(x)

class Trainer:
    def __init__(self, lr=0.1, epochs=2):
        dist.init_process_group()
        torch.manual_seed(dist.get_rank())
        self.epochs = epochs
        self.model = DistributedDataParallel(Net())
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)
    def train(self):
        history = []
        for epoch in range(self.epochs):
            x = torch.randn(32, 4)
            loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
            self.optimizer.zero_grad(); loss.backward(); self.optimizer.step()
            history.append(loss.item())
            log(step=epoch, loss=loss)
            print(f"rank {dist.get_rank()} epoch {epoch}")
        return history
"""


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def torch_notebook(notebook):
    notebook.cells(IMPORTS)
    return notebook


@pytest.fixture
def warm_notebook(waiting, notebook):
    """A notebook whose next run is the only one to have workers that waited."""
    notebook.cells(IMPORTS)
    no_more(ready(notebook))
    yield notebook
    assert keeper_of(notebook.shell).why_cold == ""


@pytest.fixture
def bare_notebook(waiting, notebook):
    """The same for a run that needs no torch."""
    without_torch(keeper_of(notebook.shell))
    notebook.cells(IMPORTS)
    no_more(ready(notebook))
    yield notebook
    assert keeper_of(notebook.shell).why_cold == ""


@pytest.fixture(params=["torch_notebook", "warm_notebook"], ids=["cold", "warm"])
def either(request: pytest.FixtureRequest):
    """A notebook whose first run starts its workers, and one whose workers wait."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["torch_notebook", "bare_notebook"], ids=["cold", "warm"])
def either_bare(request: pytest.FixtureRequest):
    """The same for a run that needs no torch."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def warm_alone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """A notebook with one worker that waits."""
    monkeypatch.setenv("DDP_MAGIC_STANDBY_WORKERS", "1")
    return request.getfixturevalue("warm_notebook")


def test_the_main_job(either, nothing_left):
    notebook = either
    notebook.cells(TRAINER)
    shown = notebook.run(
        """
        # a comment above is tolerated
        %%ddp --nproc 2 epochs=3 lr=0.05 \\
          -o history,model  # first try
        trainer = Trainer()
        history = trainer.train()
        model = trainer.model
        history[-1]
        """
    )
    model, history = notebook.ns["model"], notebook.ns["history"]

    assert shown.error is None, shown.err
    assert shown.out.startswith("rank 0 epoch 0\nrank 0 epoch 1\nrank 0 epoch 2\n")
    assert "rank 1" not in shown.out
    assert len(history) == 3
    assert shown.value == history[-1]
    assert type(model) is notebook.ns["Net"]
    assert next(model.parameters()).device.type == "cpu"
    assert "lr=0.05 → Trainer(lr)" in shown.err
    assert "epochs=3 → Trainer(epochs)" in shown.err
    assert "first try" in shown.err
    assert "trainer" not in notebook.ns
    left = next(nothing_left.glob("ddp_magic-*/run-1"))
    assert sorted(p.name for p in left.iterdir()) == ["logs", "results"]
    logged = [(event.step, event.values) for event in Reported(RunDir(left), 0).read()]
    assert logged == [(i, (("loss", loss),)) for i, loss in enumerate(history)]
    assert "Trainer" in repr(notebook.run("%ddp_output trainer").value)
    assert "succeeded" in notebook.run("%ddp_status").out


def test_models_are_equal_in_all_ranks_and_the_worlds_are_loopback_only(
    torch_notebook, tmp_path, nothing_left
):
    notebook = torch_notebook
    notebook.cells(TRAINER, f"place = {str(tmp_path)!r}")
    seen: list[str] = []

    def look() -> None:
        pids = marked(nothing_left)
        for pid in pids:
            for connection in psutil.Process(pid).net_connections("inet"):
                seen.extend([connection.laddr.ip] * (connection.status == psutil.CONN_LISTEN))
        (tmp_path / "looked").touch()

    thread = notebook.when(tmp_path / "ready", look)
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o weights
        trainer = Trainer(); trainer.train()
        mine = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        weights = [torch.zeros_like(mine) for _ in range(2)]
        dist.all_gather(weights, mine)
        if dist.get_rank() == 0: open(place + "/ready", "w").close()
        while not os.path.exists(place + "/looked"): time.sleep(0.01)
        """
    )
    thread.join()
    first, second = notebook.ns["weights"]

    assert shown.error is None, shown.err
    assert first.equal(second)
    assert len(seen) >= 3  # the agent's store and one of gloo in each rank
    assert set(seen) == {"127.0.0.1"}


def test_the_root_cause_is_the_rank_that_failed_and_not_its_victim(warm_notebook):
    notebook = warm_notebook
    notebook.cells(
        """
        def step(i):
            dist.all_reduce(torch.ones(1))
            if i == 3 and dist.get_rank() == 1:
                raise ValueError("the real cause")
        """
    )
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o seen
        dist.init_process_group()
        rank, seen = dist.get_rank(), []
        try:
            for i in range(10**6):
                step(i)
                seen.append(i)
        finally:
            dist.destroy_process_group()
            if rank == 1: time.sleep(0.4)
        """
    )

    assert isinstance(shown.error, WorkerFailed)
    assert shown.error.rank == 1
    assert shown.told.startswith("Rank 1 of 2 failed: ValueError: the real cause\n")
    assert 'File "Cell In[3]", line 6, in <module>\n    step(i)' in shown.told
    assert (
        'File "Cell In[2]", line 4, in step\n    raise ValueError("the real cause")' in shown.told
    )
    assert "Rank 0 lost its peer" in shown.told
    assert "ddp_magic/worker" not in shown.told
    assert "torch/distributed/elastic" not in shown.told + shown.err
    assert notebook.ns["seen"] == [0, 1, 2, 3]


ENDS = {
    "exit code": ("if rank == 1: sys.exit(3)", "Rank 1 of 2 failed: it called sys.exit(3)"),
    "SIGKILL": ("if rank == 1: os.kill(os.getpid(), 9)", "Rank 1 of 2 failed: it was killed by "),
    "SIGSEGV": ("if rank == 1: os.kill(os.getpid(), 11)", "Rank 1 of 2 failed: it crashed with "),
    "os._exit": ("if rank == 1: os._exit(7)", "Rank 1 of 2 failed: it left with exit code 7"),
    "before the group": (
        "if rank == 1: raise KeyError('early')\ndist.init_process_group()",
        "Rank 1 of 2 failed: KeyError: 'early'",
    ),
    "the same in all": (
        "dist.init_process_group()\nraise OSError('no data')",
        "Rank 1 failed in the same way.",
    ),
    "an import": ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
}  # fmt: skip


LAUNCHED = [("torch", "SIGKILL"), ("torch", "the same in all"), ("bare", "exit code")]
WAYS = [*(("torch", end) for end in ENDS), ("bare", "exit code"), ("bare", "SIGKILL")]


@pytest.mark.parametrize(("kind", "end"), WAYS, ids=[f"{end}, {kind}" for kind, end in WAYS])
def test_every_way_to_die_is_said_in_a_clear_sentence(request, kind, end):
    """By torch's launcher where one, all or a rank without torch ends."""
    if (kind, end) not in LAUNCHED:
        request.getfixturevalue("forked")
    code, said = ENDS[end]
    body = f'rank = int(os.environ["RANK"])\n{code}\ntime.sleep(60)'
    notebook = request.getfixturevalue(f"{kind}_notebook")
    shown = notebook.run(f"%%ddp --nproc 2 --grace 3\n{body}")

    assert isinstance(shown.error, WorkerFailed)
    assert said.replace("Rank 1 failed in", "failed in") in shown.told
    assert "ChildFailedError" not in shown.told + shown.err


def test_a_group_that_was_never_made_is_told_and_the_environment_is_clean(
    torch_notebook, monkeypatch, request
):
    monkeypatch.setenv("PET_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "stale")
    monkeypatch.setenv("MPLBACKEND", "module://ipympl.backend_nbagg")
    monkeypatch.setenv("RANK", "7")
    shown = torch_notebook.run(
        """
        %%ddp --nproc 2 --env GREETING=hello -o env,seen
        env = dict(os.environ)
        seen = [sys.argv, sys.path, os.getcwd(), __name__, __file__, sorted(globals())]
        """
    )
    env, (_, path, cwd, name, file, names) = torch_notebook.ns["env"], torch_notebook.ns["seen"]

    assert shown.error is None
    assert "never communicated" in shown.err
    assert env["GREETING"] == "hello"
    assert env["RANK"] == "0"
    assert env["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert env["GLOO_SOCKET_IFNAME"] == "lo"
    assert env["PYTHONHASHSEED"] == "0"
    assert "PET_MAX_RESTARTS" not in env
    assert env["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
    assert "DDP_MAGIC_AGENT" not in env
    assert "RANK" in os.environ
    assert (cwd, name) == (os.getcwd(), "__main__")
    assert file.endswith("/main.py")
    assert path == [*sys.path]
    assert not [n for n in names if "ddp" in n]

    request.getfixturevalue("light")  # whose workers are to find no other environment
    torch_notebook.run("%%ddp --nproc 2 --env GREETING=hello -o env\nenv = dict(os.environ)")
    other = {*torch_notebook.ns["env"]} ^ {*env}
    assert other <= {"TORCHELASTIC_SIGNALS_TO_HANDLE"}  # what torch's launcher tells itself


def test_an_interrupt_brings_back_what_is_bound_and_the_next_run_works(either, tmp_path):
    notebook = either
    notebook.cells(f"ready = {str(tmp_path / 'ready')!r}\nlater = 'from before'")
    thread = notebook.interrupt_at(tmp_path / "ready")
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o done,later,cleaned
        dist.init_process_group()
        done = 0
        cleaned = False
        try:
            while True:
                dist.all_reduce(torch.ones(1))
                done += 1
                if done == 20 and dist.get_rank() == 0: open(ready, "w").close()
        finally:
            cleaned = True
        later = "after"
        """
    )
    thread.join()

    assert isinstance(shown.error, RunStopped)
    assert notebook.ns["done"] >= 20
    assert notebook.ns["cleaned"] is True
    assert notebook.ns["later"] == "from before"
    assert "later: the cell had not set it yet" in shown.told
    if waited := keeper_of(notebook.shell).why_cold == "":
        notebook.cells("%ddp_config standby=on")
        no_more(ready(notebook))
    again = notebook.run("%%ddp --nproc 2\n6 * 7")
    assert again.value == 42
    assert waited == (keeper_of(notebook.shell).why_cold == "")


def test_a_second_interrupt_kills_what_ignores_the_first(either_bare, tmp_path):
    notebook = either_bare
    notebook.cells(f"ready = {str(tmp_path / 'ready')!r}")
    thread = notebook.interrupt_at(tmp_path / "ready", times=2)
    shown = notebook.run(
        """
        %%ddp --nproc 2 --grace 600 -o done
        import signal, subprocess
        def tell(name): os.environ["RANK"] == "0" and open(name, "w").close()
        signal.signal(signal.SIGINT, lambda *_: tell(ready + ".2"))
        subprocess.Popen(["sleep", "600"])
        done = 1
        tell(ready)
        while True: time.sleep(60)
        """
    )
    thread.join()

    assert isinstance(shown.error, RunStopped)
    assert "done: rank 0 ended before it could save" in shown.told


def test_a_timeout_shows_where_every_rank_hangs(forked, warm_notebook):
    notebook = warm_notebook
    notebook.cells(
        """
        def wait_for_ever():
            if dist.get_rank() == 1:
                time.sleep(600)
            dist.all_reduce(torch.ones(1))
        """
    )
    shown = notebook.run(
        """
        %%ddp --nproc 2 --timeout 3 --grace 1
        dist.init_process_group()
        wait_for_ever()
        """
    )

    assert isinstance(shown.error, RunStopped)
    assert "--timeout" in shown.told
    assert 'File "Cell In[2]", line 4 in wait_for_ever' in shown.told
    assert 'File "Cell In[2]", line 3 in wait_for_ever' in shown.told
    assert 'File "Cell In[3]", line 3 in <module>' in shown.told


@pytest.mark.parametrize("way", ["cold", "warm"])
def test_a_restart_starts_a_clean_attempt(way, request, monkeypatch):
    if way == "warm":
        request.getfixturevalue("waiting")
    notebook = request.getfixturevalue("notebook")
    keeper = keeper_of(notebook.shell)
    line = parse("--nproc 2 --restarts 1")
    keeper.expect(spec_for(line, place(line, None), columns=100, colour=False), ["torch"])
    notebook.cells(IMPORTS)
    if way == "warm":
        no_more(ready(notebook))
    shown = notebook.run(
        """
        %%ddp --nproc 2 --restarts 1 -o attempt
        dist.init_process_group()
        total = torch.ones(1); dist.all_reduce(total)
        attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        if attempt == 0 and dist.get_rank() == 1: raise RuntimeError("planned")
        dist.barrier()
        """
    )

    assert shown.error is None, shown.told
    assert notebook.ns["attempt"] == 1
    assert (keeper.why_cold == "") == (way == "warm")


def test_spawned_loader_workers_find_the_notebooks_classes(forked, warm_alone):
    notebook = warm_alone
    notebook.cells(
        """
        from torch.utils.data import Dataset, DataLoader
        base = [10]
        class Numbers(Dataset):
            def __len__(self): return 4
            def __getitem__(self, i): return i + base[0]
        """
    )
    shown = notebook.run(
        """
        %%ddp --nproc 1 -o got
        loader = DataLoader(Numbers(), num_workers=1, multiprocessing_context="spawn")
        got = [int(x) for x in loader]
        """
    )

    assert shown.error is None, shown.told
    assert notebook.ns["got"] == [10, 11, 12, 13]


def test_results_of_every_kind(forked, torch_notebook):
    notebook = torch_notebook
    notebook.cells("class Point:\n    def __init__(self, x): self.x = x", "old = Point(1)")
    old_class = notebook.ns["Point"]
    notebook.cells("class Point:\n    def __init__(self, x): self.x = -x")
    shown = notebook.run(
        """
        %%ddp --nproc 1 -o new,kept,bad,same,big
        new, kept = Point(2), old
        bad = (i for i in range(3))
        same = [new, new]
        big = torch.arange(10**6)
        hidden = "fetch me"
        (n for n in [1])
        """
    )
    ns = notebook.ns

    assert shown.error is None
    assert type(ns["new"]) is ns["Point"]
    assert ns["new"].x == -2
    assert type(ns["kept"]) is old_class
    assert ns["same"][0] is ns["same"][1] is ns["new"]
    assert ns["big"].sum() == 499999500000
    assert "bad" not in ns
    assert "bad: a generator" in shown.err
    assert repr(shown.value).startswith("<generator object")
    assert notebook.run("%ddp_output hidden").value == "fetch me"
    assert ns["hidden"] == "fetch me"
    assert "hidden" in notebook.run("%ddp_output nothing").told


def test_keep_leaves_a_module_that_runs_by_hand(light, torch_notebook, tmp_path):
    notebook = torch_notebook
    notebook.cells("scale = [3]", "def times(x): return x * scale[0]")
    kept = tmp_path / "kept"
    shown = notebook.run(f"%%ddp --nproc 1 --keep {kept}\nprint('result', times(2))")
    again = subprocess.run(
        [sys.executable, kept / "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    refused = notebook.run(f"%%ddp --nproc 1 --keep {kept}\n1")

    assert shown.error is None
    assert again.stdout == "result 6\n"
    assert (kept / "logs" / "rank0.stdout.log").read_text() == "result 6\n"
    assert "def times" in (kept / "main.py").read_text()
    assert "--keep" in refused.told


def test_show_runs_nothing(torch_notebook, nothing_left):
    notebook = torch_notebook
    notebook.cells(TRAINER)
    shown = notebook.run("%%ddp --show lr=0.5\ntrainer = Trainer()")

    assert shown.error is None
    assert "class Trainer:" in shown.out
    assert "trainer = Trainer()" in shown.out
    assert not list(nothing_left.glob("ddp_magic-*/run-*"))


def test_a_flood_of_lines_reaches_the_log_whole(forked, torch_notebook, tmp_path):
    notebook = torch_notebook
    shown = notebook.run(
        f"""
        %%ddp --nproc 2 --keep {tmp_path / "kept"}
        for i in range(200_000): print("line", i)
        """
    )
    log = (tmp_path / "kept" / "logs" / "rank0.stdout.log").read_text().splitlines()

    assert shown.error is None
    assert log == [f"line {i}" for i in range(200_000)]
    assert shown.out.count("\n") < 10_000
