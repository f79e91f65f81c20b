"""Records of runs for tests of the history."""

from __future__ import annotations

import math
from typing import Any

from ddp_magic.history.records import Metric, RunRecord

__all__ = ["MODULE", "curve", "record"]

MODULE = '''\
# Cell In[4] on 2 workers: CPU, CPU
# Written by %%ddp. Definitions are in the notebook's own words where these are what
__import__("ddp_magic.worker.values", fromlist=["begin"]).begin()

import math
import torch

width = 16

# Cell In[3]
class Net:
    """A net."""

    def forward(self, x):
        return x * width

# data: list, 33 B, Cell In[2]
data = __import__("ddp_magic.worker.values", fromlist=["take"]).take("data")
# override lr=0.1 → Trainer(lr)
__import__("ddp_magic.worker.values", fromlist=["keep"]).keep("override lr=0.1 → Trainer(lr)")
# state of the process
__import__("ddp_magic.worker.values", fromlist=["finish"]).finish("state of the process")

if __name__ == "__main__":
    __import__("ddp_magic.worker.program", fromlist=["main"]).main()
'''


def curve(name: str = "loss", *y: float) -> Metric:
    y = y or (3.0, 2.0, 1.0)
    points = [(float(n), v) for n, v in enumerate(y, 1) if not math.isnan(v)]
    finite = [v for _, v in points]
    return Metric(
        name=name,
        x=tuple(x for x, _ in points),
        y=tuple(finite),
        last=y[-1],
        low=min(finite, default=math.nan),
        high=max(finite, default=math.nan),
        count=len(y),
    )


def record(**changes: Any) -> RunRecord:
    facts: dict[str, Any] = {
        "cell": "Cell In[7]",
        "started": 1_000_000.0,
        "duration": 4.2,
        "state": "succeeded",
        "devices": ("CPU", "CPU"),
        "overrides": ("lr=0.1 → Trainer(lr)",),
        "metrics": (curve(),),
        "versions": {"ddp_magic": "0.1.0", "Python": "3.11.2"},
        "module": MODULE,
        "body": "trainer = Trainer()\ntrainer.train()\n",
    }
    return RunRecord(**(facts | changes))
