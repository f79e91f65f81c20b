"""A run leaves its record, %ddp_runs shows it, and no disk and no text does harm to either."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddp_magic.errors import OptionError
from ddp_magic.events import Devices, Metrics, RunState
from ddp_magic.history import History, keeping
from ddp_magic.history.remember import POINTS, notebook, remember, writing
from ddp_magic.history.store import Store, place
from ddp_magic.line.conversions import title
from ddp_magic.options import parse
from ddp_magic.samples import GpuSample, WorkerSample
from ddp_magic.views.picture import Picture
from tests.display import ended
from tests.notebook import Notebook
from tests.records import MODULE, record


def a_plan(tmp_path: Path, **changes: Any) -> Any:
    """What `prepare` gives, as far as the history reads it."""
    main, body = tmp_path / "main.py", tmp_path / "body.py"
    main.write_text(MODULE)
    body.write_text("1 + 1\n")
    facts: dict[str, Any] = {
        "options": parse("--name baseline lr=0.1  # first try"),
        "cell": SimpleNamespace(label="Cell In[7]"),
        "run": SimpleNamespace(main=main, body=body),
        "placement": SimpleNamespace(labels=("CPU", "CPU")),
        "bound": (SimpleNamespace(shown="lr=0.1 → Trainer(lr)"),),
    }
    return SimpleNamespace(**(facts | changes))


def metrics(step: float | None, rank: int = 0, **values: float) -> Metrics:
    return Metrics(time=1.0, rank=rank, step=step, values=tuple(values.items()))


def test_what_is_remembered_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "work/train.ipynb")
    picture = Picture()
    for step in range(1000):
        picture.handle(metrics(step, loss=1000.0 - step))
    gpu = GpuSample(label="cuda:0 X", used=3 << 30, total=8 << 30, busy=None)
    picture.handle(
        Devices(time=1.0, gpus=(gpu,), workers=(WorkerSample(rank=1, cpu=1, memory=1 << 30),))
    )
    history = History()
    last = ended(time=2000.0, state=RunState.FAILED, summary="rank 1 failed: ValueError: x")
    told = history.begin(writing(a_plan(tmp_path), picture, last, {}))
    history.finish()
    run = Store(place()).read(1)

    assert told == history.trouble == ""
    assert run is not None
    assert (run.name, run.note, run.notebook) == ("baseline", "first try", "work/train.ipynb")
    assert (run.cell, run.started, run.duration) == ("Cell In[7]", 2000.0 - 4.2, 4.2)
    assert (run.state, run.summary) == ("failed", "rank 1 failed: ValueError: x")
    assert (run.devices, run.overrides) == (("CPU", "CPU"), ("lr=0.1 → Trainer(lr)",))
    assert (run.module, run.body) == (MODULE, "1 + 1\n")
    assert run.peaks == {"cuda:0": "3.2 GB of 8.6 GB", "rank 1": "1.1 GB"}
    assert set(run.versions) == {"ddp_magic", "Python", "torch"}
    (loss,) = run.metrics
    assert (loss.name, loss.last, loss.count) == ("loss", 1.0, 1000)
    assert loss.low < loss.last + 10
    assert len(loss.x) == len(loss.y) <= POINTS
    assert loss.x[-1] >= 990
    assert list(loss.y) == sorted(loss.y, reverse=True)


def test_keys_are_masked_wherever_they_stand(tmp_path: Path):
    key = "hf_abcdefghij0123456789"
    plan = a_plan(
        tmp_path,
        options=parse(f"--name password=hunter22x1  # with {key}"),
        bound=(SimpleNamespace(shown=f"token={key} → token"),),
    )
    picture = Picture()
    picture.handle(metrics(1, **{key: 1.0}))
    kept = remember(
        plan,
        picture,
        ended(summary=f"rank 0 failed: ValueError: bad {key}"),
        module=f"login('{key}')\n",
        body=f"# {key}\n",
        space={"__vsc_ipynb_file__": f"/home/{key}.ipynb"},
    )
    text = b"".join(kept.written()).decode()

    assert key not in text
    assert "hunter22x1" not in text
    assert text.count("***") >= 7


def test_a_long_module_is_cut_and_says_so(tmp_path: Path):
    kept = remember(
        a_plan(tmp_path), Picture(), ended(), module="x = 1\n" * 100_000, body="", space={}
    )

    assert len(kept.module) < 210_000
    assert kept.module.endswith("x = 1\n# (cut here)\n")


@pytest.mark.parametrize(
    ("environ", "space", "name"),
    [
        ({"JPY_SESSION_NAME": "a/b.ipynb"}, {}, "a/b.ipynb"),
        ({}, {"__vsc_ipynb_file__": "/c/d.ipynb"}, "/c/d.ipynb"),
        ({}, {"__vsc_ipynb_file__": 7}, ""),
        ({}, {}, ""),
    ],
)
def test_the_notebook_is_named_where_somebody_tells(environ, space, name):
    assert notebook(environ, space) == name


def test_a_slow_disk_delays_no_cell_and_loses_no_run(monkeypatch: pytest.MonkeyPatch):
    answers = threading.Event()
    done: list[int] = []
    history = History()
    before = time.perf_counter()
    for number in range(3):
        told = history.begin(lambda n=number: (answers.wait(60), done.append(n)))
        assert told == ""
    waited = time.perf_counter() - before
    assert done == []
    answers.set()
    history.finish(60)

    assert sorted(done) == [0, 1, 2]
    assert waited < 1


def test_records_do_not_pile_up_before_a_disk_that_never_answers(monkeypatch: pytest.MonkeyPatch):
    answers = threading.Event()
    monkeypatch.setattr(keeping, "_WAITING", 2)
    history = History()
    told = [history.begin(lambda: answers.wait(60)) for _ in range(4)]
    answers.set()
    history.finish(60)

    assert told[:2] == ["", ""]
    assert "cannot be written: the disk does not answer." in told[2]
    assert told[3] == ""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (ValueError("broken"), "ValueError: broken"),
    ],
)
def test_trouble_is_told_once_with_what_to_do(error: Exception, why: str):
    def fail() -> None:
        raise error

    history = History()
    told = [history.begin(fail)]
    history.finish(60)
    told += [history.begin(lambda: None), history.begin(fail)]

    assert [bool(text) for text in told].count(True) == 1
    assert "".join(told) == (
        f"The run history in {place()} cannot be written: {why}. The run itself is complete; set "
        "XDG_STATE_HOME to another directory, or write %ddp_config history=off."
    )


def test_a_name_is_for_people():
    assert parse("--name 'two words'").name == "two words"
    assert parse("lr=1").name == ""
    for text in (" ", "x" * 81):
        with pytest.raises(OptionError, match="--name takes one to 80 characters"):
            title(text)


def test_the_setting_can_be_made_everywhere(notebook: Notebook, monkeypatch: pytest.MonkeyPatch):
    assert "history=True " in notebook.run("%ddp_config").out
    notebook.cells("%ddp_config history=off")
    assert "history=False" in notebook.run("%ddp_config").out
    assert "%ddp_config history=on changes that" in notebook.run("%ddp_runs").out
    assert notebook.run("%ddp_config history=perhaps").told.startswith("history cannot be perhaps.")
    monkeypatch.setenv("DDP_MAGIC_HISTORY", "0")
    notebook.cells("%reload_ext ddp_magic")
    assert "history=False" in notebook.run("%ddp_config").out
    notebook.cells("%config DdpMagic.history = True")
    assert "history=True" in notebook.run("%ddp_config").out


def test_the_magic_lists_shows_compares_and_forgets(notebook: Notebook):
    empty = notebook.run("%ddp_runs").out
    assert empty.startswith("No run is remembered yet.\nKept in ")
    store = Store(place())
    for lr in ("0.1", "0.01"):
        store.add(record(name=f"with {lr}", overrides=(f"lr={lr} → lr",)))

    listed = notebook.run("%ddp_runs").out
    assert listed.index("with 0.01") < listed.index("with 0.1 ")
    assert "with 0.1" not in notebook.run("%ddp_runs lr=1e-2").out.replace("with 0.01", "")
    assert notebook.run("%ddp_runs 1").out.startswith("Run 1 with 0.1 succeeded in 4.2 s")
    assert "Runs 1 and 2" in notebook.run("%ddp_runs 1 2").out
    assert notebook.run("%ddp_runs 7").told == (
        "Run 7 is not in the history. %ddp_runs lists those that are."
    )
    assert notebook.run("%ddp_runs --delete 1").out == "1 run deleted from the history.\n"
    assert store.numbers() == [2]
    assert notebook.run("%ddp_runs --delete 1 9").told.startswith("None of these runs is in the")
    assert notebook.run("%ddp_runs --clear").out == "1 run deleted from the history.\n"
    assert notebook.run("%ddp_runs --clear").out == "0 runs deleted from the history.\n"


def test_a_history_that_cannot_be_read_is_told(notebook: Notebook, tmp_path, monkeypatch):
    (tmp_path / "ddp_magic").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert notebook.run("%ddp_runs").told == (
        "The run history cannot be read or written: Not a directory. "
        "Set XDG_STATE_HOME to a directory of your own."
    )


@pytest.mark.workers
@pytest.mark.usefixtures("light")
def test_two_runs_are_remembered_and_compared(notebook: Notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook.cells(
        "from ddp_magic import log\n"
        "lr = 0.1\n"
        "def train():\n    for step in range(5): log(step=step, loss=lr * (5 - step))"
    )
    notebook.cells("%%ddp -n 1 lr=0.5 --name high # the first\ntrain()")
    notebook.cells("def train():\n    for step in range(9): log(step=step, loss=lr * (9 - step))")
    failed = notebook.run("%%ddp -n 1 lr=0.2\ntrain()\nraise ValueError('diverged')")
    assert "diverged" in failed.told
    notebook.cells("%ddp_config history=off", "%%ddp -n 1\n1", "%ddp_config history=on")

    listed = notebook.run("%ddp_runs").out
    heads, new, old = listed.strip().split("\n\n")[0].splitlines()
    assert heads.split()[:3] == ["run", "when", "name"]
    assert old.split()[:5] == ["1", "just", "now", "high", "succeeded"]
    assert "the first" in old
    assert "failed" in new
    assert "rank 0 failed: ValueError: diverged" in new
    assert "lr=0.2" in new
    assert "█" in new
    compared = notebook.run("%ddp_runs 1 2").out
    assert "lr  0.5  0.2" in compared
    assert "-    for step in range(5): log(step=step, loss=lr * (5 - step))" in compared
    assert "+    for step in range(9): log(step=step, loss=lr * (9 - step))" in compared
    assert "+raise ValueError('diverged')" in compared
    best = notebook.run("%ddp_runs sort=loss").out.strip().splitlines()
    assert [line.split()[0] for line in best[1:3]] == ["2", "1"]

    (tmp_path / "ddp_magic").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    shown = [notebook.run("%%ddp -n 1\n1 + 1") for _ in range(3)]
    assert [each.value for each in shown] == [2, 2, 2]
    assert sum("The run history in" in each.out + each.err for each in shown) == 1
