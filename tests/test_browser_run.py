"""Real runs on real pages: %%ddp on two workers in JupyterLab and Notebook 7, in Chromium."""

from __future__ import annotations

import re

import pytest

from tests.scripted_run import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.workers]

DEFINE = """
%load_ext ddp_magic
import os
import time
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

class Trainer:
    def __init__(self, lr=0.1, epochs=2, go="", tag="none"):
        dist.init_process_group()
        self.model = DistributedDataParallel(torch.nn.Linear(2, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)
        self.epochs, self.go = epochs, go

    def train(self):
        losses = []
        try:
            for epoch in (bar := tqdm(range(self.epochs), desc="epochs", mininterval=0)):
                loss = self.model(torch.ones(4, 2)).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
                print(f"epoch {epoch}: \\x1b[32mloss\\x1b[0m of rank {dist.get_rank()}")
                while epoch == 1 and not os.path.exists(self.go):
                    time.sleep(0.02)
        except KeyboardInterrupt:
            bar.close()
            print("keeping what there is")
        return losses
"""
TRAIN = """
%%ddp --nproc 2 epochs=3 lr=0.05 go=GO -o history,model  # first try
trainer = Trainer()
history = trainer.train()
model = trainer.model
""".lstrip()
CHECK = "len(history), type(model).__name__"
FAIL = """
%%ddp --nproc 2 go=. tag={hostile} -o history  # <img src=x onerror=pwned=2>
history = Trainer().train()
print(hostile)
print(hostile, file=sys.stderr)
def check(rank):
    if rank == 1:
        raise type("<img src=x onerror='window.pwned=8'>", (ValueError,), {})(hostile)
check(dist.get_rank())
dist.barrier()
""".lstrip()
SHOW = """
%%ddp --show --nproc 2 tag={hostile} lr=0.3
Trainer().train()
print(hostile)
""".lstrip()


def go(server, name):
    """Let the training go on that waits for this file."""
    (server.root / name).touch()


CELLS = {
    "define": f"{DEFINE}\nimport sys\nhostile = {HOSTILE!r}\n%config DdpMagic.standby = False",
    "lab": TRAIN.replace("GO", "reload"),
    "fail": FAIL,
    "show": SHOW,
    "seven": TRAIN.replace("GO", "never"),
    "check": CHECK,
}
AT = {name: at for at, name in enumerate(CELLS)}


@pytest.fixture(scope="module")
def lab(server):
    """One page of JupyterLab."""
    notebook = server.open(list(CELLS.values()))
    notebook.run(AT["define"])
    yield notebook
    notebook.close()


def live(panel):
    """Wait until the training waits for its file, and check what the panel shows meanwhile."""
    panel.locator(".ddp-body", has_text="epoch 1: loss of rank 0").wait_for()
    panel.locator(".ddp-live", has_text="epochs:  33%|").wait_for()
    panel.locator(".ddp-state", has_text="running").wait_for()
    assert panel.locator(".ddp-override").all_inner_texts()[:2] == [
        "epochs=3 → Trainer(epochs)",
        "lr=0.05 → Trainer(lr)",
    ]
    assert re.fullmatch(r"\d:\d\d", panel.locator(".ddp-elapsed").inner_text())
    assert panel.locator("span[style*='--ddp-2']").first.inner_text() == "loss"
    assert panel.get_by_text("first try").is_visible()


def kept(notebook, index):
    """Save, check that nothing of a widget is in the file, and return the record's text."""
    saved = notebook.save()
    assert "widgets" not in saved.metadata
    bundles = [output.data for output in saved.cells[index].outputs if "data" in output]
    assert {kind for data in bundles for kind in data} == {"text/html", "text/plain"}
    return bundles[0]["text/plain"]


def test_a_page_that_is_reloaded_in_the_middle_shows_the_run_live_and_then_its_end(lab, server):
    output = lab.run(AT["lab"], wait=False)
    panel = output.locator(".ddp-magic")
    live(panel)
    assert not lab.ended()
    panel.get_by_role("tab", name="rank 1").click()
    panel.get_by_text("epoch 1: loss of rank 1").wait_for()
    record = output.locator(".jp-RenderedHTML").first
    record.locator("pre", has_text="epochs:  33%|").first.wait_for(state="attached")
    saved = lab.save().cells[AT["lab"]]
    assert "epoch 1: loss of rank 0" in saved.outputs[0].data["text/plain"]

    lab.reload()
    record.get_by_text("epoch 1: loss of rank 0").wait_for()
    assert record.get_by_text("running", exact=True).is_visible()
    panel.get_by_text("epoch 1: loss of rank 0").wait_for()  # of before the page was loaded
    panel.locator(".ddp-live", has_text="epochs:  33%|").wait_for()
    assert panel.count() == 1
    assert not record.is_visible()
    assert not output.get_by_text("Loading widget").is_visible()
    go(server, "reload")
    # once the kernel is idle the page draws its own panel again, and that has the record put there
    record.get_by_text("succeeded", exact=True).wait_for()
    record.get_by_text("epoch 2: loss of rank 0").wait_for()
    panel.first.wait_for(state="detached")
    assert kept(lab, AT["lab"]).startswith("%%ddp run-")
    assert "(3, 'Linear')" in lab.run(AT["check"]).inner_text()
    assert lab.problems == []


def test_a_failure_is_told_once_and_what_it_says_is_only_text(lab):
    output = lab.run(AT["fail"], wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-override", has_text="tag=").wait_for()
    harmless(lab, panel)
    lab.wait_for_end()
    panel.wait_for(state="detached")

    record = output.locator(".jp-RenderedHTML").first
    record.get_by_text("failed", exact=True).wait_for()
    text = output.inner_text()
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("raise type(") == 1
    assert "Rank 1 of 2 failed: <img src=x onerror='window.pwned=8'>: <script>" in text
    assert 'File "Cell In[4]", line 7, in check' in text
    harmless(lab, output)
    kept(lab, AT["fail"])


def harmless(notebook, area):
    """Assert that nothing hostile became more than text in this area."""
    text = area.inner_text()
    assert "<script>window.pwned=1</script>" in text
    assert not set("\x1b\x9b\u202e\u2066\x00\x07") & set(text)
    assert notebook.page.evaluate("window.pwned") is None
    # with an error JupyterLab shows an icon of its own, and paths as links without a target
    for tag in ("script", "img", "a[href]", "iframe", "mjx-container", "[onfocus]", "[onerror]"):
        assert area.locator(tag).count() == 0, tag
    assert notebook.problems == []


def test_show_is_a_table_and_a_folded_module_and_only_text(lab):
    output = lab.run(AT["show"])
    module = output.locator("pre")
    assert output.locator("th").all_inner_texts() == ["name", "how", "from", "what"]
    row = output.locator("tr", has=lab.page.get_by_text("Trainer", exact=True))
    assert re.fullmatch(r"Trainer\ssource\sCell In\[1\], lines \d-\d\d\sclass\s*", row.inner_text())
    assert output.get_by_text("lr=0.3 → Trainer(lr)", exact=True).is_visible()
    assert not module.is_visible()
    harmless(lab, output)

    output.locator("summary", has_text="The module").click()
    module.get_by_text("class").first.wait_for()
    keyword, rest = (
        output.locator(which).first.evaluate("e => getComputedStyle(e).color")
        for which in ("pre .k", "pre")
    )
    assert keyword != rest
    harmless(lab, output)
    assert kept(lab, AT["show"]).startswith("%%ddp --show Cell In[")


def test_notebook_7_shows_a_record_that_was_saved_and_a_run_and_stop_brings_back_what_it_has(
    lab, server
):
    lab.save()
    notebook = server.open(lab.path, app="notebook")  # another page of the same kernel
    record = notebook.output(AT["lab"]).locator(".jp-RenderedHTML").first
    record.get_by_text("epoch 2: loss of rank 0").wait_for()
    assert "in the notebook: history · model" in record.inner_text()
    assert notebook.page.locator(".ddp-magic").count() == 0

    notebook.wait_for_kernel()
    output = notebook.run(AT["seven"], wait=False)
    panel = output.locator(".ddp-magic")
    live(panel)
    assert not notebook.ended()
    panel.get_by_role("button", name="Stop").click()
    notebook.wait_for_end()
    output.locator(".jp-RenderedHTML").get_by_text("stopped", exact=True).wait_for()
    panel.wait_for(state="detached")
    assert output.get_by_text("The run was stopped: interrupted.").count() == 1
    text = kept(notebook, AT["seven"])
    assert re.match(r"%%ddp run-\d+ stopped in ", text)
    assert "keeping what there is" in text
    assert "in the notebook: history\nin the notebook: model" in text
    assert "(2, 'Linear')" in notebook.run(AT["check"]).inner_text()
    assert notebook.problems == []
    notebook.close(shutdown=False)
