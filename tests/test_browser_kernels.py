"""Each release of ipykernel with a page: a run is seen and stopped, on its page and on a later one.

Without subshells: a page may have them, and with the installed kernel the other tests do. The later
page is loaded anew with the installed kernel. With the others it is the same page, in which the
notebook was closed: a kernel cannot tell, and it takes seconds less.
"""

from __future__ import annotations

import pytest

from tests.kernels import VERSIONS

pytestmark = pytest.mark.browser

PREPARE = """
import ipykernel
from tests.scripted_run import *
from ddp_magic.events import RunState, StateChanged
ipykernel.__version__
"""
STOPPED = """
play([started(), StateChanged(time=0.0, state=RunState.RUNNING), out("it began\\n"), Until("no")])
"""
LONG = """
play([
    started(),
    StateChanged(time=0.0, state=RunState.RUNNING),
    *(out(f"early {n}\\n") for n in range(500)),
    Until("closed"),
    *(out(f"meanwhile {n}\\n") for n in range(500)),
    Until("no"),
])
"""


def press_twice(notebook, panel):
    """Press Stop and then Kill, which is deaf for a moment after it."""
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("interrupted: 30 s to finish · killed in 0:").wait_for()
    kill = panel.get_by_role("button", name="Kill")
    while kill.count():
        for button in kill.element_handles():
            button.evaluate("button => button.click()")
        notebook.page.wait_for_timeout(200)


def kept(notebook, index):
    """Save; check that the record alone is in the file, and return its text."""
    saved = notebook.save()
    assert "widgets" not in saved.metadata
    bundles = [output.data for output in saved.cells[index].outputs if "data" in output]
    assert {kind for data in bundles for kind in data} == {"text/html", "text/plain"}
    assert not any("-revive" in data.get("text/html", "") for data in bundles)
    return bundles[0]["text/plain"]


@pytest.mark.parametrize("version", VERSIONS, ids=[v or "newest" for v in VERSIONS])
def test_a_run_is_stopped_by_its_page_and_by_one_that_is_opened_in_the_middle(server, version):
    notebook = server.open([PREPARE, STOPPED, LONG], version=version)
    (server.root / "closed").unlink(missing_ok=True)
    notebook.kernel("kernel.commsOverSubshells = 'disabled'")
    assert f"'{version}" in notebook.run(0).inner_text()

    output = notebook.run(1, wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="it began").wait_for()
    press_twice(notebook, panel)
    notebook.wait_for_end()
    output.get_by_text("['message', 'message']").wait_for()
    assert kept(notebook, 1).startswith("%%ddp run-3 stopped")

    panel = notebook.run(2, wait=False).locator(".ddp-magic")
    panel.locator(".ddp-body", has_text="early 499").wait_for()
    notebook.save()
    assert notebook.problems == []
    notebook.close(shutdown=False)
    (server.root / "closed").touch()  # and nobody looks

    notebook = server.open(notebook.path, anew=not version)
    panel = notebook.output(2).locator(".ddp-magic")
    panel.get_by_text("meanwhile 499").wait_for()
    panel.get_by_text("early 0", exact=True).wait_for()
    press_twice(notebook, panel)
    record = notebook.output(2).locator(".jp-RenderedHTML").first
    record.get_by_text("stopped", exact=True).wait_for()
    panel.first.wait_for(state="detached")
    text = kept(notebook, 2)
    assert text.startswith("%%ddp run-3 stopped")
    assert "meanwhile 499" in text

    panel = notebook.run(2, wait=False).locator(".ddp-magic")
    panel.get_by_text("meanwhile 499").wait_for()
    notebook.kernel("kernel.restart()")
    panel.get_by_text("The kernel has ended, and the run with it.").wait_for()
    panel.locator(".ddp-state", has_text="failed").wait_for()
    assert panel.get_by_role("button", name="Stop").is_hidden()
    assert notebook.problems == []
    notebook.close()
