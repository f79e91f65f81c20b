"""What Tab offers on the %%ddp line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from ddp_magic.completion import completions

NOTEBOOK = """
import math
class Trainer:
    def __init__(self, lr=0.1, epochs=3, *args, seed=0, **kwargs): pass
def fit(model, /, steps=3): pass
lr = 0.1
best_lr = 0.2
model = object()
history = [1.0]
_hidden = 1
"""
CONFIGS = """
import math, types
from dataclasses import dataclass
class Flat:
    lr = 0.1
    def run(self): raise RuntimeError
    @property
    def asked(self): raise RuntimeError
    def __getattr__(self, name): raise RuntimeError
class Slots:
    __slots__ = ("lr", "unset")
@dataclass
class Args:
    lr: float = 0.1
class Loud(dict):
    def __getitem__(self, key): raise RuntimeError
    def __iter__(self): raise RuntimeError
    keys = items = values = __len__ = __contains__ = __iter__
cfg = {"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "name": "x", "not a name": 1, 3: 4}
flat = Flat(); flat.deep = {"a": 1}; flat._own = 2
slots = Slots(); slots.lr = 1
args = Args()
loud = Loud(lr=1)
self_held = {}; self_held["self_held"] = self_held
settings = types.ModuleType("settings"); settings.LR = 1; settings.f = len
"""


@pytest.fixture(name="notebook", scope="module")
def _notebook() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", "In": [], "Out": {}, "Platform": sys}
    exec(NOTEBOOK, namespace)
    return namespace


@dataclass(frozen=True)
class Offered:
    line: str
    text: str
    words: list[str]


CASES = [
    Offered("%%ddp --g", "--g", ["--gpus", "--grace"]),
    Offered("--ou", "--ou", ["--output"]),
    Offered("%%ddp --gpus 2 --g", "--g", ["--grace"]),
    Offered("%%ddp -g 2 --g", "--g", ["--grace"]),
    Offered("%%ddp --gpus=2 --g", "--g", ["--grace"]),
    Offered("%%ddp --env A=1 --en", "--en", ["--env"]),
    Offered("%%ddp --zzz", "--zzz", []),
    Offered("%%ddp --ui ", "", ["widget", "html", "plain"]),
    Offered("%%ddp --ui w", "w", ["widget"]),
    Offered("%%ddp --ui=w", "w", ["widget"]),
    Offered("%%ddp --ui=w", "--ui=w", ["--ui=widget"]),
    Offered("%%ddp --rank a", "a", ["all"]),
    Offered("%%ddp --gpus a", "a", ["all"]),
    Offered("%%ddp --timeout ", "", []),
    Offered("%%ddp -o hi", "hi", ["history"]),
    Offered("%%ddp --output model,hi", "hi", ["history"]),
    Offered("%%ddp --output model,hi", "model,hi", ["model,history"]),
    Offered("%%ddp --output model,mo", "mo", []),
    Offered("%%ddp -o ", "", ["Trainer", "best_lr", "fit", "history", "lr", "model"]),
    Offered("%%ddp ep", "ep", ["epochs="]),
    Offered("%%ddp --show ep", "ep", ["epochs="]),
    Offered("%%ddp l", "l", ["lr="]),
    Offered("%%ddp s", "s", ["seed=", "steps="]),
    Offered("%%ddp a", "a", []),
    Offered("%%ddp mo", "mo", []),
    Offered("%%ddp Trainer.e", "Trainer.e", ["Trainer.epochs="]),
    Offered("%%ddp Trainer.e", "e", ["epochs="]),
    Offered("%%ddp lr={be", "be", ["best_lr"]),
    Offered("%%ddp lr={2*be", "be", ["best_lr"]),
    Offered("%%ddp lr=$be", "be", ["best_lr"]),
    Offered("%%ddp lr=be", "be", []),
    Offered("%%ddp epochs=3  # ep", "ep", []),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.line}|{case.text}")
def test_tab_offers(case: Offered, notebook: dict[str, Any]) -> None:
    assert completions(case.line, case.text, notebook) == case.words


def test_an_empty_word_offers_overrides_and_no_options(notebook: dict[str, Any]) -> None:
    assert completions("%%ddp ", "", notebook) == [
        "best_lr=", "epochs=", "history=", "lr=", "seed=", "steps=",
    ]  # fmt: skip


def test_a_dash_offers_every_option_in_both_spellings(notebook: dict[str, Any]) -> None:
    offered = completions("%%ddp -", "-", notebook)

    assert {"-g", "--gpus", "-o", "--output", "--torchrun"} <= set(offered)
    assert "--nproc-per-node" not in offered


def test_objects_that_refuse_to_be_looked_at_are_passed_over(notebook: dict[str, Any]) -> None:
    class Shy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert completions("%%ddp ep", "ep", {**notebook, "shy": Shy()}) == ["epochs="]


STEPS = [
    ("cf", ["cfg.", "cfg="]),
    ("cfg.", ["cfg.name=", "cfg.optim.", "cfg.optim="]),
    ("cfg.optim.", ["cfg.optim.betas.", "cfg.optim.betas=", "cfg.optim.lr="]),
    ("cfg.optim.betas.", ["cfg.optim.betas.0=", "cfg.optim.betas.1="]),
    ("cfg.optim.b", ["cfg.optim.betas.", "cfg.optim.betas="]),
    ("cfg.none.", []),
    ("cfg.name.", []),
    ("flat.", ["flat.deep.", "flat.deep="]),
    ("Flat.", ["Flat.lr="]),
    ("slots.", ["slots.lr="]),
    ("args.", ["args.lr="]),
    ("Args.", ["Args.lr="]),
    ("loud.", ["loud.lr="]),
    ("self_held.self_held.", ["self_held.self_held.self_held.", "self_held.self_held.self_held="]),
    ("settings.", ["settings.LR="]),
    ("math.", []),
]


@pytest.mark.parametrize(("word", "offered"), STEPS, ids=[word for word, _ in STEPS])
def test_tab_goes_into_configurations_without_running_them(word: str, offered: list[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(CONFIGS, namespace)

    assert completions(f"%%ddp {word}", word, namespace) == sorted(offered)


CALLED = [
    ("ep", "model.train(epochs=3)", ["epochs="]),
    ("ep", "x = [tune(i, epochs=3) for i in y]", ["epochs="]),
    ("mod", "model.train(epochs=3)", []),
    ("model.", "model.train(epochs=3)", ["model.train."]),
    ("model.train.", "model.train(epochs=3, lr=1)", ["model.train.epochs=", "model.train.lr="]),
    ("wid", "def main(width=3): ...\nmain()", ["width="]),
    ("st", "fit(m)", ["steps="]),
    ("ep", "model.train(epochs=", ["epochs="]),
]


@pytest.mark.parametrize(("word", "body", "offered"), CALLED)
def test_tab_knows_what_the_cell_passes(
    word: str, body: str, offered: list[str], notebook: dict[str, Any]
) -> None:
    known = {**notebook, "Trainer": None} if not body.endswith("=") else notebook

    assert completions(f"%%ddp {word}", word, known, body) == offered
