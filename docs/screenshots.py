"""Makes the pictures of this directory: real runs on CPU workers in a real JupyterLab.

    python docs/screenshots.py [NAME,...]

Needs Debian's chromium and the `dev` extra. Each picture is of one panel, record or table, in both
themes; `narrow` is a notebook in a column of 400 pixels.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.browser import jupyter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.browser import Jupyter, Notebook

LOAD = "%load_ext ddp_magic\n%ddp_config standby_workers=2"
DEFINE = """
import time
import torch
import torch.distributed as dist
from ddp_magic import log
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm


class Trainer:
    def __init__(self, lr=0.05, width=64, epochs=12):
        dist.init_process_group()
        torch.manual_seed(0)
        self.epochs = epochs
        net = nn.Sequential(nn.Linear(32, width), nn.Tanh(), nn.Linear(width, 1))
        self.model = DistributedDataParallel(net)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)

    def batch(self):
        x = torch.randn(256, 32)
        return x, x.sin().sum(1, keepdim=True)

    def train(self):
        step = 0
        for epoch in range(self.epochs):
            bar = tqdm(range(40), f"epoch {epoch + 1}/{self.epochs}", disable=dist.get_rank() > 0)
            for _ in bar:
                x, y = self.batch()
                loss = (self.model(x) - y).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                step += 1
                time.sleep(0.004)
                bar.set_postfix(loss=f"{loss.item():.3f}")
            with torch.no_grad():
                x, y = self.batch()
                score = (self.model(x) - y).square().mean().item()
            print(f"rank {dist.get_rank()}: epoch {epoch + 1} done, validation loss {score:.3f}")
            if dist.get_rank() == 0:
                log(step=step, train_loss=loss, val_loss=score)
        return loss.item()
"""
RUN = "%%ddp --nproc 2 {options}\ntrainer = Trainer()\nloss = trainer.train()"
FAIL = """
%%ddp --nproc 2
trainer = Trainer()
if dist.get_rank() == 1:
    trainer.model.load_state_dict({})
trainer.train()
"""
RECORD = ".jp-RenderedHTML"


class Studio:
    """One notebook in one theme."""

    def __init__(self, server: Jupyter, theme: str) -> None:
        self.theme = theme
        quick, long = "lr=0.02 epochs=4 --name slow", "lr=0.08 -o loss --name fast  # a larger step"
        cells = [
            LOAD, DEFINE, RUN.format(options=quick), RUN.format(options=long), FAIL,
            RUN.format(options="-b epochs=40"), "%ddp_runs --compare last=2 state=succeeded",
        ]  # fmt: skip
        self.notebook: Notebook = server.open(cells, dark=theme == "dark")
        self.page = self.notebook.page
        self.page.set_default_timeout(90_000)
        self.notebook.run(0)
        self.notebook.run(1)

    def panel(self, cell: int, mark: str) -> Locator:
        """Run a cell, and return its panel when its output shows a mark."""
        panel = self.notebook.run(cell, wait=False).locator(".ddp-magic")
        panel.locator(".ddp-log", has_text=mark).wait_for()
        return panel

    def shoot(self, name: str, what: Locator) -> None:
        """Take a picture."""
        what.scroll_into_view_if_needed()
        what.screenshot(path=HERE / f"{name}-{self.theme}.png")
        print(f"{name}-{self.theme}.png")

    def running(self) -> None:
        """A run at work, and the record that it leaves; below 400 pixels too."""
        self.notebook.run(2)
        panel = self.panel(3, "epoch 6 done")
        self.shoot("panel", panel)
        self.page.set_viewport_size({"width": 760, "height": 1000})
        self.shoot("narrow", panel)
        self.page.set_viewport_size({"width": 1100, "height": 900})
        self.notebook.wait_for_end()
        self.shoot("record", self.notebook.output(3).locator(RECORD).first)

    def failed(self) -> None:
        """A run that failed: its record and its error."""
        self.notebook.run(4)
        self.shoot("failed", self.notebook.output(4))

    def stopped(self) -> None:
        """A run that is being stopped, and one that was."""
        panel = self.panel(3, "epoch 2 done")
        panel.get_by_role("button", name="Stop").click()
        self.notebook.wait_for_end()
        self.shoot("stopped", self.notebook.output(3).locator(RECORD).first)

    def background(self) -> None:
        """A run in the background, all ranks as one log."""
        panel = self.panel(5, "epoch 3 done")
        panel.get_by_role("tab", name="all").click()
        panel.locator(".ddp-log", has_text="rank 1: epoch 4 done").wait_for()
        self.shoot("background", panel)
        panel.get_by_role("button", name="Stop").click()
        self.notebook.output(5).locator(RECORD, has_text="stopped").first.wait_for()

    def reloaded(self) -> None:
        """A page that was reloaded in the middle of a run."""
        self.panel(3, "epoch 2 done")
        self.notebook.save()
        self.page.reload()
        panel = self.notebook.output(3).locator(".ddp-magic")
        panel.locator(".ddp-log", has_text="epoch 8 done").wait_for()
        self.shoot("reloaded", panel)
        panel.locator(".ddp-state", has_text="succeeded").wait_for()

    def compare(self) -> None:
        """Two runs compared."""
        self.notebook.run(2)
        self.notebook.run(3)
        self.shoot("compare", self.notebook.run(6))


def main() -> None:
    """Take all pictures, or those of the scenes that are named."""
    scenes = sys.argv[1].split(",") if len(sys.argv) > 1 else [
        "running", "failed", "stopped", "background", "reloaded", "compare"
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, jupyter(Path(folder)) as server:
        for theme in ("light", "dark"):
            studio = Studio(server, theme)
            for scene in scenes:
                act: Callable[[], None] = getattr(studio, scene)
                act()
            studio.notebook.close()


if __name__ == "__main__":
    main()
