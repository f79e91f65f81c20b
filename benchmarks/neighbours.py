"""Whether a training is slowed by a rank that prints at full speed, beside plain torchrun.

``python benchmarks/neighbours.py``. Rank 1 trains on the CPU while rank 0 waits, formats lines for
nobody, or prints them; under ``torchrun --standalone`` with its output in a file, and ``%%ddp``.
The ways take turns, so that what else the machine does hits both.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from setting import describe, opened, table, times, torchrun

TRAIN = """
import json, os, sys, time
import torch, torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
optimizer = torch.optim.SGD(model.parameters(), 1e-3)
x = torch.randn(256, 256)

def train(steps):
    t = time.perf_counter()
    for _ in range(steps):
        loss = model(x).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    return time.perf_counter() - t

def be_a_neighbour(kind, stop):
    null = open(os.devnull, "w", buffering=1)
    i = 0
    out = null if kind == "formats" else sys.stdout
    while not os.path.exists(stop):
        if kind == "waits":
            time.sleep(0.01)
            continue
        for _ in range(1000):
            print(f"step {{i}} loss 0.12345", file=out)
            i += 1

took = {{}}
for kind in ("waits", "formats", "prints") * {rounds}:
    dist.barrier()
    stop = "{place}/stop." + kind + str(len(took.get(kind, [])))
    if rank == 1:
        took.setdefault(kind, []).append(train({steps}))
        open(stop, "w").close()
    else:
        be_a_neighbour(kind, stop)
        took.setdefault(kind, []).append(0)
if rank == 1:
    with open("{place}/took", "w") as f: json.dump(took, f)
dist.destroy_process_group()
"""
TURNS = 3
ROUNDS = 3
STEPS = 400


def neighbours() -> None:
    """Print how long rank 1's training takes beside a rank 0 that prints."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            place = Path(name)
            torchrun(TRAIN.format(rounds=ROUNDS, steps=STEPS, place=place), place)
            add(theirs, place / "took")
        with opened() as (kernel, tmp):
            place = tmp.parent
            code = TRAIN.format(rounds=ROUNDS, steps=STEPS, place=place)
            kernel.run(f"%%ddp --nproc 2 --ui widget --env OMP_NUM_THREADS=1\n{code}")
            add(ours, place / "took")
    rows = [("rank 0", "torchrun > file, s", "best", "%%ddp, s", "best")]
    for kind, own in ours.items():
        plain = theirs[kind]
        rows.append((kind, *times(plain, theirs["waits"]), *times(own, ours["waits"])))
    print(f"rank 1 trains {STEPS} steps, {TURNS * ROUNDS} times; against a rank 0 that waits")
    table(rows)


def add(to: dict[str, list[float]], path: Path) -> None:
    """Add what one run measured."""
    for kind, took in json.loads(path.read_text()).items():
        to.setdefault(kind, []).extend(took)


if __name__ == "__main__":
    describe()
    neighbours()
