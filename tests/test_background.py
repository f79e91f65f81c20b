"""Runs that go on without their cell, with real workers, none of which imports torch."""

from __future__ import annotations

import asyncio
import signal

import pytest

from ddp_magic import magic
from ddp_magic.errors import LaunchFailed, RunStopped, UserError, WorkerFailed
from ddp_magic.handle import RunHandle
from ddp_magic.history.store import Store
from ddp_magic.history.store import place as history_place
from ddp_magic.processes import marked
from tests.notebook import Notebook, until
from tests.standby import keeper_of, without_torch

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("on_cpu", "light")]

UNTIL_GO = """\
import os, time
open({place!r} + "/began", "w").close()
print("began")
try:
    while not os.path.exists({place!r} + "/go"): time.sleep(0.01)
finally:
    open({place!r} + "/left", "w").close()
"""


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


class Place:
    """Marker files, and cells that wait for one."""

    def __init__(self, notebook: Notebook, path) -> None:
        self.notebook = notebook
        self.path = path
        self.began, self.go, self.left = (path / n for n in ("began", "go", "left"))

    def cell(self, options: str, then: str = "", first: str = "") -> str:
        body = first + UNTIL_GO.format(place=str(self.path))
        return f"%%ddp --nproc 1 --grace 5 {options}\n{body}{then}"

    def start(self, options: str = "-b", then: str = "") -> RunHandle:
        """Start a run in the background that ends when `go` is there."""
        shown = self.notebook.run_raw(self.cell(options, then))
        assert isinstance(shown.value, RunHandle), shown.err
        return shown.value


@pytest.fixture
def place(notebook, tmp_path):
    return Place(notebook, tmp_path)


def test_a_cell_gets_its_value_at_once_and_results_come_between_cells(
    place, notebook, nothing_left
):
    run = place.start("-b -o model,history", "history = [1]; model = 'big'; other = 3; len(model)")

    assert repr(run).startswith("run-1 (Cell In[1], 1 worker): starting in the background, ")
    until(place.began.exists)
    until(lambda: run.status == "running")
    assert "running in the background" in notebook.run("%ddp_status").out
    assert "began\n" in run.logs()
    notebook.ns.update(run=run, until=until, go=place.go, model="mine")
    shown = notebook.run(
        """
        before = model, "history" in globals()
        go.touch()
        until(run._run.future.done)
        before, model, "history" in globals()
        """
    )

    assert shown.value == (("mine", False), "mine", False)
    assert (notebook.ns["model"], notebook.ns["history"]) == ("big", [1])
    assert (run.status, run.wait(), run.result(), run.output("other")) == (
        "succeeded", "succeeded", 3, 3,
    )  # fmt: skip
    assert "other" not in notebook.ns
    assert "A cell was running: model, history came into the notebook when it had ended" in (
        shown.out + shown.err
    )
    assert marked(nothing_left / "x") == []
    left = next(nothing_left.glob("ddp_magic-*/run-1"))
    assert sorted(p.name for p in left.iterdir()) == ["logs", "results"]


def test_a_cell_that_waits_has_the_results_and_an_interrupt_ends_the_waiting_only(place, notebook):
    run = place.start("-b -o answer", "answer = 42")
    until(place.began.exists)
    notebook.ns.update(run=run, go=place.go, waits=place.path / "waits")
    thread = notebook.interrupt_at(place.path / "waits")
    # no file object, in whose end an interrupt would be lost
    interrupted = notebook.run("waits.touch()\nrun.wait()")
    thread.join()
    with pytest.raises(TimeoutError):
        run.result(0.01)
    assert isinstance(interrupted.error, KeyboardInterrupt)
    assert run.wait(0.01) == run.status == "running"

    shown = notebook.run("go.touch()\nrun.wait(), answer")
    assert shown.value == ("succeeded", 42)
    assert not isinstance(notebook.run("run").error, Exception)


def test_a_run_can_be_awaited_while_the_loop_goes_on(place, notebook):
    run = place.start("-b -o answer", "answer = 42\nanswer + 1")
    until(place.began.exists)

    async def both():
        task = asyncio.ensure_future(_result(run))
        await asyncio.sleep(0.05)
        cancelled = asyncio.ensure_future(_result(run))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        assert not task.done()
        place.go.touch()
        return await task

    assert asyncio.run(both()) == 43
    assert notebook.ns["answer"] == 42


async def _result(run):
    return await run


def test_stop_interrupts_and_finally_runs(place, notebook):
    run = place.start()
    until(place.began.exists)
    shown = notebook.run("%ddp_stop 1")
    assert run.wait() == "stopped"

    assert shown.error is None
    assert place.left.exists()
    with pytest.raises(RunStopped, match="interrupted"):
        run.result()
    run.stop()  # nobody is there any more
    assert isinstance(notebook.run("%ddp_stop").error, Exception)
    told = notebook.run("%ddp_stop run-1")
    assert "No run is going on" in told.told


def test_a_failure_is_shown_and_raised_to_who_asks(notebook, capfd):
    run = notebook.run("%%ddp -n 1 -b\n1 / 0").value
    assert run.wait() == "failed"

    with pytest.raises(WorkerFailed, match="ZeroDivisionError"):
        run.result()
    with pytest.raises(WorkerFailed):
        asyncio.run(_result(run))
    assert "line 2, in <module>\n    1 / 0" in capfd.readouterr().err
    assert "failed" in notebook.run("%ddp_status").out
    with pytest.raises(UserError, match="did not leave a variable x"):
        run.output("x")


def test_a_run_that_is_refused_is_refused_in_the_cell(notebook):
    shown = notebook.run("%%ddp -n 1 -b nothing=3\n1")

    assert "nothing" in shown.told
    assert magic._loaded[id(notebook.shell)].runs.going == []


def test_runs_beside_each_other_are_told_apart_and_each_keeps_what_it_brought(place, notebook):
    first = place.start("-b -o name", "name = 'first'; own = 1")
    until(place.began.exists)
    second = notebook.run("%%ddp -n 1 --background -o name\nname = 'second'; own = 2").value
    both = notebook.run("%ddp_status").out
    assert second.wait() == "succeeded"
    blocking = notebook.run("%%ddp -n 1\n'third'")
    place.go.touch()

    assert [line[:5] for line in both.splitlines()[:2]] == ["run-1", "run-2"]
    assert blocking.value == "third"
    assert first.wait() == "succeeded"
    assert (first.output("name"), second.output("name")) == ("first", "second")
    assert first.output("own") == 1
    with pytest.raises(UserError, match="own of run-2 cannot be had any more"):
        second.output("own")
    assert notebook.run("%ddp_output own run-1").value == 1
    assert notebook.ns["name"] == "first"
    assert "No run run-9 has left" in notebook.run("%ddp_output own run-9").told


def test_a_blocking_run_is_sent_to_the_background_and_its_interrupts_go_with_the_cell(
    place, notebook
):
    runs = magic._loaded[id(notebook.shell)].runs

    def press() -> None:
        runs.going[0].background()

    thread = notebook.when(place.began, press)
    shown = notebook.run_raw(place.cell("-o answer", "answer = 42\n'value'"))
    thread.join()
    run = shown.value

    assert isinstance(run, RunHandle), (shown.value, shown.err)
    assert run.status in ("starting", "running")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    place.go.touch()
    assert run.result() == "value"
    assert notebook.ns["answer"] == 42


def test_unloading_ends_what_runs_in_the_background(place, notebook, nothing_left):
    run = place.start()
    until(place.began.exists)
    notebook.shell.run_line_magic("unload_ext", "ddp_magic")

    assert run.status == "stopped"
    assert place.left.exists()
    assert [*nothing_left.glob("ddp_magic-*")] == []
    notebook.shell.run_line_magic("load_ext", "ddp_magic")


def test_a_mistake_of_ours_leaves_no_process_and_is_told(place, notebook, nothing_left, capfd):
    run = place.start()
    until(place.began.exists)
    run._run._obeying.obey = lambda *_: 1 / 0
    assert run.wait() == "failed"

    with pytest.raises(Exception, match="ddp_magic itself failed: ZeroDivisionError"):
        run.result()
    home = next(nothing_left.glob("ddp_magic-*"))
    assert [p for p in marked(home) if p != run._run.guard.pid] == []
    assert "ddp_magic itself failed" in capfd.readouterr().err
    assert notebook.run("%%ddp -n 1\n6 * 7").value == 42
    assert "failed" in notebook.run("%ddp_status").out
    remembered(1, "ddp_magic itself failed: ZeroDivisionError: division by zero")


def remembered(number: int, summary: str) -> None:
    """Look for a run that failed by our own mistake in the history."""
    kept = Store(history_place()).read(number)
    assert kept is not None
    assert (kept.state, kept.summary) == ("failed", summary)
    assert "began" in kept.body


def test_a_mistake_of_ours_ends_the_record_of_a_cell_that_waits_too(place, notebook):
    runs = magic._loaded[id(notebook.shell)].runs

    def break_down() -> None:
        runs.going[0]._obeying.obey = lambda *_: 1 / 0

    thread = notebook.when(place.began, break_down)
    shown = notebook.run(place.cell(""))
    thread.join()

    assert "ddp_magic itself failed: ZeroDivisionError" in shown.told
    assert "failed in" in shown.out + shown.err
    assert runs.going == []
    remembered(1, "ddp_magic itself failed: ZeroDivisionError: division by zero")


def test_a_cell_whose_guard_cannot_be_started_has_a_record_that_ends(notebook, monkeypatch):
    def nothing_starts(*_: object) -> None:
        raise LaunchFailed("The guard could not be started. Run the cell again.")

    monkeypatch.setattr("ddp_magic.start.Guard", nothing_starts)
    shown = notebook.run("%%ddp -n 1\n'began'")

    assert "The guard could not be started" in shown.told
    assert "failed in" in shown.out + shown.err
    remembered(1, "The guard could not be started. Run the cell again.")


def test_the_next_workers_wait_while_a_run_goes_on(waiting, place, notebook, monkeypatch):
    monkeypatch.setenv("DDP_MAGIC_STANDBY_WORKERS", "1")
    keeper = without_torch(keeper_of(notebook.shell))
    notebook.run("%ddp_config standby=on standby_workers=1")
    run = place.start()
    until(place.began.exists)
    until(keeper.ready)
    second = notebook.run("%%ddp -n 1\n6 * 7")

    assert (second.value, keeper.why_cold) == (42, "")
    assert run.status == "running"
    place.go.touch()
    assert run.wait() == "succeeded"
