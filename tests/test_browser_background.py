"""Runs that go on without their cell, on real pages of JupyterLab and Notebook 7."""

from __future__ import annotations

import pytest

from tests.kernels import LIGHT, VIEW

pytestmark = [pytest.mark.browser, pytest.mark.workers]

TRAIN = """
%%ddp --nproc 1 -o answer {options}
import os, time
print("it began")
try:
    while not os.path.exists("{go}"): time.sleep(0.02)
    print("it went on")
finally:
    answer = 42
""".lstrip()

START = f"%env DDP_MAGIC_STANDBY=0\n{LIGHT}"
LOAD = f"""{START}
from ddp_magic import sampler, stall
vars(stall).update(QUIET=1.0, FIRST=1.0, WINDOW=4.0)
vars(sampler).update(_SHARE=1.0)  # a sample every second
lr = 0.1
"""
SEVEN = """
%%ddp --nproc 1 --background -o answer lr=0.05  # by hand
import os, time
import ddp_magic
from IPython.display import HTML
for step in range(30):
    ddp_magic.log(step=step, loss=1 / (1 + step), acc=step / 30)
print("\\x1b[32mit began\\x1b[0m with", lr)
display(HTML("<b>a table</b>"))
def waits():
    while not os.path.exists("never"): time.sleep(0.05)
try:
    waits()
finally:
    answer = 42
""".lstrip()


@pytest.fixture(scope="module")
def lab(server):
    notebook = server.open(
        [
            f"{START}\nimport ddp_magic.origin\nddp_magic.origin._BEAT = 0.5",
            TRAIN.format(options="", go="first"),
            "run = _\nprint('free again')",
            "run",
            "open('first', 'w').close()\nrun.wait(), answer",
            TRAIN.format(options="--background", go="second"),
            "run = _",
            "run.wait()",
        ]
    )
    notebook.run(0)
    yield notebook
    notebook.close()


def test_a_cell_that_blocks_is_freed_and_its_panel_goes_on(lab):
    output = lab.run(1, wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="it began").wait_for()
    panel.get_by_role("button", name="to background").click()
    lab.wait_for_end()
    output.locator("pre", has_text="1 worker): running in the background").first.wait_for()
    assert panel.count() == 1

    assert "free again" in lab.run(2).inner_text()
    again = lab.run(3)
    again.locator(".ddp-magic .ddp-body", has_text="it began").wait_for()
    assert panel.get_by_role("button", name="to background").is_hidden()
    assert "('succeeded', 42)" in lab.run(4).inner_text()
    output.locator(".jp-RenderedHTML pre", has_text="it went on").wait_for()
    panel.wait_for(state="detached")
    assert lab.problems == []


def test_a_background_run_is_stopped_by_its_panel(lab):
    output = lab.run(5)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="it began").wait_for()
    lab.run(6)
    panel.get_by_role("button", name="Stop").click()
    output.locator(".jp-RenderedHTML").get_by_text("stopped", exact=True).wait_for()

    assert "'stopped'" in lab.run(7).inner_text()
    assert output.get_by_text("The run was stopped: interrupted.").count() == 1
    assert lab.problems == []


def test_notebook_7_has_all_of_it_on_two_pages_and_in_the_record(server):
    notebook = server.open([LOAD, SEVEN, "run = _\nrun", "run.wait(), answer"], app="notebook")
    notebook.run(0)
    output = notebook.run(1)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="it began with 0.05").wait_for()
    assert panel.locator(".ddp-override").all_inner_texts() == ["lr=0.05 → lr"]
    panel.locator(".ddp-chart").nth(1).wait_for()
    panel.locator(".ddp-key", has_text="loss 0.03333").wait_for()
    panel.locator(".ddp-device").first.wait_for()
    output.get_by_text("a table").wait_for()
    assert panel.get_by_role("button", name="to background").is_hidden()

    panel.get_by_text("No rank has printed or logged for").wait_for()
    panel.get_by_role("button", name="stacks").click()
    panel.locator(".ddp-stacks-text", has_text="in waits").wait_for()
    panel.get_by_role("button", name="Close the stacks").click()

    handle = notebook.run(2).locator(".ddp-magic")
    handle.locator(".ddp-body", has_text="it began with 0.05").wait_for()
    notebook.save()
    other = server.open(notebook.path, app="notebook")
    own = ".jp-OutputArea-child:not(:has(script)) > .jp-OutputArea-output .ddp-magic"
    there = other.output(1).locator(own)
    there.locator(".ddp-body", has_text="it began with 0.05").wait_for()
    there.locator(".ddp-chart").nth(1).wait_for()
    # a page that is slow to draw its own has the one of the script for a moment
    other.output(1).locator("[class$=-revive] .ddp-magic").wait_for(state="detached")
    assert there.count() == 1
    there.get_by_role("button", name="Stop").click()

    for page in (notebook, other):
        record = page.output(1).locator(".jp-RenderedHTML").first
        record.get_by_text("stopped", exact=True).wait_for()
        page.page.locator(".ddp-magic").first.wait_for(state="detached")
        assert record.locator("img").count() == 1, "the curves"
    assert "('stopped', 42)" in notebook.run(3).inner_text()
    saved = notebook.save()
    assert "widgets" not in saved.metadata
    assert not [o for cell in saved.cells for o in cell.outputs if VIEW in o.get("data", {})]
    assert notebook.problems == other.problems == []
    other.close(shutdown=False)

    notebook.close(shutdown=False)
    again = server.open(notebook.path)
    record = again.output(2).locator(".jp-RenderedHTML").first
    record.get_by_text("stopped", exact=True).wait_for()
    assert again.page.locator(".ddp-magic").count() == 0
    again.close()
