"""What plain PyTorch trainers do, from cells, on two workers (gloo, on the CPU)."""

from __future__ import annotations

import pytest

from ddp_magic.errors import WorkerFailed
from tests.notebook import Notebook

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("forked")]

CELLS = """
import argparse, hashlib, os, sys, time
from contextlib import nullcontext
from pathlib import Path
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
""", """
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))
    def forward(self, x):
        return self.layers(x)

class Toy(Dataset):
    def __init__(self, count=32):
        self.x = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    def __len__(self):
        return len(self.x)
    def __getitem__(self, i):
        return self.x[i], self.x[i].sum(0, keepdim=True)

def collate(batch):
    return torch.stack([x for x, _ in batch]), torch.stack([y for _, y in batch])

def digests(model):
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    found = [None] * dist.get_world_size()
    dist.all_gather_object(found, hashlib.sha256(flat.numpy().tobytes()).hexdigest())
    return found

def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    return parser.parse_args(argv)
""", """
optimizer = torch.optim.SGD((net := Net()).parameters(), lr=0.05)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
of_two = DistributedSampler(range(6), num_replicas=2, rank=0, shuffle=False)
sys.argv = ["train.py", "--lr", "0.5"]
"""  # fmt: skip

EVERYTHING = """
%%ddp -n 2 -o told,both,whole,sharded,net,schedule
from torch.distributed.algorithms.join import Join
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
import torch.distributed.checkpoint as dcp

dist.init_process_group("gloo")
told = {"argv": main().lr if __name__ == "__main__" else None}

# what earlier cells made stays one: the optimizer trains the model, the schedule the optimizer
model = DistributedDataParallel(net)
scaler = torch.amp.GradScaler("cpu")
sampler = DistributedSampler(Toy())
told["alone"] = []
for epoch in range(2):
    sampler.set_epoch(epoch)
    for i, (x, y) in enumerate(DataLoader(sampler.dataset, 4, sampler=sampler), 1):
        with nullcontext() if i % 2 == 0 else model.no_sync():
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.mse_loss(model(x).float(), y)
            scaler.scale(loss / 2).backward()
        if i % 2 == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    schedule.step()
told["ddp"] = digests(model)
told["parts"] = [None, None]
dist.all_gather_object(told["parts"], list(of_two))

zero = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
with Join([model, zero]):
    for _ in range(2 + dist.get_rank()):
        model(torch.randn(4, 4)).square().mean().backward()
        zero.step()
told["uneven"] = digests(model)

both = torch.compile(DistributedDataParallel(Net()), backend="eager")
both(torch.randn(4, 4)).sum().backward()

torch.manual_seed(0)
sharded = Net()
fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
sharded(torch.randn(4, 4)).sum().backward()
torch.optim.SGD(sharded.parameters(), lr=0.1).step()
full = StateDictOptions(full_state_dict=True, cpu_offload=True)
whole = get_model_state_dict(sharded, options=full)
state = {"model": get_model_state_dict(sharded)}
dcp.save(state, checkpoint_id=folder / "dcp")
dcp.load(state, checkpoint_id=folder / "dcp")

for how in ("fork", "spawn"):
    loader = DataLoader(Toy(), 8, num_workers=1, multiprocessing_context=how, collate_fn=collate)
    told[how] = sum(len(x) for x, _ in loader)
torch.save(told, folder / "model.pt")
torch.save(told, folder / f"own{dist.get_rank()}.pt")
if dist.get_rank() == 0:
    torch.save(told, folder / "one.pt")
"""

ABSENT = """
%%ddp -n 2 -o results,best
dist.init_process_group()
results = {"map": 0.5} if dist.get_rank() == 0 else None
if dist.get_rank() == 0:  # as a last validation, in which another's failure used to end it
    failure = Path(__file__).parent / "error.0.1.json"
    while not failure.exists():
        pass
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass
best = results["map"]
"""


@pytest.fixture
def torch_cells(notebook: Notebook, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Notebook:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("sys.argv", ["pytest"])
    notebook.cells(*CELLS)
    notebook.ns["folder"] = tmp_path
    return notebook


def test_a_plain_trainer_has_all_of_pytorch_and_rank_0s_result_is_its_own(
    torch_cells: Notebook,
) -> None:
    shown = torch_cells.run(EVERYTHING)
    assert shown.error is None, shown.err + shown.told
    ns, told = torch_cells.ns, torch_cells.ns["told"]
    assert told["argv"] == 0.5
    assert told["parts"] == [[0, 2, 4], [1, 3, 5]], "the notebook has made it for rank 0 of two"
    assert len(set(told["ddp"])) == len(set(told["uneven"])) == 1
    assert told["ddp"] != told["uneven"]
    assert (told["fork"], told["spawn"]) == (32, 32)
    assert type(ns["both"]) is type(ns["net"]) is ns["Net"]
    assert ns["schedule"].optimizer.param_groups[0]["params"][0] is ns["net"].layers[0].weight
    assert ns["schedule"].get_last_lr() == [0.0125]
    assert ns["whole"]["layers.0.weight"].shape == (8, 4)
    ns["Net"]().load_state_dict(ns["whole"])
    assert "did not bring back sharded: rank 0 holds only its shard of a DTensor" in shown.err
    line = EVERYTHING.strip().splitlines().index('torch.save(told, folder / "model.pt")') + 1
    saved = f"Ranks 0 and 1 saved one file, model.pt (Cell In[4], line {line})"
    assert shown.err.count("saved one file") == 1
    assert saved in shown.err

    shown = torch_cells.run(ABSENT)
    assert isinstance(shown.error, WorkerFailed)
    assert (shown.error.rank, ns["best"], ns["results"]) == (1, 0.5, {"map": 0.5})
    assert "Rank 0 ran the cell to its end: only rank 1 failed, since `results` is" in shown.told
    assert "waitForInput" not in shown.out + shown.err
