"""Overrides of all kinds in one whole run with real workers (gloo, on the CPU)."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("forked")]

DEFINITIONS = """
import torch
from types import SimpleNamespace as Args

class Settings:
    width = 4

class Trainer:
    def __init__(self, net, epochs=1): self.net, self.epochs = net, epochs
    def train(self, rate=0.1): return self.epochs, rate, Settings.width

batch = 8
cfg = {"optim": {"lr": 0.1}, "seed": 0}
holder = Args(cfg=cfg)
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
"""


def test_overrides_of_all_kinds_reach_every_rank_and_not_the_notebook(notebook, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook.cells(DEFINITIONS, "steps = [batch * 2]")
    shown = notebook.run(
        """
        %%ddp --nproc 2 cfg.optim.lr=1e-4 Settings.width=16 batch=32 api_key=xyz rate=0.5 \\
          epochs=3 net.1.p=0.25 optimizer.param_groups.0.lr=0.3 depth={cfg["optim"]}
        import torch.distributed as dist
        dist.init_process_group()
        args = Args(depth=None, api_key="none")
        trained = Trainer(net).train()
        mine = [
            cfg["optim"]["lr"], holder.cfg is cfg, args.depth is cfg["optim"], args.api_key[::-1],
            batch, steps, trained, net[1].p, optimizer.param_groups[0]["lr"],
        ]
        all_ranks = [None, None]
        dist.all_gather_object(all_ranks, mine)
        all_ranks
        """
    )

    assert shown.error is None, shown.err
    assert shown.value == [[1e-4, True, True, "zyx", 32, [16], (3, 0.5, 16), 0.25, 0.3]] * 2
    for echo in (
        "cfg.optim.lr=1e-4 → cfg.optim.lr",
        "Settings.width=16 → Settings.width",
        "batch=32 → batch",
        "api_key=*** → Args(api_key)",
        "rate=0.5 → Trainer.train(rate)",
        "epochs=3 → Trainer(epochs)",
        "optimizer.param_groups.0.lr=0.3 → optimizer.param_groups.0.lr",
    ):
        assert echo in shown.err
    assert "steps was made from batch in Cell In[2] and keeps 8." in shown.err
    assert "xyz" not in shown.err + shown.out
    assert notebook.ns["cfg"] == {"optim": {"lr": 0.1}, "seed": 0}
    assert notebook.ns["Settings"].width == 4
    assert notebook.ns["batch"] == 8
    assert notebook.ns["net"][1].p == 0.5
    assert notebook.ns["optimizer"].param_groups[0]["lr"] == 0.1
