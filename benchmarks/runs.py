"""What %ddp_runs takes with a full history: CPU seconds for each kind of line.

``python benchmarks/runs.py [RUNS]`` (1,000 if not given). The runs have six curves and a module of
some 20 kB each, as those of a notebook that trains a model.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from setting import describe, table

from ddp_magic.history.answering import page
from ddp_magic.history.asking import parse
from ddp_magic.history.html import html
from ddp_magic.history.store import Store
from ddp_magic.history.text import text
from tests.records import MODULE, curve, record

LINES = ("", "sort=loss", "state=failed", "lr=0.01", "baseline", "last=50 sort=-acc", "1 2")
TURNS = 3


def filled(folder: Path, count: int) -> Store:
    """Return a history of so many runs."""
    some = random.Random(0)
    store = Store(folder)
    for number in range(count):
        metrics = [
            curve(name, *(some.random() for _ in range(100)))
            for name in ("loss", "val loss", "acc", "val acc", "lr", "grad_norm")
        ]
        words = " ".join(f"x{some.random():.6f}" for _ in range(1500))
        store.add(
            record(
                name=f"baseline {number}" if number % 10 == 0 else "",
                state="failed" if number % 7 == 0 else "succeeded",
                overrides=(f"lr={some.choice([0.1, 0.01, 0.001])} → Trainer(lr)",),
                metrics=tuple(metrics),
                module=f"{MODULE}\n# {words}\n",
            )
        )
    return store


def seconds(store: Store, line: str) -> tuple[float, float]:
    """Return the CPU seconds of reading and drawing a line's page, the best of some."""
    taken: list[tuple[float, float]] = []
    for _ in range(TURNS):
        began = time.process_time()
        blocks = list(page(parse(line), store, time.time(), on=True))
        read = time.process_time()
        html(blocks)
        text(blocks)
        taken.append((read - began, time.process_time() - read))
    return min(taken)


def main(count: int) -> None:
    """Print a row for each line."""
    describe()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        store = filled(Path(name) / "runs", count)
        size = sum(path.stat().st_size for path in store.folder.iterdir())
        rows = [(f"%ddp_runs with {count:,} runs, {size / 1e6:.1f} MB", "s reading", "s drawing")]
        rows += [(line, *(f"{s:.3f}" for s in seconds(store, line))) for line in LINES]
        table(rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)
