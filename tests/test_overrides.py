"""What an override goes to, and with which value, in a notebook of a few definitions."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import pytest

from ddp_magic.errors import OverrideError
from ddp_magic.line.first_use import bound_first
from ddp_magic.options import parse
from ddp_magic.overrides import Bound, CallSite, resolve

NOTEBOOK = """
from dataclasses import dataclass, field
import functools
from pathlib import Path

class Trainer:
    def __init__(self, lr=0.1, epochs=3, amp=False, name="run", opt=None, xs=(1,), *, seed: int):
        pass

class Inherits(dict): pass

class Loose:
    def __init__(self, depth=1, **kwargs): pass

@dataclass
class Config:
    width: int = 8
    layers: list = field(default_factory=list)

def fit(model, rounds=3, /, steps=5, *rest, shuffle=True): ...

@functools.lru_cache
def load(size: "int", root=Path("data")): ...

def counted(f):
    @functools.wraps(f)
    def inner(*args, **kwargs): ...
    return inner

@counted
def wrapped(alpha=1.0): ...

quick = functools.partial(fit, steps=2)
Alias = Trainer
lr = 0.1
best_lr = 0.003
batch = 32
amp = True
title = "base"
api_token = "abc"
nothing = None
sizes = [1, 2]
cfg = {"lr": 0.1}
where = Path("data")
"""


@pytest.fixture(name="notebook")
def _notebook() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", "Foreign": ast.Constant}
    exec(NOTEBOOK, namespace)
    return namespace


def bind(
    notebook: dict[str, Any], line: str, body: str, *, reads: str = "", stores: str = ""
) -> tuple[Bound, ...]:
    return resolve(
        parse(line).overrides,
        tree=ast.parse(body),
        reads=frozenset(reads.split()),
        stores=frozenset(stores.split()),
        user_ns=notebook,
        first_line=2,
    )


def at(position: int | None = None, *, number: int = 0) -> CallSite:
    return CallSite(number=number, position=position)


@dataclass(frozen=True)
class Meant:
    text: str
    value: object


VALUES = [
    Meant("5", 5),
    Meant("-1", -1),
    Meant("3e-4", 3e-4),
    Meant("1_000", 1000),
    Meant("0x10", 16),
    Meant("'5'", "5"),
    Meant('"a b"', "a b"),
    Meant("b'x'", b"x"),
    Meant("[1, 2]", [1, 2]),
    Meant("(1, 2)", (1, 2)),
    Meant("{'a': 1}", {"a": 1}),
    Meant("{1, 2}", {1, 2}),
    Meant("''", ""),
    Meant("{best_lr}", 0.003),
    Meant("{best_lr * 2}", 0.006),
    Meant("{ best_lr }", 0.003),
    Meant("{[n for n in range(2)]}", [0, 1]),
    Meant("{'lr': best_lr}", {"lr": 0.003}),
    Meant("{**cfg, 'a': 1}", {"lr": 0.1, "a": 1}),
    Meant("{n for n in sizes}", {1, 2}),
    Meant("{f'run-{batch}'}", "run-32"),
    Meant("$best_lr", 0.003),
    Meant("$where.name", "data"),
    Meant("true", True),
    Meant("FALSE", False),
    Meant("None", None),
    Meant("none", None),
    Meant("resnet18", "resnet18"),
    Meant("data/train.csv", "data/train.csv"),
    Meant("best_lr", "best_lr"),
    Meant("1.2.3", "1.2.3"),
    Meant("007", "007"),
    Meant("yes", "yes"),
]


@pytest.mark.parametrize("case", VALUES, ids=lambda case: case.text)
def test_a_value_is(case: Meant, notebook: dict[str, Any]) -> None:
    (bound,) = bind(notebook, f"nothing={case.text}", "f(nothing)", reads="nothing")

    assert bound.value == case.value
    assert type(bound.value) is type(case.value)


def test_an_expression_gives_the_notebooks_own_object(notebook: dict[str, Any]) -> None:
    (bound,) = bind(notebook, "nothing={cfg}", "f(nothing)", reads="nothing")

    assert bound.value is notebook["cfg"]


@dataclass(frozen=True)
class Found:
    line: str
    body: str
    target: str
    calls: tuple[CallSite, ...] = ()
    reads: str = ""
    stores: str = ""


TARGETS = [
    Found("lr=1", "f(lr)", "lr", reads="lr"),
    Found("lr=1", "train()", "lr", reads="lr train"),
    Found("lr=1", "t = Trainer(lr=lr)", "lr", reads="lr Trainer", stores="t"),
    Found("lr=1", "Trainer(lr)", "lr", reads="lr"),
    Found("lr=1", "lr = lr * 2", "lr", reads="lr", stores="lr"),
    Found("lr=1", "lr *= 2", "lr", reads="lr", stores="lr"),
    Found("lr=1", "def f(): return lr\nf()", "lr", reads="lr", stores="f"),
    Found("lr=1", "xs = [lr for lr in sizes]\nf(lr)", "lr", reads="lr sizes", stores="xs"),
    Found("undefined=1", "f(undefined)", "undefined", reads="undefined"),
    Found("lr=1", "Loose()", "lr", reads="lr"),
    Found("epochs=5", "Trainer()", "Trainer(epochs)", (at(),)),
    Found("epochs=5", "Trainer(epochs=9)", "Trainer(epochs)", (at(),)),
    Found("epochs=5", "Trainer(0.1, 9)", "Trainer(epochs)", (at(1),)),
    Found("epochs=5", "Trainer(0.1, 9, *a)", "Trainer(epochs)", (at(1),)),
    Found("epochs=5", "Trainer(0.1, epochs=9, **kw)", "Trainer(epochs)", (at(),)),
    Found("seed=5", "Trainer(*a)", "Trainer(seed)", (at(),)),
    Found(
        "epochs=5",
        "a = Trainer(0.1, 9)\nb = Trainer()",
        "Trainer(epochs)",
        (at(1), at(number=1)),
        stores="a b",
    ),
    Found("epochs=5", "def f():\n  Trainer()\nf()", "Trainer(epochs)", (at(number=1),)),
    Found("epochs=5", "Trainer()()", "Trainer(epochs)", (at(number=1),)),
    Found("epochs=5", "Alias()", "Alias(epochs)", (at(),)),
    Found("Trainer.epochs=5", "Trainer()", "Trainer(epochs)", (at(),)),
    Found("Trainer.lr=1", "Trainer()\nf(lr)", "Trainer(lr)", (at(),), reads="lr"),
    Found("Alias.epochs=5", "Trainer()\nAlias()", "Alias(epochs)", (at(number=1),)),
    Found("width=5", "Config()", "Config(width)", (at(),)),
    Found("layers=[3]", "Config()", "Config(layers)", (at(),)),
    Found("steps=5", "fit(m)", "fit(steps)", (at(),)),
    Found("rounds=5", "fit(m, 2)", "fit(rounds)", (at(1),)),
    Found("shuffle=false", "fit(m, 2, 3, 4)", "fit(shuffle)", (at(),)),
    Found("steps=5", "quick(m)", "quick(steps)", (at(),)),
    Found("size=5", "load(3)", "load(size)", (at(0),)),
    Found("alpha=5", "wrapped()", "wrapped(alpha)", (at(),)),
    Found("depth=5", "Loose()", "Loose(depth)", (at(),)),
    Found("other=5", "Loose(other=1)", "Loose(other)", (at(),)),
    Found("epochs=5", "Loose()\nTrainer()", "Trainer(epochs)", (at(number=1),)),
]


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: f"{case.line} | {case.body}")
def test_an_override_goes_to(case: Found, notebook: dict[str, Any]) -> None:
    (bound,) = bind(notebook, case.line, case.body, reads=case.reads, stores=case.stores)

    assert (bound.target, bound.calls) == (case.target, case.calls)
    assert bound.kind == ("argument" if case.calls else "global")
    assert bound.name == case.line.partition("=")[0].rpartition(".")[2]


@dataclass(frozen=True)
class Refused:
    line: str
    message: str
    body: str = "f(lr, batch, amp, title, nothing, sizes, where, api_token)"
    reads: str = "lr batch amp title nothing sizes where api_token fit"
    stores: str = ""


NEITHER = "is neither a variable that this cell uses nor an argument that it passes."
HIDDEN = "to have it overridden."
LOST = "so an override would be lost. Change it there"
REFUSED = [
    # values that do not fit
    Refused(
        "lr=best_lr",
        "`lr` is a float (0.1) and `best_lr` is text. For the variable write lr={best_lr}.",
    ),
    Refused("lr=fast", "`lr` is a float (0.1) and `fast` is text. Write a number, as in lr=0.5."),
    Refused("lr='0.2'", "`lr` is a float (0.1) and `'0.2'` is text. Write a number, as in lr=0.5."),
    Refused(
        "lr={title}", "`lr` is a float (0.1) and `{title}` is text. Write a number, as in lr=0.5."
    ),
    Refused(
        "lr=2*best_lr",
        "`lr` is a float (0.1) and `2*best_lr` is text. For the value of the expression write "
        "lr={2*best_lr}.",
    ),
    Refused(
        "lr=inf",
        "`lr` is a float (0.1) and `inf` is text. For the number write lr={float('inf')}.",
    ),
    Refused("lr=true", "`lr` is a float (0.1) and `true` is a bool. Write a number, as in lr=0.5."),
    Refused("lr=[1]", "`lr` is a float (0.1) and `[1]` is a list. Write a number, as in lr=0.5."),
    Refused("batch=x", "`batch` is an int (32) and `x` is text. Write a number, as in batch=5."),
    Refused("amp=1", "`amp` is a bool (True) and `1` is an int. Write amp=True."),
    Refused("amp=on", "`amp` is a bool (True) and `on` is text. Write amp=False."),
    Refused("title=5", "`title` is text ('base') and `5` is an int. For text write title='5'."),
    Refused(
        "title=true", "`title` is text ('base') and `true` is a bool. For text write title='true'."
    ),
    Refused(
        "api_token=5",
        "`api_token` is text and `***` is an int. For text write api_token='...'.",
    ),
    Refused(
        "sizes=3", "`sizes` is a list and `3` is an int. Write one in brackets, as in sizes=[1, 2]."
    ),
    Refused(
        "where=other",
        "`where` is a PosixPath and `other` is text. For an object of the notebook write "
        "where={name}.",
    ),
    Refused(
        "fit=3",
        "`fit` is a function and `3` is an int. For an object of the notebook write fit={name}.",
    ),
    Refused(
        "epochs=x",
        "`epochs` is an int (3) and `x` is text. Write a number, as in epochs=5.",
        body="Trainer()",
    ),
    Refused(
        "opt=x",
        "`opt` is a float (0.5) and `x` is text. Write a number, as in opt=0.5.",
        body="Trainer(opt=0.5)",
    ),
    Refused(
        "opt=x",
        "`opt` is an int (32) and `x` is text. Write a number, as in opt=5.",
        body="Trainer(opt=batch)",
    ),
    Refused(
        "seed=x",
        "`seed` is declared as int and `x` is text. Write a number, as in seed=5.",
        body="Trainer()",
    ),
    Refused(
        "size=x",
        "`size` is declared as int and `x` is text. Write a number, as in size=5.",
        body="load()",
    ),
    # values that cannot be evaluated
    Refused(
        "lr={bst_lr}",
        "`lr={bst_lr}` uses bst_lr, which is not defined in the notebook. Did you mean best_lr?",
    ),
    Refused(
        "lr=$zzz",
        "`lr=$zzz` uses zzz, which is not defined in the notebook. Run its cell first.",
    ),
    Refused(
        "lr={1 / 0}",
        "`lr={1 / 0}` could not be evaluated: ZeroDivisionError: division by zero. "
        "Try the expression in a cell first.",
    ),
    Refused(
        "lr={lr +}",
        "`lr={lr +}` is no Python expression. Write lr={expression} to have an expression "
        "evaluated in the notebook, or lr='...' for text.",
    ),
    Refused(
        "lr=$1",
        "`lr=$1` is no variable. Write lr={expression} to have an expression evaluated in the "
        "notebook, or lr='...' for text.",
    ),
    Refused(
        "nothing=[a, b]",
        "`nothing=[a, b]` is no Python literal. Write nothing={expression} to have an expression "
        "evaluated in the notebook, or nothing='...' for text.",
    ),
    Refused(
        "title=run_{batch}",
        "`title=run_{batch}` is text around an expression, which is not filled in. "
        "Write title={f'run-{seed}'} with an f-string, or put plain text in quotes.",
    ),
    Refused(
        "lr=1e-3,3e-4",
        "`lr=1e-3,3e-4` is a bare list, which is kept for trying several values. "
        "Write lr=[1e-3, 3e-4] for a list, or quotes around text.",
    ),
    # targets
    Refused("lr=1 lr=2", "lr is given twice, as lr=1 and as lr=2. Keep one of them."),
    Refused(
        "epochs=1 Trainer.epochs=2",
        "Trainer(epochs) is given twice, as epochs=1 and as Trainer.epochs=2. Keep one of them.",
        body="Trainer()",
    ),
    Refused(
        "lr=1",
        "lr could mean the variable lr or Trainer(lr) in line 2. Write Trainer.lr=1 for the "
        "argument, or set lr in a cell for the variable.",
        body="Trainer()\nf(lr)",
    ),
    Refused(
        "lr=1",
        "lr could mean the variable lr or Trainer(lr) in line 2. Write Trainer.lr=1 for the "
        "argument, or set lr in a cell for the variable.",
        body="Trainer(**cfg)\nf(lr)",
    ),
    Refused(
        "epochs=1",
        "epochs could mean Trainer(epochs) in line 2 or Alias(epochs) in line 3. "
        "Write Trainer.epochs=1 or Alias.epochs=1.",
        body="Trainer()\nAlias()",
    ),
    Refused(
        "epochs=1",
        "epochs may be a parameter of Trainer, but the call in line 2 hides it behind * or **. "
        f"Write it in the cell, as Trainer(epochs=...), {HIDDEN}",
        body="Trainer(**cfg)",
    ),
    Refused(
        "epochs=1",
        "epochs may be a parameter of Trainer, but the call in line 3 hides it behind * or **. "
        f"Write it in the cell, as Trainer(epochs=...), {HIDDEN}",
        body="Trainer()\nTrainer(*sizes)",
    ),
    Refused(
        "rounds=1",
        "rounds may be a parameter of fit, but the call in line 2 leaves out what has no keyword. "
        f"Write it in the cell, as fit(rounds=...), {HIDDEN}",
        body="fit(m)",
    ),
    Refused(
        "other=1",
        "other may be a parameter of Loose, but **kwargs hides it. "
        f"Write it in the cell, as Loose(other=...), {HIDDEN}",
        body="Loose()",
    ),
    Refused("lr=1", f"The cell itself sets lr in line 3, {LOST}.", "x = 1\nlr = 0.1\nf(lr)"),
    Refused(
        "lr=1",
        f"The cell itself sets lr in line 2, {LOST}, or write Trainer.lr=1 for the argument.",
        "lr = 0.1\nTrainer(lr)",
    ),
    Refused("lr=1", f"The cell itself sets lr in line 2, {LOST}.", "for lr in sizes: f(lr)"),
    Refused("rate=1", f"The cell itself sets rate in line 2, {LOST}.", "rate = 1"),
    Refused(
        "lr=1",
        "lr=1 would change nothing: nothing that this cell runs reads the variable lr. "
        "Set what was made from it, or use it in the cell.",
        body="f()",
        reads="f",
    ),
    Refused("epochz=1", f"epochz {NEITHER} Did you mean epochs=1?", body="Trainer()"),
    Refused("epochz=1", f"epochz {NEITHER} Did you mean epochs=1?", body="Loose()\nTrainer()"),
    Refused(
        "zzz=1",
        f"zzz {NEITHER} What can be overridden: layers, width.",
        body="Config()",
        reads="",
    ),
    Refused("zzz=1", f"zzz {NEITHER} Nothing here can be overridden.", body="pass", reads=""),
    Refused(
        "zzz=1",
        f"zzz {NEITHER} What can be overridden: lr, shuffle, steps.",
        body="fit(lr)",
        reads="fit lr Trainer functools",
    ),
    Refused("print=1", f"print {NEITHER} Nothing here can be overridden.", "print()", "print"),
    Refused(
        "Trainer.epochz=1",
        "Trainer has no parameter epochz. Did you mean Trainer.epochs=1?",
        body="Trainer()",
    ),
    Refused(
        "Trainer.epochs=1",
        "Trainer.epochs=1 means a call of Trainer, and the cell does not call Trainer by name. "
        "Call it in the cell, or set the value where it is called.",
        body="f()",
    ),
    Refused(
        "cfg.lr=1",
        "cfg.lr=1 would change nothing: nothing that this cell runs reads the variable cfg. "
        "Did you mean lr=1?",
        body="f(cfg)",
    ),
    Refused(
        "zzz.lr=1",
        "zzz is no variable that this cell uses. Did you mean lr=1?",
        body="f(lr)",
        reads="lr",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.line} | {case.body}")
def test_an_override_is_refused_with_what_to_do(case: Refused, notebook: dict[str, Any]) -> None:
    with pytest.raises(OverrideError) as caught:
        bind(notebook, case.line, case.body, reads=case.reads, stores=case.stores)

    assert str(caught.value) == case.message


FITTING = [
    ("lr=1", "a float takes an int"),
    ("batch=0.5", "an int default often stands for a float"),
    ("lr={sizes}", "an object is what the user says"),
    ("lr=none", "None may replace anything"),
    ("where='x'", "quoted text may replace an object"),
    ("nothing=5", "None may be replaced by anything"),
    ("sizes=(1, 2)", "a list takes a tuple"),
    ("fit={load}", "a function takes a function"),
]


@pytest.mark.parametrize(("line", "why"), FITTING, ids=[why for _, why in FITTING])
def test_a_value_fits_where(line: str, why: str, notebook: dict[str, Any]) -> None:
    assert bind(notebook, line, "f()", reads="lr batch where nothing sizes fit"), why


def test_no_expression_is_evaluated_while_a_target_is_missing(notebook: dict[str, Any]) -> None:
    with pytest.raises(OverrideError, match=r"^zzz "):
        bind(notebook, "lr={sizes.append(9)} zzz=1", "f(lr)", reads="lr")

    assert notebook["sizes"] == [1, 2]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("lr=0.05", "lr=0.05 → lr"),
        ("lr={best_lr}", "lr={best_lr} (0.003) → lr"),
        ("lr={sizes}", "lr={sizes} → lr"),
        ("title={'x' * 99}", "title={'x' * 99} ('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...) → title"),
        ("epochs=5", "epochs=5 → Trainer(epochs) in 2 calls"),
        ("Alias.epochs=5", "Alias.epochs=5 → Alias(epochs)"),
        ("api_token=xyz", "api_token=*** → api_token"),
        ("api_token={title}", "api_token=*** → api_token"),
        ("max_tokens=5", "max_tokens=5 → max_tokens"),
    ],
)
def test_views_show_where_an_override_went(line: str, shown: str, notebook: dict[str, Any]) -> None:
    notebook["max_tokens"] = 1
    second = "Alias()" if line.startswith("Alias") else "Trainer()"
    reads = "lr title api_token max_tokens"
    (bound,) = (
        bind(notebook, line, f"Trainer()\n{second}", reads=reads)
        if "lr" not in line
        else (bind(notebook, line, "f(lr)", reads=reads))
    )

    assert bound.shown == shown


@pytest.mark.parametrize(
    ("body", "first"),
    [
        ("x = 1", {"x": 1}),
        ("x = x", {}),
        ("x += 1", {}),
        ("x: int", {}),
        ("x: int = 1", {"x": 1}),
        ("(x := 1)", {"x": 1}),
        ("f(x := x)", {}),
        ("for x in x: pass", {}),
        ("for x in y: pass", {"x": 1}),
        ("[x for x in y]\nx = 1", {"x": 2}),
        ("[x for x in y]\nx", {}),
        ("[x for x in x]", {}),
        ("{x: z for x in y}\nz = 1", {}),
        ("def x(): return y\ny = 1", {"x": 1, "y": 2}),
        ("def f(a=x): pass\nx = 1", {"f": 1}),
        ("lambda: x\nx = 1", {"x": 2}),
        ("lambda a=x: a\nx = 1", {}),
        ("class C:\n  x = 1\n  y\nx\ny = 1", {"C": 1}),
        ("import x.y, a as b", {"x": 1, "b": 1}),
        ("from a import b as c", {"c": 1}),
        ("try: pass\nexcept E as x: pass", {"x": 2}),
        ("with a as (x, y): pass", {"x": 1, "y": 1}),
        ("if a:\n  x = 1\nx", {"x": 2}),
        ("match a:\n  case {'k': x, **rest}: pass\n  case [*more]: pass", {
            "x": 2, "rest": 2, "more": 3,
        }),
        ("del x", {"x": 1}),
        ("x[0] = 1\nx = 2", {}),
        ("async def f(): pass\nawait f()", {"f": 1}),
    ],
)  # fmt: skip
def test_a_name_is_the_cells_own_where_it_is_bound_first(body: str, first: dict[str, int]) -> None:
    assert bound_first(ast.parse(body)) == first
