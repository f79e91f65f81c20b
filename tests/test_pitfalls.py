"""What would quietly go wrong is said, in one sentence, and only then."""

from __future__ import annotations

import argparse
import ast
import collections
import sys
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ddp_magic.collect.cells import Cells
from ddp_magic.collect.one_file import written_by_all
from ddp_magic.collect.pitfalls import look, pitfalls
from ddp_magic.results.notices import left_behind
from ddp_magic.worker.changes import Changes
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]


def of_type(name: str, **attributes: object) -> Any:
    """Make an object whose type has this full name."""
    module, _, kind = name.rpartition(".")
    made = type(kind, (), {"__module__": module})()
    vars(made).update(attributes)
    return made


def said(values: dict[str, Any], body: str = "", *, ranks: int = 4, gpus: bool = True) -> list[str]:
    tree = ast.parse(body)
    names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return pitfalls(values, [("Cell In[7]", tree, None)], names, ranks=ranks, gpus=gpus)


ONE_GPU = (
    ', so all 4 ranks would use one GPU. Write "cuda", which in each rank is its own, or the '
    "number in LOCAL_RANK."
)
DEVICE = torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({"device": "cuda:0"}, "device is cuda:0"),
        ({"device": DEVICE}, "device is cuda:1"),
        ({"cfg": {"device": "cuda:0"}}, "cfg['device'] is cuda:0"),
        ({"cfg": {"train": {"device": DEVICE}}}, "cfg['train']['device'] is cuda:1"),
        ({"args": argparse.Namespace(device="cuda:0")}, "args.device is cuda:0"),
        ({"t": SimpleNamespace(c=SimpleNamespace(dev="cuda:3"))}, "t.c.dev is cuda:3"),
        ({"a": "cuda:0", "b": "cuda:1"}, "a is cuda:0 and b is cuda:1"),
        (
            dict.fromkeys("abcde", "cuda:0"),
            "a is cuda:0, b is cuda:0, c is cuda:0 and 2 more",
        ),
    ],
)
def test_a_device_that_is_one_gpu_is_said(values: dict[str, Any], places: str):
    assert said(values) == [places + ONE_GPU]
    assert said(values, gpus=False) == []
    assert said(values, ranks=1) == []


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ("x.to('cuda:0')", '"cuda:0" stands in Cell In[7], line 1'),
        ("\ndef f(device='cuda:1'): pass", '"cuda:1" stands in Cell In[7], line 2'),
        ("DDP(model, device_ids=[0])", "device_ids=[0] stands in Cell In[7], line 1"),
        ("torch.cuda.set_device(0)", "set_device(0) stands in Cell In[7], line 1"),
        (
            "if a: pass\n" + "elif b: pass\n" * 500 + "else: x.cuda(2)",
            "cuda(2) stands in Cell In[7], line 502",
        ),
        ("model.cuda(1)", "cuda(1) stands in Cell In[7], line 1"),
        (
            "d = torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
            '"cuda:0" stands in Cell In[7], line 1',
        ),
    ],
)
def test_a_line_that_names_one_gpu_is_said(body: str, places: str):
    assert said({}, body) == [places + ONE_GPU]


@pytest.mark.parametrize(
    "values",
    [
        {"device": "cuda", "d": torch.device("cuda"), "cpu": torch.device("cpu"), "m": "mps:0"},
        {"devices": ["cuda:0", "cuda:1"], "names": {0: "cuda:0"}, "text": "on cuda:0 now"},
        {"deep": {"a": {"b": {"c": "cuda:0"}}}, "loader": SimpleNamespace(_device="cuda:0")},
    ],
)
def test_a_device_of_each_rank_is_not_said(values: dict[str, Any]):
    assert said(values) == []


@pytest.mark.parametrize(
    "body",
    [
        "x.to('cuda'); x.to(rank); x.cuda(); x.to(torch.float32); DDP(m, device_ids=[rank])",
        "x = f'cuda:{rank}'",
        "torch.load(p, map_location={'cuda:0': f'cuda:{rank}'})",
        "if str(x.device) == 'cuda:0': pass",
        "if rank == 0:\n    x.to('cuda:0')",
        "y = x.to('cuda:0') if int(os.environ['RANK']) == 0 else None",
    ],
)
def test_a_line_that_means_each_ranks_own_gpu_is_not_said(body: str):
    assert said({}, body) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"model": torch.nn.DataParallel(torch.nn.Linear(1, 1))},
            (
                "model is a DataParallel, and every rank would spread its batches over the GPUs "
                "again. Use its .module, and wrap that in DistributedDataParallel in the cell."
            ),
        ),
        (
            {"loader": SimpleNamespace(sampler=of_type("a.MySampler", rank=0, num_replicas=1))},
            (
                "loader.sampler was made in this kernel for rank 0 of 1, so all 4 ranks would read "
                "the same part of the data. Make it inside the %%ddp cell."
            ),
        ),
    ],
)
def test_what_was_made_for_one_process_is_said(values: dict[str, Any], sentence: str):
    assert said(values) == [sentence]
    assert said(values, ranks=1) == []


def test_an_ordinary_loader_model_and_class_are_not_said():
    data = torch.utils.data.TensorDataset(torch.zeros(4, 1))

    class Trainer:
        rank, num_replicas = 0, 1

    values = {
        "loader": torch.utils.data.DataLoader(data, batch_size=2, shuffle=True),
        "model": torch.nn.Linear(1, 1),
        "trainer": Trainer(),
        "kind": Trainer,
        "module": torch,
        # what it knows of its devices, a rank finds out for itself
        "args": of_type("transformers.training_args.TrainingArguments", device="cuda:0"),
    }

    assert said(values) == []


class OwnSampler(torch.utils.data.DistributedSampler[int]):
    """It may have computed anything for its rank."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.first = self.rank


@pytest.mark.parametrize(
    ("make", "parts", "told"),
    [
        (torch.utils.data.DistributedSampler, 4, "; each rank gets it for its own part of"),
        (torch.utils.data.DistributedSampler, 1, "; each rank gets it for its own part of"),
        (torch.utils.data.DistributedSampler, 2, " for rank 0 of 2, so all 4 ranks would read"),
        (OwnSampler, 4, " for rank 0 of 4, so all 4 ranks would read"),
    ],
)
def test_a_distributed_sampler_in_a_loader_is_found(make: Any, parts: int, told: str):
    data = torch.utils.data.TensorDataset(torch.zeros(4, 1))
    loader = torch.utils.data.DataLoader(data, sampler=make(data, parts, 0))

    (sentence,) = said({"loader": loader, "s": 1})

    assert sentence.startswith(f"loader.sampler was made in this kernel{told}")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("dist.all_reduce(x)", True),
        ("dist.init_process_group(); dist.all_reduce(x)", False),
        ("train()", False),
    ],
)
def test_the_kernels_own_group_is_missed_where_the_cell_makes_none(monkeypatch, body, told):
    group = SimpleNamespace(is_available=lambda: True, is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    expected = (
        "This kernel has made a process group, which no worker is in. Call "
        "torch.distributed.init_process_group() inside the %%ddp cell too."
    )

    assert said({}, body, gpus=False) == [expected] * told


def test_none_of_the_users_code_runs():
    class Loud:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

        __eq__ = __len__ = __iter__ = __getattribute__  # type: ignore[assignment]
        __hash__ = None

    class LoudDict(dict[str, object]):
        def items(self):  # type: ignore[override]
            raise AssertionError

        values = __iter__ = __getitem__ = __len__ = items

    loud: dict[str, Any] = {"a": Loud(), "b": [Loud()], "c": LoudDict(x=Loud())}

    assert said(loud) == []
    assert Changes(loud, loud).left_behind(loud, stores=(), brought=[loud["b"]]) == {}


def test_collected_functions_and_overrides_are_looked_at(kernel: KernelSide):
    kernel.cells(
        "unused = 'cuda:1'",
        "x = 1\ndef train(n,\n          device='cuda:0'):\n    return device, cfg",
        "class Args:\n    device = 'cuda:2'\ncfg = {'device': 'cuda:3'}",
    )
    collector, _ = kernel.collector("train(1), Args")
    reached = collector.gather()
    definitions = collector.finish([])
    cells = Cells(kernel.notebook)

    def told(*, gpus: bool) -> list[str]:
        return look(definitions, reached, kernel.space, cells, ranks=2, gpus=gpus)

    assert told(gpus=True) == [
        'cfg[\'device\'] is cuda:3, "cuda:0" stands in Cell In[2], line 3 and "cuda:2" stands in '
        "Cell In[3], line 2" + ONE_GPU.replace("4", "2")
    ]
    assert told(gpus=False) == []


WRITTEN = {
    "open('runs/log.txt', 'w').write('x')": "log.txt",
    "with open('log.txt', mode='wb') as f:\n    f.write(b'x')": "log.txt",
    "for epoch in range(3):\n    frame.to_csv('history.csv')": "history.csv",
    "np.save('weights.npy', a)": "weights.npy",
    "plt.savefig('loss.png', dpi=90)": "loss.png",
    "model.save_pretrained('out/')": "out",
    "from pathlib import Path\nPath('note.md').write_text('x')": "note.md",
    "open('log.txt').read()": None,
    "open('log.txt', 'a').write('x')": None,
    "open(f'log{rank}.txt', 'w')": None,
    "open('/dev/null', 'w')": None,
    "if rank == 0: frame.to_csv('history.csv')": None,
    "rank == 0 and frame.to_csv('history.csv')": None,
    "def save(): frame.to_csv('history.csv')": None,
    "if rank: sys.exit()\nframe.to_csv('history.csv')": None,
    "os.chdir(str(rank))\nframe.to_csv('history.csv')": None,
    "model.save_pretrained('out', is_main_process=rank == 0)": None,
    "frame.to_csv('s3://bucket/history.csv')": None,
    "text = frame.to_csv()": None,
    "frame.save('model.npy')": None,
    "open = print\nopen('log.txt', 'w')": None,
}


@pytest.mark.parametrize("body", WRITTEN)
def test_a_file_that_all_ranks_are_sure_to_write_is_told(body: str):
    said = written_by_all(ast.parse(body), {"np": np}, "Cell In[7]")

    name, line = WRITTEN[body], body[: body.find(str(WRITTEN[body]))].count("\n") + 1
    expected = (
        f"All ranks write {name} (Cell In[7], line {line}), and may write into each other's. "
        'Let one do it, under `if int(os.environ["RANK"]) == 0:`, or bring the value back by '
        "-o and write it here."
    )
    assert said == ([expected] if name else [])


@pytest.mark.parametrize(("ranks", "head", "told"), [(2, "", 1), (1, "", 0), (2, "make()", 0)])
def test_one_rank_alone_may_write_what_it_likes(
    kernel: KernelSide, ranks: int, head: str, told: int
):
    kernel.cells("def make(): pass")
    collector, _ = kernel.collector("open('log.txt', 'w').write('x')")
    reached = collector.gather()
    definitions = collector.finish([])
    definitions = replace(definitions, cell=replace(definitions.cell, head=head))
    cells = Cells(kernel.notebook)

    said = look(definitions, reached, kernel.space, cells, ranks=ranks, gpus=False)
    assert len(said) == told


# -- after the run ------------------------------------------------------------------------------


class Own:
    """Stands for a class of the notebook."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


Own.__module__ = "__main__"


def step(model: torch.nn.Module) -> None:
    """Do what optimizers do; the fused ones leave the version counters alone, as this does."""
    for weight in model.parameters():
        weight.data.sub_(0.1)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a name holds, what the body does, and what is said of the name."""

    id: str
    make: Any
    act: Any
    told: str | None = "changed"
    stores: tuple[str, ...] = ()
    brings: Any = field(default=lambda ns: [])


def rebind(**names: Any) -> Any:
    return lambda ns: ns.update(names)


CHANGES = [
    Change(id="list", make=list, act=lambda ns: ns["x"].append(1)),
    Change(id="list item", make=lambda: [0.5], act=lambda ns: ns["x"].__setitem__(0, 0.25)),
    Change(id="list in dict", make=lambda: {"a": []}, act=lambda ns: ns["x"]["a"].append(1)),
    Change(id="counter", make=collections.Counter, act=lambda ns: ns["x"].update("ab")),
    Change(
        id="defaultdict",
        make=lambda: collections.defaultdict(list),
        act=lambda ns: ns["x"][0].append(2),
    ),
    Change(id="deque", make=collections.deque, act=lambda ns: ns["x"].append(1)),
    Change(id="set", make=set, act=lambda ns: ns["x"].add(1)),
    Change(id="bytearray", make=lambda: bytearray(9), act=lambda ns: ns["x"].__setitem__(3, 1)),
    Change(id="array", make=lambda: np.zeros(5), act=lambda ns: ns["x"].__setitem__(3, 1)),
    Change(id="tensor", make=lambda: torch.zeros(5), act=lambda ns: ns["x"].add_(1)),
    Change(id="attribute", make=Own, act=lambda ns: setattr(ns["x"], "best", 1)),
    Change(
        id="list of an object",
        make=lambda: Own(losses=[]),
        act=lambda ns: ns["x"].losses.append(1),
    ),
    Change(
        id="model of an object",
        make=lambda: Own(model=torch.nn.Linear(2, 1)),
        act=lambda ns: step(ns["x"].model),
    ),
    Change(id="global in a function", make=lambda: 3, act=rebind(x=4)),
    Change(
        id="model",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: step(ns["x"]),
        told="trained",
    ),
    Change(
        id="model that the body binds again",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: (step(ns["x"]), ns.update(x=torch.nn.Sequential(ns["x"]))),
        stores=("x",),
        told="trained",
    ),
    Change(id="nothing", make=lambda: {"a": [1, 2.5, "b", Own()]}, act=lambda ns: None, told=None),
    Change(
        id="equal",
        make=lambda: {"a": 1000.5},
        act=lambda ns: ns["x"].update(a=float("1000.5")),
        told=None,
    ),
    Change(id="bound by the body", make=list, act=rebind(x=[1]), stores=("x",), told=None),
    Change(id="bound to the same", make=lambda: 3000, act=rebind(x=int("3000")), told=None),
    Change(id="private", make=Own, act=lambda ns: setattr(ns["x"], "_cache", 1), told=None),
    Change(id="deleted", make=list, act=lambda ns: ns.pop("x"), told=None),
    Change(
        id="moved model",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: ns["x"].double(),
        told=None,
    ),
    Change(
        id="rounded model",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: ns["x"].half(),
        told=None,
    ),
    Change(
        id="evaluated model",
        make=lambda: torch.nn.BatchNorm1d(2),
        act=lambda ns: ns["x"].eval()(torch.ones(2, 2)),
        told=None,
    ),
    Change(
        id="loaded with the same",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: ns["x"].load_state_dict(ns["x"].state_dict()),
        told=None,
    ),
    Change(
        id="brought back",
        make=list,
        act=lambda ns: ns["x"].append(1),
        brings=lambda ns: [ns["x"]],
        told=None,
    ),
    Change(
        id="brought back in a wrapper",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: step(ns["x"]),
        brings=lambda ns: [torch.nn.Sequential(ns["x"])],
        told=None,
    ),
    Change(
        id="brought back in an object",
        make=lambda: torch.nn.Linear(2, 1),
        act=lambda ns: step(ns["x"]),
        brings=lambda ns: [Own(model=torch.nn.Sequential(ns["x"]))],
        told=None,
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.id)
def test_a_change_of_the_notebooks_own_is_told_if_it_stays_behind(change: Change):
    space = {"x": change.make(), "other": [], "_hidden": []}
    changes = Changes(space, ["x", "other", "_hidden", "missing"])
    change.act(space)
    space["_hidden"].append(1)
    brought = change.brings(space)

    found = changes.left_behind(space, stores=change.stores, brought=brought)

    assert found == ({} if change.told is None else {"x": change.told})


def test_one_object_of_two_names_is_told_once():
    space: dict[str, Any] = {"a": (both := []), "b": both}
    changes = Changes(space, space)
    both.append(1)

    assert changes.left_behind(space, stores=(), brought=[]) == {"a": "changed"}


def test_a_cycle_and_a_large_value_cost_little():
    loop: list[Any] = list(range(1_000_000))
    loop.insert(0, loop)
    wide = {n: [[k] for k in range(100)] for n in range(500)}
    changes = Changes({"loop": loop, "wide": wide}, ["loop", "wide"])
    loop.append(1)

    assert changes.left_behind({}, stores=(), brought=[]) == {"loop": "changed"}


@pytest.mark.parametrize(
    ("left", "kept", "sentence"),
    [
        (
            {"history": "changed"},
            ["history"],
            (
                "Rank 0 changed history, and here it is as before. Add -o history next time; "
                "%ddp_output history fetches it now."
            ),
        ),
        (
            {"model": "trained"},
            [],
            "Rank 0 trained model, and here it is as before. Add -o model next time.",
        ),
        (
            {"log": "changed", "model": "trained", "seen": "changed"},
            ["log", "model", "seen"],
            (
                "Rank 0 trained model and changed log and seen, and here they are as before. "
                "Add -o log,model,seen next time; %ddp_output log fetches one now."
            ),
        ),
        (
            dict.fromkeys("abcdef", "changed"),
            [],
            (
                "Rank 0 changed a, b, c and d, and 2 more, and here they are as before. "
                "Add -o a,b,c,d next time."
            ),
        ),
    ],
)
def test_what_was_left_behind_is_said_in_one_sentence(left, kept, sentence):
    assert left_behind(left, kept) == [sentence]
    assert left_behind({}, kept) == []
