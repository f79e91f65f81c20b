"""Overrides of what the cell's calls write, and of parameters of methods and of the cell's own."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import pytest

from ddp_magic import overrides
from ddp_magic.collect import code as codes
from ddp_magic.errors import OverrideError
from ddp_magic.options import parse
from ddp_magic.overrides import Bound
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]

NOTEBOOK = """
import fractions
from types import SimpleNamespace as Args

class Model:
    def __init__(self, width=4): pass
    def __call__(self, x, scale=1): return x, scale
    def train(self, epochs=10, data=None): return epochs, data
    @classmethod
    def make(cls, size=1): return cls(), size
    @staticmethod
    def check(strict=False): return strict

model = Model()
models = [model]
seed = 1
known = {"data": 1}
kw = {"epochs": 1}
options = Args(epochs=1)
"""


@pytest.fixture(name="notebook", scope="module")
def _notebook() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, namespace)
    return namespace


def bind(notebook: dict[str, Any], line: str, body: str) -> tuple[Bound, ...]:
    tree = ast.parse(body)
    names = codes.reads(compile(body, "<cell>", "exec"))
    return overrides.resolve(
        parse(line).overrides,
        tree=tree,
        reads=frozenset(names & notebook.keys()),
        stores=frozenset(),
        user_ns=notebook,
        first_line=2,
    )


@dataclass(frozen=True)
class Found:
    line: str
    body: str
    target: str
    calls: tuple[str, ...]
    position: int | None = None


FOUND = [
    Found("lr=1", "Args(lr=0.1)", "Args(lr)", ("Args(lr=0.1)",)),
    Found("lr=1", "optim.SGD(p, lr=0.1)", "optim.SGD(lr)", ("optim.SGD(p, lr=0.1)",)),
    Found(
        "optim.SGD.lr=1",
        "optim.SGD(p, lr=0.1)\nArgs(lr=1)",
        "optim.SGD(lr)",
        ("optim.SGD(p, lr=0.1)",),
    ),
    Found(
        "lr=1",
        "Args(lr=0.1)\nArgs(lr=0.2)\nArgs(x=1)",
        "Args(lr) in 2 calls",
        ("Args(lr=0.1)", "Args(lr=0.2)"),
    ),
    Found("Args.lr=1", "Args(lr=0.1)\nArgs(x=1)\nother(lr=1)", "Args(lr)", ("Args(lr=0.1)",)),
    Found("lr=1", "run = [Args(lr=i) for i in range(2)]", "Args(lr)", ("Args(lr=i)",)),
    Found("lr=1", "f(lambda: Args(lr=1))", "Args(lr)", ("Args(lr=1)",)),
    Found("lr=1", "def f():\n  return Args(lr=1)\nf()", "Args(lr)", ("Args(lr=1)",)),
    Found("lr=1", "a(b(lr=1), c(d=2))", "b(lr)", ("b(lr=1)",)),
    Found("lr=1", "a(1).b(lr=1).c(2)", "a.b(lr)", ("a(1).b(lr=1)",)),
    Found("a.b.lr=1", "a(1).b(lr=1)\nc(lr=2)", "a.b(lr)", ("a(1).b(lr=1)",)),
    Found("lr=1", "(f or g)(lr=1)", "(...)(lr)", ("(f or g)(lr=1)",)),
    Found("lr=1", "f(x)[0](lr=1)", "f(lr)", ("f(x)[0](lr=1)",)),
    Found("lr=1", "await_ = 1\nasync def f():\n  await g(lr=1)", "g(lr)", ("g(lr=1)",)),
    Found("lr=1", "@decorate(lr=1)\ndef f(): ...", "decorate(lr)", ("decorate(lr=1)",)),
    Found("lr=1", "f'{g(a=1)}{g(lr=1)}'", "g(lr)", ("g(lr=1)",)),
    Found("seed=2", "Args(seed=seed)", "seed", ()),
    Found("seed=2", "def f(seed): return Args(seed=seed)\nf(1)", "f(seed)", ("f(1)",), 0),
    Found("seed=2", "[Args(seed=seed) for seed in range(3)]", "Args(seed)", ("Args(seed=seed)",)),
    Found("epochs=5", "model.train()", "model.train(epochs)", ("model.train()",)),
    Found("epochs=5", "model.train(2)", "model.train(epochs)", ("model.train(2)",), 0),
    Found(
        "epochs=5",
        "model.train(data=1, epochs=3)",
        "model.train(epochs)",
        ("model.train(data=1, epochs=3)",),
    ),
    Found(
        "epochs=5",
        "models[0].train(epochs=3)",
        "models.train(epochs)",
        ("models[0].train(epochs=3)",),
    ),
    Found("epochs=5", "m = Model()\nm.train()", "m.train(epochs)", ("m.train()",)),
    Found("epochs=5", "Model(3).train()", "Model.train(epochs)", ("Model(3).train()",)),
    Found(
        "epochs=5",
        "model = Model()\nmodel.train(epochs=1)",
        "model.train(epochs)",
        ("model.train(epochs=1)",),
    ),
    Found(
        "model.train.epochs=5",
        "model.train()\nother(epochs=1)",
        "model.train(epochs)",
        ("model.train()",),
    ),
    Found("size=5", "Model.make()", "Model.make(size)", ("Model.make()",)),
    Found("strict=true", "Model.check()", "Model.check(strict)", ("Model.check()",)),
    Found("scale=5", "model(1)", "model(scale)", ("model(1)",)),
    Found("epochs=5", "def main(epochs=3): ...\nmain()", "main(epochs)", ("main()",)),
    Found("epochs=5", "@record\ndef main(*, epochs=3): ...\nmain()", "main(epochs)", ("main()",)),
    Found(
        "epochs=5",
        "def main(epochs): model.train(epochs)\nmain(1)",
        "main(epochs)",
        ("main(1)",),
        0,
    ),
    Found("n=5", "class K:\n  def __init__(self, n=1): ...\nK()", "K(n)", ("K()",)),
    Found(
        "m=5",
        "class K:\n  def go(self, a, /, m=2, *r, k, **kw): ...\nk = K()\nk.go(1)",
        "k.go(m)",
        ("k.go(1)",),
    ),
    Found("kw.epochs=5", "model.train(**kw)", "kw.epochs", ()),
]


@pytest.mark.parametrize("case", FOUND, ids=lambda case: f"{case.line} | {case.body}")
def test_an_override_goes_to(case: Found, notebook: dict[str, Any]):
    (bound,) = bind(notebook, case.line, case.body)

    assert bound.shown == f"{case.line} → {case.target}"
    calls = [node for node in ast.walk(ast.parse(case.body)) if isinstance(node, ast.Call)]
    assert tuple(ast.unparse(calls[site.number]) for site in bound.calls) == case.calls
    assert all(site.position == case.position for site in bound.calls)


@dataclass(frozen=True)
class Refused:
    line: str
    body: str
    message: str


HIDES = "hides it behind * or **. Write it in the cell, as"
REFUSED = [
    Refused(
        "lr=1",
        "Args(lr=2)\nopt.SGD(lr=3)",
        "lr could mean Args(lr) in line 2 or opt.SGD(lr) in line 3. "
        "Write Args.lr=1 or opt.SGD.lr=1.",
    ),
    Refused(
        "lr=1",
        "Args(lr=2)\nArgs(lr=2)\nopt.SGD(lr=3)\nf(lr=4)",
        "lr could mean Args(lr) in lines 2 and 3, opt.SGD(lr) in line 4 or f(lr) in line 5. "
        "Write Args.lr=1 or opt.SGD.lr=1 or f.lr=1.",
    ),
    Refused(
        "lr=1",
        "(f or g)(lr=2); (g or f)(lr=3)",
        "lr could mean (...)(lr) in line 2 or (...)(lr) in line 2. "
        "Pass a variable of the notebook to the one that is meant, and override lr so.",
    ),
    Refused(
        "seed=2",
        "Args(seed=3)\nf(seed)",
        "seed could mean the variable seed or Args(seed) in line 2. "
        "Write Args.seed=2 for the argument, or set seed in a cell for the variable.",
    ),
    Refused(
        "seed=2",
        "def f(seed): return Args(seed=seed)\nf(1), seed",
        "seed could mean the variable seed or f(seed) in line 3. "
        "Write f.seed=2 for the argument, or set seed in a cell for the variable.",
    ),
    Refused(
        "rate=2",
        "rate = 1\nArgs(rate=3)",
        "The cell itself sets rate in line 2, so an override would be lost. "
        "Change it there, or write Args.rate=2 for the argument.",
    ),
    Refused(
        "seed=x",
        "Args(seed=3)",
        "`seed` is an int (3) and `x` is text. Write a number, as in seed=5.",
    ),
    Refused(
        "q=2",
        "Args(q=(rate := 3))\nprint(rate)",
        "Args(q) cannot be overridden: the call in line 2 also sets rate there. "
        "Set that in a line of its own.",
    ),
    Refused(
        "epochs=5",
        "model.train(**kw)",
        f"epochs may be a parameter of model.train, but the call in line 2 {HIDES} "
        "model.train(epochs=...), to have it overridden, or override kw.epochs=5.",
    ),
    Refused(
        "epochs=5",
        "Args(**read())",
        "epochs may be a parameter of Args, but the call in line 2 hides it behind **. "
        "Write it in the cell, as Args(epochs=...), to have it overridden.",
    ),
    Refused(
        "epochs=5",
        "Args(**known)",
        "epochs is neither a variable that this cell uses nor an argument that it passes. "
        "What can be overridden: known, known.data.",
    ),
    Refused(
        "epochs=5",
        "f(options)",
        "epochs is neither a variable that this cell uses nor an argument that it passes. "
        "Did you mean options.epochs=5?",
    ),
    Refused(
        "sed=5",
        "Args(seed=3)",
        "sed is neither a variable that this cell uses nor an argument that it passes. "
        "Did you mean seed=5?",
    ),
    Refused(
        "denominator=5",
        "fractions.Fraction(1)",
        "The call of fractions.Fraction in line 2 writes no denominator, and this notebook does "
        "not define it. Write fractions.Fraction(denominator=...) in the cell, to have it "
        "overridden.",
    ),
    Refused(
        "Args.sed=5",
        "Args(seed=3)",
        "The call of Args in line 2 writes no sed. Did you mean Args.seed=5?",
    ),
    Refused(
        "model.train.epoch=5",
        "model.train()",
        "model.train has no parameter epoch. Did you mean model.train.epochs=5?",
    ),
    Refused(
        "epochs=1 model.train.epochs=2",
        "model.train()",
        "model.train(epochs) is given twice, as epochs=1 and as model.train.epochs=2. "
        "Keep one of them.",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.line} | {case.body}")
def test_an_override_is_refused_with_what_to_do(case: Refused, notebook: dict[str, Any]):
    with pytest.raises(OverrideError) as caught:
        bind(notebook, case.line, case.body)

    assert str(caught.value) == case.message


def test_a_keyword_that_looks_secret_is_masked(notebook: dict[str, Any]):
    (bound,) = bind(notebook, "api_key=zzz", "Args(api_key='abc')")

    assert bound.value == "zzz"
    assert bound.shown == "api_key=*** → Args(api_key)"
    assert "zzz" not in bound.key


def test_objects_that_refuse_to_be_looked_at_may_be_called(notebook: dict[str, Any]):
    class Shy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    (bound,) = bind({**notebook, "shy": Shy()}, "lr=1", "shy(1)\nshy.run(lr=2)")

    assert bound.target == "shy.run(lr)"


def test_the_calls_of_the_body_get_their_arguments(kernel: KernelSide):
    kernel.cells(NOTEBOOK)
    body = (
        "trained = Model(3).train(2), model.train(data=1)\n"
        "def inner(): return [Args(lr=0.1 * i).lr for i in range(2)]\n"
        "def main(steps=3): return steps\n"
        "text = f'{Args(a=1).a}{Args(depth=1).depth}'\n"
        "[trained, inner(), (lambda: dict(wd=1))(), text, main(), Model.check(), model(1)]"
    )
    reached = kernel.gather(body)
    line = (
        "Model.train.epochs=7 model.train.epochs=8 lr=9 wd={models} depth=4 steps=5 strict=true "
        "scale=6"
    )
    given = overrides.resolve(
        parse(line).overrides,
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )
    trained, inner, made, *rest = kernel.rank(body, given).value

    assert trained == ((7, None), (8, 1))
    assert inner == [9, 9]
    assert type(made["wd"][0]).__name__ == "Model"
    assert rest == ["14", 5, True, (1, 6)]
