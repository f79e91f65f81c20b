"""The live panel and the record on real pages: JupyterLab and Notebook 7 in Chromium."""

from __future__ import annotations

import pytest

from tests import browser
from tests.browser import jupyter

pytestmark = pytest.mark.browser

PREPARE = """
from tests.scripted_run import *
from ddp_magic.events import RunState, StateChanged
"""
LIVE = """
play([
    started(),
    StateChanged(time=0.0, state=RunState.RUNNING),
    out("rank 0 is ready\\n"),
    out("\\x1b[32mgreen\\x1b[0m text\\n"),
    out("\\repoch 1\\n\\rstep 4/9\\x1b[A", stream="stderr"),
    out("rank 1 speaks\\n", 1),
    notice("tensors came back on the CPU"),
    Until("{go}"),
    out("\\repoch 2\\n\\rstep 9/9\\n", stream="stderr"),
])
"""
STOP = """
play([started(shown=(0, 1)), out("from zero\\n"), out("from one\\n", 1), Until("never")])
"""
DEAF = "import ddp_magic.shell\nheard, ddp_magic.shell.hear = ddp_magic.shell.hear, lambda *_: None"
HEARING = "ddp_magic.shell.hear = heard"
FLOOD = """
play([*flood(0), StateChanged(time=0.0, state=RunState.RUNNING), Until("{go}"), *flood({lines}),
      Until("{go}-2"), out("one more\\n")])
"""


@pytest.fixture(scope="module")
def lab(server):
    """One page of JupyterLab with a notebook that each test takes a cell of."""
    cells = [LIVE.format(go="live"), STOP, DEAF, HEARING, FLOOD.format(go="flood", lines=100_000)]
    notebook = server.open([PREPARE, *cells])
    notebook.run(0)
    yield notebook
    notebook.close()


@pytest.fixture(scope="module")
def seven(server):
    """Likewise of Notebook 7."""
    notebook = server.open([PREPARE, LIVE.format(go="never"), STOP, DEAF, HEARING], app="notebook")
    notebook.run(0)
    yield notebook
    notebook.close()


def go(server, name):
    """Let a script go on that waits for this file."""
    (server.root / name).touch()


def test_output_is_live_while_the_cell_blocks_and_the_record_takes_its_place(lab, server):
    output = lab.run(1, wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="rank 0 is ready").wait_for()
    panel.locator(".ddp-live", has_text="step 4/9").wait_for()

    assert not lab.ended()
    assert panel.get_by_role("status").first.inner_text() == "running"
    assert panel.get_by_text("lr=0.05 → Trainer(lr)").is_visible()
    assert panel.get_by_text("tensors came back on the CPU").is_visible()
    assert panel.locator("span[style*='--ddp-2']").inner_text() == "green"
    assert panel.locator(".ddp-live").inner_text().splitlines() == ["epoch 1", "step 4/9"]
    record = output.locator(".jp-RenderedHTML").first
    assert record.count() == 1, "the record is on the page"
    assert not record.is_visible(), "and a live panel hides it"

    first = panel.locator(".ddp-elapsed").inner_text()
    elapsed = panel.locator(".ddp-elapsed").element_handle()
    lab.until("([node, first]) => node.textContent !== first", [elapsed, first])
    # which is drawn every few seconds
    output.locator(".jp-RenderedHTML", has_text="running").first.wait_for(state="attached")
    saved = lab.save()
    assert (
        saved.cells[1]
        .outputs[0]
        .data["text/plain"]
        .startswith("%%ddp run-3 running when this was saved\n")
    )
    assert saved.cells[1].outputs[1].data["text/plain"] == ""

    panel.get_by_role("tab", name="rank 1").click()
    panel.get_by_text("rank 1 speaks").wait_for()
    assert not panel.get_by_text("rank 0 is ready").is_visible()

    go(server, "live")
    lab.wait_for_end()
    record.get_by_text("succeeded").wait_for()
    panel.wait_for(state="detached")
    assert "epoch 2\nstep 9/9" in record.locator("pre").first.inner_text()
    assert record.locator("details[open]").count() == 1
    saved = lab.save()
    assert "widgets" not in saved.metadata
    kinds = {kind for output in saved.cells[1].outputs for kind in output.get("data", {})}
    assert kinds == {"text/html", "text/plain"}
    assert lab.problems == []


def test_stop_reaches_a_blocking_cell_by_message_and_kill_follows_by_keyboard(lab):
    output = lab.run(2, wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-pane", has_text="rank 0").get_by_text("from zero").wait_for()
    panel.locator(".ddp-pane", has_text="rank 1").get_by_text("from one").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("interrupted: 30 s to finish").wait_for()
    kill = panel.get_by_role("button", name="Kill")
    kill.wait_for()
    kill.focus()
    cells = lab.page.locator(".jp-Cell").count()
    while not lab.ended():  # the button is deaf for a moment, so that a double click is no kill
        lab.page.keyboard.press("Enter")
        lab.page.wait_for_timeout(200)

    output.get_by_text("['message', 'message']").wait_for()
    assert lab.page.locator(".jp-Cell").count() == cells, "the keys were the panel's alone"
    assert output.locator(".jp-RenderedHTML").get_by_text("stopped", exact=True).is_visible()


def test_a_flood_leaves_the_page_responsive_and_its_bytes_bounded(lab, server):
    output = lab.run(5, wait=False)
    panel = output.locator(".ddp-magic")
    panel.get_by_text("running").wait_for()
    lab.page.evaluate("""() => {
        let last = performance.now();
        window.stall = 0;
        window.watch = setInterval(() => {
            window.stall = Math.max(window.stall, performance.now() - last);
            last = performance.now();
        }, 20);
    }""")
    before = lab.traffic.bytes
    go(server, "flood")
    panel.get_by_text("lines not shown here").first.wait_for()
    assert panel.locator(".ddp-line").count() <= 2100
    log = panel.locator(".ddp-log").element_handle()
    last = log.evaluate("log => { log.scrollTop = 0; return log.textContent.slice(-99); }")
    go(server, "flood-2")
    arrived = "([log, last]) => log.textContent.slice(-99) !== last"
    lab.until(arrived, [log, last])
    assert log.evaluate("log => log.scrollTop") == 0, "who reads above is not torn away"
    lab.wait_for_end()

    assert lab.page.evaluate("clearInterval(window.watch), window.stall") < 1500
    assert lab.traffic.bytes - before < 5_000_000, "of 14 MB that were printed"
    assert "of 100,001 lines" in output.locator(".jp-RenderedHTML summary").first.inner_text()


def test_a_page_that_is_reloaded_in_the_middle_shows_the_run_and_stops_it(seven):
    # JupyterLab in test_browser_kernels.py
    output = seven.run(1, wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="rank 0 is ready").wait_for()
    seven.save()
    seven.reload()
    panel.locator(".ddp-body", has_text="rank 0 is ready").wait_for()
    panel.locator(".ddp-live", has_text="step 4/9").wait_for()
    assert not output.get_by_text("Loading widget").is_visible()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("interrupted: 30 s to finish").wait_for()
    kill = panel.get_by_role("button", name="Kill")
    while not panel.locator(".ddp-state", has_text="stopped").count():  # deaf for a moment
        for button in kill.element_handles():
            button.evaluate("button => button.click()")
        seven.page.wait_for_timeout(200)
    assert seven.problems == []


@pytest.mark.parametrize("app", ["lab", "seven"])
def test_where_no_message_reaches_the_run_stop_interrupts_the_kernel(request, app):
    notebook = request.getfixturevalue(app)
    notebook.kernel("kernel.commsOverSubshells = 'disabled'")
    notebook.run(3)
    output = notebook.run(2, wait=False)
    panel = output.locator(".ddp-magic")
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("interrupted: 30 s to finish").wait_for()
    assert not notebook.ended()
    kill = output.get_by_role("button", name="Kill")
    while not notebook.ended():  # it may go between a look and a click
        for button in kill.element_handles():
            button.evaluate("button => button.click()")
        notebook.page.wait_for_timeout(200)

    output.get_by_text("['interrupt', 'interrupt']").wait_for()
    notebook.run(4)
    assert notebook.problems == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_a_machine_without_chromium_fails_in_ci_and_skips_elsewhere(
    ci, outcome, tmp_path, monkeypatch
):
    monkeypatch.setattr(browser, "CHROMIUM", "/nowhere/chromium")
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome.Exception, match="apt-get install chromium"), jupyter(tmp_path):
        pass
