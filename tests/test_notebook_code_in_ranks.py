"""What libraries do with notebook code in a rank: import it, read it, compile it, save it."""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.workers, pytest.mark.usefixtures("light")]

CELL = '''
import inspect
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    """Squares of a notebook."""

    def __init__(self, scale):
        self.scale = scale

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.tensor([float(index * index * self.scale * factor)])

def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2  # of the notebook

def collate(items):
    return double(torch.cat(items))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return double(self.layer(x))

factor, captured = 1, [2]
data = Squares(captured[0])
net = Net()
squared = Squares.__getitem__
Squares.__getitem__ = lambda self, index: squared(self, index) + 1
'''

BODY = """%%ddp --nproc 1 -o found,saved
found = {}
for way in ("spawn", "forkserver"):
    batches = DataLoader(data, 3, num_workers=1, multiprocessing_context=way, collate_fn=collate)
    found[way] = [batch.tolist() for batch in batches]
found["source"] = inspect.getsource(double), inspect.getsource(Net).splitlines()[0]
found["by value"] = inspect.getsource(Squares).splitlines()[1].strip()
found["scripted"] = torch.jit.script(double)(torch.ones(2)).tolist()
x = torch.ones(1, 2)
found["compiled"] = bool(torch.equal(torch.compile(net, backend="eager")(x), net(x)))
torch.save(net, "net.pt")
saved = [torch.load("net.pt", weights_only=False), net]
"""


def test_libraries_take_notebook_code_in_a_rank_for_what_it_is(notebook, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook.run(CELL)

    shown = notebook.run(BODY)

    assert shown.error is None, shown.told
    found = notebook.ns["found"]
    assert found["spawn"] == found["forkserver"] == [[2.0, 6.0, 18.0], [38.0, 66.0, 102.0]]
    assert "# of the notebook" in found["source"][0]
    assert (found["source"][1], found["by value"]) == (
        "class Net(nn.Module):",
        '"""Squares of a notebook."""',
    )
    assert found["scripted"] == [2.0, 2.0]
    assert found["compiled"] is True
    import torch

    loaded = torch.load(tmp_path / "net.pt", weights_only=False)
    assert type(loaded) is notebook.ns["Net"]
    assert [type(net) for net in notebook.ns["saved"]] == [notebook.ns["Net"]] * 2
    assert torch.equal(loaded.layer.weight, notebook.ns["net"].layer.weight)
    assert os.listdir(tmp_path) == ["net.pt"]
