"""Background runs in a real kernel: where their outputs go, and what dies with the kernel."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

from ddp_magic.processes import marked, wait_gone
from tests.kernels import LIGHT, Front, kernel
from tests.notebook import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.workers]

CELL = """%%ddp --nproc 1 --grace 5 --background {options}
import os, time
open({place!r} + "/began.{name}", "w").close()
print("began {name}")
try:
    while not os.path.exists({place!r} + "/go"): time.sleep(0.01)
    print("went {name}")
finally:
    time.sleep({last})
    open({place!r} + "/left.{name}", "w").close()
answer = 42
"""


@pytest.fixture
def front():
    with kernel() as made:
        made.run(LIGHT)
        yield Front(made)


def cell(place: Path, name: str, options: str = "", last: float = 0) -> str:
    return CELL.format(name=name, options=options, place=str(place), last=last)


def test_what_a_run_shows_lands_in_the_cell_that_started_it(front, tmp_path):
    kinds = ["plain", "html", "widget"]
    cells = {kind: front.run(cell(tmp_path, kind, f"-o answer --ui {kind}")) for kind in kinds}
    until(lambda: all((tmp_path / f"began.{kind}").exists() for kind in kinds))
    again = front.run("Out[3]")
    later = front.run("import ddp_magic.origin as o; o._BEAT = 0.1; print('later')")
    beats = len(front.of(cells["plain"], "update_display_data"))
    front.until(lambda: len(front.of(cells["plain"], "update_display_data")) > beats)
    (tmp_path / "go").touch()
    for request in cells.values():
        front.until(lambda r=request: "succeeded in" in front.shown(r))
    waited = front.run("await Out[2]; Out[3].wait(), Out[4].wait(), answer")

    assert front.of(waited, "error") == []
    for kind, request in cells.items():
        assert f"went {kind}" in front.shown(request)
        (result,) = front.of(request, "execute_result")
        assert [*result["data"]] == ["text/plain"], "the panel is there already"
        assert result["data"]["text/plain"].startswith("run-")
    assert "<b>%%ddp run-2</b>" in front.of(again, "execute_result")[0]["data"]["text/html"]
    assert front.shown(later) == "later\n"
    assert "('succeeded', 'succeeded', 42)" in front.shown(waited)


def test_a_failure_is_shown_below_the_record_of_its_cell(front):
    request = front.run("%%ddp -n 1 -b --ui html\n1 / 0")
    later = front.run("1")
    front.until(lambda: 'File "Cell In[2]", line 2' in front.shown(request))

    assert "rank 0 failed: ZeroDivisionError: division by zero\n" in front.shown(request)
    assert front.shown(later) == "1"


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_nothing_of_several_runs_outlives_the_kernel_and_each_gets_its_second(
    front, tmp_path, nothing_left, how
):
    for name in ("one", "two"):
        front.run(cell(tmp_path, name, "--ui plain", last=0.2 if name == "two" else 0))
        until((tmp_path / f"began.{name}").exists)
    pids = marked(nothing_left)
    if how == "kill":
        os.kill(front.kernel.pid, signal.SIGKILL)
    else:
        front.kernel.manager.restart_kernel(now=False)

    assert len(pids) >= 6
    assert wait_gone(pids, 10) == []
    until(lambda: not [*nothing_left.glob("ddp_magic-*")], 10)
    assert (tmp_path / "left.one").exists()
    assert (tmp_path / "left.two").exists()


def test_without_a_page_the_cell_waits_and_says_so_and_the_cells_below_are_the_same(tmp_path):
    (tmp_path / "go").touch()
    cells = [
        LIGHT,
        CELL.format(name="x", options="-o answer", place=str(tmp_path), last=0),
        "run = _\nanswer, run.wait(), run.result(), run.output('answer')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=90).execute()
    told = "".join(o.get("text", "") for o in notebook.cells[1].outputs)

    assert "nobody would see the run here after its cell, so the cell waits for it" in told
    assert "went x" in told
    assert notebook.cells[2].outputs[0]["data"]["text/plain"] == "(42, 'succeeded', None, 42)"
