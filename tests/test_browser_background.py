"""Runs that go on without their cell, on a real page of JupyterLab."""

from __future__ import annotations

import pytest

from tests.browser import jupyter

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        notebook = server.open(
            [
                "%load_ext ddp_magic\nimport ddp_magic.origin\nddp_magic.origin._BEAT = 0.5",
                TRAIN.format(options="", go="first"),
                "run = _\nprint('free again')",
                "run",
                "open('first', 'w').close()\nrun.wait(), answer",
                TRAIN.format(options="--background", go="second"),
                "run = Out[6]",
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
