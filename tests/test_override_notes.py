"""What is said of values that were computed from an overridden one."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from ddp_magic import overrides
from ddp_magic.collect import code as codes
from ddp_magic.collect import computed
from ddp_magic.options import parse
from tests.kernel_side import KernelSide, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddp_magic.collect.history import History

__all__ = ["kernel"]

OPT = "class Opt:\n    def __init__(self, rate): self.rate = rate\n"
RERUN = "Run that cell with the new value if it should follow."


@dataclass(frozen=True)
class Told:
    """Notebook, line and body, with the notes that the line brings about."""

    cells: tuple[str, ...]
    notes: tuple[str, ...] = ()
    line: str = "lr=0.5"
    body: str = "lr, cfg"


CASES = {
    "a dict": Told(
        ("lr = 3e-4", "cfg = {'lr': lr, 'w': 1}"),
        (
            (
                "cfg was made from lr in Cell In[2] and keeps 0.0003. "
                "Override cfg.lr too if it should follow."
            ),
        ),
    ),
    "a call": Told(
        (OPT + "lr = 3e-4", "cfg = Opt(lr * 2)"),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
    ),
    "by way of another": Told(
        ("lr = 3e-4", "mid = [lr]", "low = mid[0] + 1\ncfg = (low,)"),
        (
            f"mid was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",
            (
                f"low was made from mid, and so from lr, in Cell In[3] and keeps its old value. "
                f"{RERUN}"
            ),
            (
                f"cfg was made from low, and so from lr, in Cell In[3] and keeps its old value. "
                f"{RERUN}"
            ),
        ),
        body="lr, mid, low, cfg",
    ),
    "by way of what stays behind": Told(
        ("lr = 3e-4", "mid = [lr]", "cfg = mid[0] + 1"),
        (f"cfg was made from mid, and so from lr, in Cell In[3] and keeps its old value. {RERUN}",),
    ),
    "an older value": Told(
        ("lr = 3e-4", "cfg = [lr]", "lr = 1e-3"),
        (f"cfg was made from lr in Cell In[2] and keeps its old value. {RERUN}",),
    ),
    "in a loop, a branch, a with": Told(
        (
            "import contextlib\nlr = 3e-4",
            (
                "cfg = []\nfor i in range(2):\n    if i:\n        with contextlib.nullcontext():\n"
                "            cfg.append(lr)"
            ),
        ),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
    ),
    "in a comprehension": Told(
        ("lr = 3e-4", "cfg = [lr * i for i in range(2)]"),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
    ),
    "one of several": Told(
        ("lr = 3e-4", "other, cfg = 1, lr"),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
        body="lr, cfg, other",
    ),
    "an item": Told(
        ("lr = 3e-4", "cfg = {}\ncfg['rate'] = lr"),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
    ),
    "an augmented one": Told(
        ("lr = 3e-4", "cfg = 1\ncfg += lr\ncfg += 1"),
        (f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",),
    ),
    "a default and a class": Told(
        ("lr = 3e-4", "def cfg(rate=lr): return rate\nclass Kept:\n    lr = lr"),
        (
            f"cfg was made from lr in Cell In[2] and keeps 0.0003. {RERUN}",
            (
                "Kept was made from lr in Cell In[2] and keeps 0.0003. "
                "Override Kept.lr too if it should follow."
            ),
        ),
        body="lr, cfg, Kept",
    ),
    "a secret": Told(
        ("api_key = 'abc'", "cfg = {'key': api_key}"),
        (f"cfg was made from api_key in Cell In[2] and keeps its old value. {RERUN}",),
        line="api_key=xyz",
        body="api_key, cfg",
    ),
    "from a path": Told(
        (OPT + "cfg = {'lr': 0.1, 'w': 1}", "opt = Opt(cfg['lr'])\nkw = dict(**cfg)"),
        (
            f"opt was made from cfg.lr in Cell In[2] and keeps its old value. {RERUN}",
            (
                "kw was made from cfg.lr in Cell In[2] and keeps 0.1. "
                "Override kw.lr too if it should follow."
            ),
        ),
        line="cfg.lr=0.5",
        body="cfg, opt, kw",
    ),
    # nothing to say
    "bound anew": Told(("lr = 3e-4", "cfg = [lr]", "cfg = [1]")),
    "the item set anew": Told(("lr = 3e-4", "cfg = {}\ncfg['a'] = lr", "cfg['a'] = 1")),
    "the same value": Told(("lr = 0.5", "cfg = [lr]")),
    "in a function only": Told(("lr = 3e-4", "def f(): return [lr]\ncfg = f()\ng = lambda: lr")),
    "not collected": Told(("lr = 3e-4", "cfg = 1\nother = [lr]")),
    "deleted": Told(("lr = 3e-4", "cfg = [lr]\ndel cfg\ncfg = 2")),
    "also overridden": Told(("lr = 3e-4", "cfg = {'lr': lr}"), line="lr=0.5 cfg.lr=0.5"),
    "another name in a comprehension": Told(("lr = 3e-4", "cfg = [lr for lr in range(2)]")),
    "declared only": Told(("lr = 3e-4\ncfg = 1", "cfg: list\nf'{lr}'")),
    "another part of the path": Told(
        ("cfg = {'lr': 0.1, 'w': 1}", "kept = [cfg['w']]\nheld = [cfg]"),
        line="cfg.lr=0.5",
        body="cfg, kept, held",
    ),
    "an argument": Told(
        ("lr = 3e-4\nfrom types import SimpleNamespace as Args", "cfg = [lr]"),
        line="x=0.5",
        body="lr, cfg, Args(x=1)",
    ),
}


class Cells:
    """A history of cells that ran one after the other."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def ran(self) -> Iterator[tuple[str, str]]:
        yield from ((f"In[{number}]", text) for number, text in enumerate(self._texts, 1))

    def label(self, filename: str) -> str:
        return f"Cell {filename}"


def notes(case: Told) -> tuple[str, ...]:
    space: dict[str, Any] = {"__name__": "__main__"}
    for text in case.cells:
        exec(text, space)
    names = codes.reads(compile(case.body, "<cell>", "exec"))
    bound = overrides.resolve(
        parse(case.line).overrides,
        tree=ast.parse(case.body),
        reads=frozenset(names),
        stores=frozenset(),
        user_ns=space,
    )
    return tuple(computed.notes(bound, cast("History", Cells(case.cells)), names, space))


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_was_made_from_it_is_named(name: str):
    assert notes(CASES[name]) == CASES[name].notes


def test_no_more_than_five_are_named():
    names = [f"made{number}" for number in range(9)]
    made = "\n".join(f"{name} = [lr]" for name in names)
    found = notes(Told(("lr = 0.1", made), body=f"lr, {', '.join(names)}"))

    assert len(found) == 6
    assert found[-1] == (
        "4 more values were made from lr and keep what it was: made5, made6, made7, ..."
    )


def test_cells_are_followed_in_the_order_of_their_last_run(kernel: KernelSide):
    kernel.cells("lr = 0.1", "%%time\ncfg = [lr]", "old = [lr]", "lr = 0.2", "old = 1")
    collector, _ = kernel.collector("lr, cfg, old")
    reached = collector.gather()
    bound = overrides.resolve(
        parse("lr=0.5").overrides,
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )

    assert collector.finish(bound).notes == (
        f"cfg was made from lr in Cell In[2] and keeps its old value. {RERUN}",
    )
