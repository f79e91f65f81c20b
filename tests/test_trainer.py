"""What --trainer names: which lines it stands for, what it takes, and what is refused."""

from __future__ import annotations

import ast
import functools
import types
from typing import Any

import pytest

from ddp_magic import overrides, trainer
from ddp_magic.errors import OptionError, OverrideError
from ddp_magic.options import parse

NOTEBOOK = """
import functools, fractions, textwrap

class Plain:
    def __init__(self, lr=0.1, epochs=2): ...
    def train(self): ...

class Fits(Plain):
    train = None
    def __init__(self, depth, **kwargs):
        super().__init__(**kwargs)
    def fit(self, resume=False): ...

class Keeps:
    def __init__(self, width=4, **cfg):
        self.cfg = cfg
    def train(self, steps): ...

class Called:
    def __call__(self, steps=3): ...

class Waits:
    async def train(self): ...

class WaitsAlike:
    @staticmethod
    async def fit(): ...

class Never: ...

def make(lr=0.1): return Plain(lr)
async def amake(lr=0.1): return Plain(lr)

fixed = functools.partial(Plain, lr=0.5)
made = functools.partial(make, 0.5)
trainer = Plain()
other = Keeps()
number = 3
lr = 0.3
"""
START = '__import__("ddp_magic.worker.training", fromlist=["start"]).start(trainer)'


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, space)
    return space


def find(notebook: dict[str, Any], name: str) -> trainer.Trainer:
    return trainer.find(name, notebook, {"__builtins__"}.__contains__)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("Plain", "trainer = Plain(); trainer.train()"),
        ("Fits", "trainer = Fits(); trainer.fit()"),
        ("Called", "trainer = Called(); trainer()"),
        ("Waits", "trainer = Waits(); await trainer.train()"),
        ("WaitsAlike", "trainer = WaitsAlike(); await trainer.fit()"),
        ("fixed", "trainer = fixed(); trainer.train()"),
        ("make", f"trainer = make(); {START}"),
        ("made", f"trainer = made(); {START}"),
        ("amake", f"trainer = await amake(); {START}"),
        ("trainer", "trainer.train()"),
        ("other", "trainer = other; trainer.train()"),
        ("fractions.Fraction", None),
        ("textwrap.fill", f"trainer = textwrap.fill(); {START}"),
    ],
)
def test_a_name_stands_for_the_lines_that_a_user_would_write(
    notebook: dict[str, Any], name: str, head: str | None
) -> None:
    if head is None:
        with pytest.raises(OptionError, match="without train\\(\\) or fit\\(\\)"):
            find(notebook, name)
        return
    assert find(notebook, name).head == head
    compile(head, "<head>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Plian", "no variable Plian. Did you mean Plain?"),
        ("zebra", "no variable zebra. Run the cell that defines it first."),
        ("__builtins__", "no variable __builtins__"),
        ("fractions.Nothing", "there is no Nothing in it"),
        ("Never", "Never is a class without train() or fit()"),
        ("number", "number is a int object without train() or fit()"),
        ("fractions", "without train() or fit()"),
    ],
)
def test_what_does_not_train_is_refused(notebook: dict[str, Any], name: str, told: str) -> None:
    with pytest.raises(OptionError) as refused:
        find(notebook, name)
    assert told in str(refused.value)


def test_a_torch_module_is_no_trainer_though_it_has_a_train(notebook: dict[str, Any]) -> None:
    from torch import nn

    class Net(nn.Linear): ...

    class Own(nn.Module):
        def fit(self): ...

    space = notebook | {"Net": Net, "net": nn.Linear(1, 1), "Own": Own}
    for name in ("Net", "net"):
        with pytest.raises(OptionError, match="only switches its mode"):
            find(space, name)
    assert find(space, "Own").head == "trainer = Own(); trainer.fit()"


def bind(notebook: dict[str, Any], line: str, body: str = "") -> tuple[overrides.Bound, ...]:
    options = parse(line)
    found = find(notebook, options.trainer)
    bound = overrides.resolve(
        options.overrides,
        tree=ast.parse(f"{found.head}\n{body}"),
        reads=frozenset({options.trainer, "lr"} if "reads" in body else {options.trainer}),
        stores=frozenset({"trainer"}),
        user_ns=notebook,
        trainer=found.calls,
    )
    found.require_complete(bound)
    return bound


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("--trainer Plain lr=0.2", ["Plain(lr)"]),
        ("--trainer Plain Plain.lr=0.2 epochs=3", ["Plain(lr)", "Plain(epochs)"]),
        ("--trainer fixed lr=0.2", ["fixed(lr)"]),
        ("--trainer make lr=0.2", ["make(lr)"]),
        ("--trainer Fits depth=3 epochs=5", ["Fits(depth)", "Fits(epochs)"]),
        ("--trainer Fits depth=3 resume=true", ["Fits(depth)", "trainer.fit(resume)"]),
        ("--trainer Keeps anything=3 steps=5", ["Keeps(anything)", "trainer.train(steps)"]),
        ("--trainer Called steps=5", ["trainer(steps)"]),
        ("--trainer textwrap.fill text=abc", ["textwrap.fill(text)"]),
        ("--trainer other other.width=8 steps=1", None),
    ],
)  # fmt: skip
def test_an_override_goes_to_a_parameter(
    notebook: dict[str, Any], line: str, targets: list[str] | None
) -> None:
    if targets is None:
        with pytest.raises(OverrideError):
            bind(notebook, line)
        return
    assert [each.target for each in bind(notebook, line)] == targets


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--trainer Plain epoch=3", "Did you mean epochs=3?"),
        ("--trainer Fits depth=1 epoch=5", "Did you mean epochs=5?"),
        ("--trainer Fits depth=1 nothing=5", "nothing is neither"),
        ("--trainer Keeps widht=8 steps=1", "Did you mean width=8?"),
        ("--trainer Fits", "Fits() needs depth, and the line gives it no value. Write depth=..."),
        ("--trainer Keeps", "trainer.train() needs steps"),
        ("--trainer Plain lr=high", "lr is a float"),
        ("--trainer trainer depth=2", "depth is neither"),
    ],
)
def test_an_override_that_the_trainer_does_not_take_is_refused(
    notebook: dict[str, Any], line: str, told: str
) -> None:
    with pytest.raises(OverrideError) as refused:
        bind(notebook, line)
    assert told in str(refused.value).replace("`", "")


def test_a_name_that_is_a_variable_too_has_to_be_chosen(notebook: dict[str, Any]) -> None:
    with pytest.raises(OverrideError, match="could mean the variable lr or Plain\\(lr\\)"):
        bind(notebook, "--trainer Plain lr=0.2", "reads")
    (chosen,) = bind(notebook, "--trainer Plain Plain.lr=0.2", "reads")
    assert chosen.target == "Plain(lr)"
    # what takes anything is no second meaning
    (variable,) = [
        b for b in bind(notebook, "--trainer Keeps lr=0.2 steps=1", "reads") if b.name == "lr"
    ]
    assert variable.target == "lr"


def test_nothing_of_the_users_runs_while_a_trainer_is_looked_at() -> None:
    class Meta(type):
        def __getattr__(cls, name: str) -> Any:
            raise AssertionError(name)

    class Trap(metaclass=Meta):
        @property
        def train(self) -> Any:
            raise AssertionError("train")

        def fit(self) -> None: ...

    space = {"Trap": Trap, "trap": Trap(), "part": functools.partial(Trap)}
    for name in space:
        assert trainer.find(name, space, lambda _: False).head.endswith("trainer.fit()")


def test_a_module_by_itself_does_not_train() -> None:
    with pytest.raises(OptionError, match="Name a class, function or object"):
        trainer.find("m", {"m": types.ModuleType("m")}, lambda _: False)
