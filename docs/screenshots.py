"""Makes the pictures of this directory: real runs on CPU workers in a real JupyterLab.

    python docs/screenshots.py [SCENE,...]

Needs Debian's chromium and the `dev` extra. Each picture is of one panel, record or table, in both
themes; those whose name ends in `narrow` are of a notebook in a column of 400 pixels.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests import browser  # noqa: E402
from tests.browser import jupyter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.browser import Jupyter, Notebook

SCENES = ("running", "failed", "stopped", "background", "reloaded", "history")
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
    def __init__(self, lr=0.001, width=64, epochs=12):
        dist.init_process_group()
        torch.manual_seed(0)
        self.epochs = epochs
        net = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1))
        self.model = DistributedDataParallel(net)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr)

    def batch(self):
        x = torch.randn(256, 8)
        return x, x.sin().sum(1, keepdim=True)

    def loss(self):
        x, y = self.batch()
        return (self.model(x) - y).square().mean()

    def train(self):
        first = dist.get_rank() == 0
        for epoch in range(self.epochs):
            bar = tqdm(range(40), f"epoch {epoch + 1}/{self.epochs}", disable=not first)
            for step in bar:
                loss = self.loss()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                time.sleep(0.004)
                bar.set_postfix(loss=f"{loss.item():.3f}")
                if first and step % 4 == 0:
                    log(step=40 * epoch + step, train_loss=loss)
            with torch.no_grad():
                score = self.loss().item()
            print(f"rank {dist.get_rank()}: epoch {epoch + 1} done, validation loss {score:.3f}")
            if first:
                log(step=40 * epoch + 40, val_loss=score)
        return loss.item()
"""
RUN = "%%ddp --nproc 2 {options}\ntrainer = Trainer()\nloss = trainer.train()"
SLOW = RUN.format(options="--name slow lr=0.0005")
FAST = RUN.format(options="--name fast lr=0.002 -o loss  # is a larger step better?")
FAIL = """%%ddp --nproc 2 --name shards lr=0.004
class Sharded(Trainer):
    left = 60_000

    def batch(self):
        self.left -= 256 * (1 + dist.get_rank())  # rank 1 has a smaller one
        if self.left < 0:
            raise ValueError("this rank's shard is used up")
        return super().batch()


Sharded().train()"""
LONG = RUN.format(options="--name long epochs=400")
BEHIND = RUN.format(options="--name night --background epochs=400")
NAME = "train.ipynb"
RECORD = ".jp-RenderedHTML"
COLOURS = 128
"""Of a picture: enough for text and lines, and a third of the bytes."""


class Studio:
    """One notebook in one theme."""

    def __init__(self, server: Jupyter, theme: str) -> None:
        self.theme = theme
        runs = (SLOW, FAST, FAIL, BEHIND, LONG)
        asked = ("%ddp_runs last=6", "%ddp_runs --compare last=2 state=succeeded")
        path = server.write([LOAD, DEFINE, *runs, *asked])
        path = path.rename(path.with_name(NAME))  # the history tells it
        self.notebook: Notebook = server.open(path, dark=theme == "dark", scale=2)
        self.page = self.notebook.page
        self.size(1100)
        self.page.set_default_timeout(browser.PATIENCE)
        self.notebook.run(0)
        self.notebook.run(1)

    def size(self, width: int) -> None:
        """Make the window so wide; it is high enough for everything."""
        self.page.set_viewport_size({"width": width, "height": 1600})

    def panel(self, cell: int, mark: str) -> Locator:
        """Run a cell, and return its panel when its output shows a mark."""
        panel = self.notebook.run(cell, wait=False).locator(".ddp-magic")
        panel.locator(".ddp-log", has_text=mark).wait_for()
        return panel

    def shoot(self, name: str, what: Locator) -> None:
        """Take a picture, with no more colours than it needs."""
        what.scroll_into_view_if_needed()
        path = HERE / f"{name}-{self.theme}.png"
        what.screenshot(path=path)
        with Image.open(path) as taken:
            few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        print(path.name, f"{path.stat().st_size / 1000:.0f} kB")

    def narrow(self, name: str, what: Locator) -> None:
        """Take a picture of it in a narrow column."""
        self.size(760)
        self.shoot(f"{name}-narrow", what)
        self.size(1100)

    def running(self) -> None:
        """A run at work, and the record that it leaves; below 400 pixels too."""
        self.notebook.run(2)
        panel = self.panel(3, "epoch 4 done")
        self.shoot("panel", panel)
        self.narrow("panel", panel)
        self.notebook.wait_for_end()
        self.shoot("record", self.notebook.output(3).locator(RECORD).first)

    def failed(self) -> None:
        """A run that failed: its record and its error."""
        output = self.notebook.run(4)
        self.shoot("failed", output)
        self.narrow("failed", output)

    def stopped(self) -> None:
        """A run that was stopped."""
        panel = self.panel(3, "epoch 4 done")
        panel.get_by_role("button", name="Stop").click()
        self.notebook.wait_for_end()
        self.shoot("stopped", self.notebook.output(3))

    def background(self) -> None:
        """A run in the background, all ranks as one log."""
        panel = self.panel(5, "epoch 3 done")
        panel.get_by_role("tab", name="all").click()
        panel.locator(".ddp-log", has_text="rank 1: epoch 8 done").wait_for()
        self.shoot("background", panel)
        panel.get_by_role("button", name="Stop").click()
        self.notebook.output(5).locator(RECORD, has_text="stopped").first.wait_for()

    def reloaded(self) -> None:
        """A page that was reloaded in the middle of a run."""
        self.panel(6, "epoch 2 done")
        self.notebook.save()
        self.page.reload()
        panel = self.notebook.output(6).locator(".ddp-magic")
        panel.locator(".ddp-log", has_text="epoch 12 done").wait_for()
        self.shoot("reloaded", panel)
        panel.get_by_role("button", name="Stop").click()
        panel.locator(".ddp-state", has_text="stopped").wait_for()

    def history(self) -> None:
        """All runs, and two of them compared."""
        self.notebook.run(2)
        self.notebook.run(3)
        self.size(1400)
        self.shoot("runs", self.notebook.run(7).locator(".ddp-runs table"))
        self.size(1100)
        self.shoot("compare", self.notebook.run(8).locator(".ddp-runs"))


def main() -> None:
    """Take all pictures, or those of the scenes that are named."""
    scenes = sys.argv[1].split(",") if len(sys.argv) > 1 else SCENES
    browser.PATIENCE = 120_000  # pictures have time
    with tempfile.TemporaryDirectory() as folder, jupyter(Path(folder)) as server:
        for theme in ("light", "dark"):
            studio = Studio(server, theme)
            for scene in scenes:
                act: Callable[[], None] = getattr(studio, scene)
                act()
            studio.notebook.close()


if __name__ == "__main__":
    main()
