"""Overrides of what is inside a variable: paths through attributes, keys and indices."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ddp_magic import overrides
from ddp_magic.errors import CollectError, OverrideError
from ddp_magic.options import parse
from tests.kernel_side import KernelSide, kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.overrides import Bound

__all__ = ["kernel"]

NOTEBOOK = """
import enum, functools, types
from argparse import Namespace
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace

@dataclass
class Optim:
    lr: float = 0.1
    betas: list = field(default_factory=lambda: [0.9, 0.99])

@dataclass(frozen=True)
class Frozen:
    lr: float = 0.1

class Settings:
    lr = 0.1
    name = "base"

class Slots:
    __slots__ = ("lr", "unset")
    fixed = 1
    def __init__(self): self.lr = 0.1

class Computed:
    _lr = 0.1
    read = 0
    @property
    def lr(self): return self._lr
    @lr.setter
    def lr(self, value): self._lr = value * 2
    @property
    def twice(self): return self.lr * 2
    @functools.cached_property
    def costly(self): raise RuntimeError("computed")

class Both:
    lr = 0.1
    def __init__(self, lr=0.2): self.lr = lr

class Answering:
    def __getattr__(self, name):
        if name == "lr":
            return 0.1
        raise AttributeError(name)

class Autofilled(dict):
    def __getattr__(self, name): return self.setdefault(name, Autofilled())

class Doubled(dict): pass

class Colour(enum.Enum):
    RED = 1

Point = namedtuple("Point", "x y")
module = types.ModuleType("settings")
module.LR = 0.1
cfg = {"optim": {"lr": 0.1, "lambda": 1, "betas": [0.9, 0.99]}, "items": 3, "0": "zero", 1: "one"}
args = Namespace(lr=0.1, optim=SimpleNamespace(momentum=0.9))
optim = Optim()
frozen = Frozen()
holder = {"frozen": frozen, "point": Point(1, 2), "cfg": cfg}
point = Point(1, 2)
slots = Slots()
computed = Computed()
both = Both()
answering = Answering()
auto = Autofilled()
default = defaultdict(dict, a=1)
doubled = Doubled(lr=1); doubled.lr = 2
proxy = MappingProxyType({"lr": 0.1})
keys = {"0": 1, 0: 2}
number = 0.5
api = {"token": "abc", "nothing": None}
unread = {"lr": 0.1}
trainer = SimpleNamespace(config=unread)
replace = __import__("dataclasses").replace
"""
UNREAD = {"unread", "replace", "module"}


@pytest.fixture(name="notebook", scope="module")
def _notebook() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, namespace)
    return namespace


def bind(notebook: dict[str, Any], line: str, body: str = "f()") -> tuple[Bound, ...]:
    return overrides.resolve(
        parse(line).overrides,
        tree=ast.parse(body),
        reads=frozenset(notebook) - UNREAD,
        stores=frozenset(),
        user_ns=notebook,
        first_line=2,
    )


PLACES = {
    "cfg.optim.lr=1e-4": 'cfg["optim"]["lr"]',
    "cfg.optim.lambda=2": 'cfg["optim"]["lambda"]',
    "cfg.optim.betas.1=0.5": 'cfg["optim"]["betas"][1]',
    "cfg.items=4": 'cfg["items"]',
    "cfg.0='none'": 'cfg["0"]',
    "cfg.1='two'": "cfg[1]",
    "args.lr=1": "args.lr",
    "args.optim.momentum=1": "args.optim.momentum",
    "optim.betas=[1, 2]": "optim.betas",
    "Settings.lr=1": "Settings.lr",
    "slots.lr=1": "slots.lr",
    "computed.lr=1": "computed.lr",
    "computed.costly=1": "computed.costly",
    "both.lr=1": "both.lr",
    "answering.lr=1": "answering.lr",
    "holder.frozen={replace(frozen, lr=1)}": 'holder["frozen"]',
    "api.nothing='x'": 'api["nothing"]',
}


@pytest.mark.parametrize("line", PLACES)
def test_a_path_is_what_python_assigns_to(line: str, notebook: dict[str, Any]):
    (bound,) = bind(notebook, line)

    assert bound.kind == "path"
    assert bound.place == PLACES[line]
    assert bound.shown.partition("=")[0] == bound.target == line.partition("=")[0]


def test_finding_a_path_changes_nothing_in_the_notebook(notebook: dict[str, Any]):
    for line in ("default.missing=1", "auto.missing.lr=1", "cfg.optim.lr=7"):
        with pytest.raises(OverrideError) if "missing" in line else _nothing():
            bind(notebook, line)

    assert notebook["default"] == {"a": 1}
    assert notebook["auto"] == {}
    assert notebook["cfg"]["optim"]["lr"] == 0.1
    assert "costly" not in vars(notebook["computed"])


class _nothing:  # noqa: N801 - read in a sentence
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True)
class Refused:
    line: str
    message: str
    body: str = "f()"


IN_PLACE = "which cannot be changed in place. Override the whole"
REFUSED = [
    Refused(
        "cfg.optm.lr=1",
        "cfg is a dict without an attribute or key optm. Did you mean cfg.optim.lr=1?",
    ),
    Refused(
        "cfg.lr=1", "cfg is a dict without an attribute or key lr. Did you mean cfg.optim.lr=1?"
    ),
    Refused(
        "cfg.optim.zzz=1",
        "cfg.optim is a dict without an attribute or key zzz. "
        "What is there: cfg.optim.lr, cfg.optim.lambda, cfg.optim.betas.",
    ),
    Refused(
        "cfg.optim.betas.2=1",
        "cfg.optim.betas is a list without an attribute or key 2. "
        "What is there: cfg.optim.betas.0, cfg.optim.betas.1.",
    ),
    Refused(
        "number.zzz=1",
        "number is a float without an attribute or key zzz. "
        "Override the whole, or set it in a cell.",
    ),
    Refused(
        "number.real=1",
        f"number.real=1 cannot be set: number is a float, {IN_PLACE} number, or change it in a "
        "cell.",
    ),
    Refused(
        "cfg.optim.lr=best",
        "`cfg.optim.lr` is a float (0.1) and `best` is text. "
        "Write a number, as in cfg.optim.lr=0.5.",
    ),
    Refused(
        "api.token=5", "`api.token` is text and `***` is an int. For text write api.token='...'."
    ),
    Refused(
        "number.real=sk-abcdef1234567890abcd",
        f"number.real=*** cannot be set: number is a float, {IN_PLACE} number, or change it in a "
        "cell.",
    ),
    Refused(
        "cfg.optm=sk-abcdef1234567890abcd",
        "cfg is a dict without an attribute or key optm. Did you mean cfg.optim=***?",
    ),
    Refused(
        "cfg.optim.lr=sk-abcdef1234567890abcd",
        "`cfg.optim.lr` is a float (0.1) and `***` is text. "
        "Write a number, as in cfg.optim.lr=0.5.",
    ),
    Refused(
        "unread.lr=1",
        "unread.lr=1 would change nothing: nothing that this cell runs reads the variable unread. "
        "Did you mean trainer.config.lr=1?",
    ),
    Refused(
        "cfgg.optim.lr=1", "cfgg is no variable that this cell uses. Did you mean cfg.optim.lr=1?"
    ),
    Refused(
        "frozen.lr=1e-4",
        "frozen is a frozen Frozen and cannot be changed in place. "
        "Write frozen={replace(frozen, lr=1e-4)} to have another in its place.",
    ),
    Refused(
        "holder.frozen.lr={number}",
        "holder.frozen is a frozen Frozen and cannot be changed in place. "
        'Write holder.frozen={replace(holder["frozen"], lr=number)} to have another in its place.',
    ),
    Refused(
        "point.x=5",
        "point is a Point, which is a tuple and cannot be changed in place. "
        "Write point={point._replace(x=5)} to have another in its place.",
    ),
    Refused(
        "point.0=5",
        f"point.0=5 cannot be set: point is a Point, {IN_PLACE} point, or change it in a cell.",
    ),
    Refused(
        "proxy.lr=5",
        f"proxy.lr=5 cannot be set: proxy is a mappingproxy, {IN_PLACE} proxy, or change it in a "
        "cell.",
    ),
    Refused(
        "slots.fixed=5",
        f"slots.fixed=5 cannot be set: slots is a Slots, {IN_PLACE} slots, or change it in a cell.",
    ),
    Refused(
        "slots.unset=5",
        "slots is a Slots without an attribute or key unset. What is there: slots.lr.",
    ),
    Refused(
        "computed.twice=5",
        "computed.twice is a property of Computed without a setter. "
        "Override what it is computed from.",
    ),
    Refused(
        "Computed.lr=5",
        "Computed.lr is no value of the class Computed, but of each instance. "
        "Override it on an instance, or where the instance is made.",
    ),
    Refused(
        "Colour.RED=5",
        "Colour.RED cannot be changed: Colour is a class whose attributes are fixed. "
        "Override what uses it.",
    ),
    Refused(
        "doubled.lr=5",
        'doubled.lr could mean doubled["lr"] or doubled.lr, which differ. '
        'Set the one that is meant in a cell (doubled["lr"] = ...).',
    ),
    Refused(
        "keys.0=5",
        'keys.0 could mean keys["0"] or keys[0], which differ. '
        'Set the one that is meant in a cell (keys["0"] = ...).',
    ),
    Refused(
        "Both.lr=5",
        "Both.lr could mean Both(lr) in line 2 or the attribute lr of Both. Write lr=5 for the "
        "argument, or set Both.lr in a cell for the attribute.",
        body="Both()",
    ),
    Refused(
        "Both.lr=5",
        "Both.lr could mean Both(lr) in line 2 or the attribute lr of Both. Write Both(lr=5) in "
        "the cell for the argument, or set Both.lr in a cell for the attribute.",
        body="Both()\ndict(lr=2)",
    ),
    Refused(
        "cfg.optim.lr=5",
        "The cell itself sets cfg in line 2, so an override would be lost. Change it there.",
        body="cfg = {}",
    ),
    Refused(
        "cfg={args} cfg.optim.lr=5",
        "cfg={args} and cfg.optim.lr=5 do not go together: one replaces cfg as a whole, the other "
        "changes what is in it. Keep one of them.",
    ),
    Refused(
        "cfg.optim.lr=5 holder.cfg.optim.lr=6",
        "cfg.optim.lr, which is holder.cfg.optim.lr, is given twice, as cfg.optim.lr=5 and as "
        "holder.cfg.optim.lr=6. Keep one of them.",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.line} | {case.body}")
def test_a_path_is_refused_with_what_to_do(case: Refused, notebook: dict[str, Any]):
    with pytest.raises(OverrideError) as caught:
        bind(notebook, case.line, case.body)

    assert str(caught.value) == case.message


def test_a_plain_name_that_only_a_path_has_is_said_so(notebook: dict[str, Any]):
    with pytest.raises(OverrideError, match=r"Did you mean args\.optim\.momentum=1\?$"):
        bind(notebook, "momentum=1")


def test_a_dataclass_field_means_the_parameter_where_the_cell_calls_the_class(
    notebook: dict[str, Any],
):
    (called,) = bind(notebook, "Optim.lr=5", "Optim()")
    (read,) = bind(notebook, "Optim.lr=5", "f(Optim.lr)")

    assert (called.target, called.note) == ("Optim(lr)", "")
    assert (read.target, read.note) == (
        "Optim.lr",
        (
            "Optim.lr is overridden for code that reads Optim.lr; Optim() goes on filling in "
            "lr=0.1, which it took when the class was made."
        ),
    )


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("config.lr=2", None),
        ("config.lr=2.5", "config takes no such lr: must be whole."),
        ("config.api_key=''", "config takes no such api_key: ValueError."),
    ],
)
def test_a_library_of_configurations_may_refuse_a_value(line: str, refusal: str | None):
    attr = pytest.importorskip("attr", reason="attrs comes along with jupyterlab")

    def whole(_instance: Any, field: Any, value: Any) -> None:
        if value != int(value or "0" if field.name == "lr" else 1):
            raise ValueError("must be whole" if field.name == "lr" else f"not {value}")

    config = attr.make_class("Config", {
        "lr": attr.ib(default=1, on_setattr=attr.setters.validate, validator=whole),
        "api_key": attr.ib(default=1, on_setattr=attr.setters.validate, validator=whole),
    })()  # fmt: skip
    config.api_key = 1
    notebook: dict[str, Any] = {"__name__": "__main__", "config": config}
    object.__setattr__(config, "api_key", "abc")
    if refusal is None:
        assert bind(notebook, line)
        return

    with pytest.raises(OverrideError) as caught:
        bind(notebook, line)

    assert str(caught.value) == f"{refusal} Give what it accepts, or change config in a cell."


# in a rank


def bound(kernel: KernelSide, line: str, body: str) -> Sequence[Bound]:
    reached = kernel.gather(body)
    return overrides.resolve(
        parse(line).overrides,
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )


def test_paths_are_set_in_the_rank_alone_and_every_holder_sees_it(kernel: KernelSide):
    kernel.cells(
        NOTEBOOK,
        "class Run: pass\nrun = Run(); run.cfg = cfg; run.optim = optim\n"
        "def read(): return Settings.lr, cfg['optim']['lr']",
    )
    line = (
        "cfg.optim.lr=1e-4 cfg.optim.betas.0=0.5 optim.lr=2 optim.betas={number} args.lr=3 "
        "args.optim.momentum=4 Settings.lr=5 slots.lr=6 computed.lr=7 api.token=xyz run.cfg.items=8"
    )
    body = (
        "[cfg, run.cfg is cfg, run.optim.lr, optim.betas, args, read(), slots.lr, computed.lr, "
        "api['token'], Settings().lr]"
    )
    given = bound(kernel, line, body)
    definitions, run = kernel.define(body, given)
    value = kernel.rank(body, given).value
    space = kernel.space

    assert value[0]["optim"] == {"lr": 1e-4, "lambda": 1, "betas": [0.5, 0.99]}
    assert value[0]["items"] == 8
    assert value[1:4] == [True, 2, 0.5]
    assert (value[4].lr, value[4].optim.momentum) == (3, 4)
    assert value[5:] == [(5, 1e-4), 6, 14, "xyz", 5]
    assert (space["cfg"]["optim"]["lr"], space["optim"].lr, space["Settings"].lr) == (0.1,) * 3
    assert (space["args"].lr, space["slots"].lr, space["api"]["token"]) == (0.1, 0.1, "abc")
    text = run.main.read_text()
    assert '\n# override cfg.optim.lr=1e-4 → cfg.optim.lr\ncfg["optim"]["lr"] = 0.0001\n' in text
    assert "xyz" not in text + run.program.read_text()
    assert definitions.notes == ()


def test_a_module_is_set_in_the_rank_and_what_it_needs_is_imported(
    kernel: KernelSide, monkeypatch: pytest.MonkeyPatch
):
    (kernel.folder / "notebook" / "cfgpkg").mkdir()
    for name, text in (("__init__", ""), ("deep", "LR = 0.1\ndef lr(): return LR\n")):
        (kernel.folder / "notebook" / "cfgpkg" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(kernel.folder / "notebook"))
    kernel.cells("import cfgpkg.deep\nimport cfgpkg as c", "c.deep.LR = 0.2")
    body = "[c.deep.lr(), c.deep.LR]"
    given = bound(kernel, "c.deep.LR=5", body)

    assert kernel.rank(body, given).value == [5, 5]
    assert kernel.space["c"].deep.LR == 0.2


def test_a_path_into_what_cannot_be_sent_is_refused(kernel: KernelSide):
    kernel.cells("import threading\nbad = {'lr': 1, 'lock': threading.Thread()}\ndef f(): bad")
    body = "if len([]): f()"
    given = bound(kernel, "bad.lr=2", body)

    with pytest.raises(CollectError, match=r"^bad"):
        kernel.define(body, given)


def test_torch_settings_models_and_optimizers_are_reached():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    notebook: dict[str, Any] = {"torch": torch, "model": model, "opt": optimizer}
    line = "model.1.p=0.2 opt.param_groups.0.lr=0.3 torch.backends.cudnn.benchmark=true"
    given = bind(notebook, line)

    assert [each.place for each in given] == [
        "model[1].p",
        'opt.param_groups[0]["lr"]',
        "torch.backends.cudnn.benchmark",
    ]
    assert given[2].modules == ("torch.backends.cudnn",)
    notebook["loader"] = torch.utils.data.DataLoader([1, 2])
    with pytest.raises(OverrideError) as caught:
        bind(notebook, "loader.batch_size=2")
    assert str(caught.value) == (
        "loader is a DataLoader, which has its batch_size from the start. Make it in the %%ddp "
        "cell, with batch_size=... in the call, and override that."
    )
    with pytest.raises(OverrideError) as caught:
        bind(notebook, "model.0.weight=3")
    assert str(caught.value) == (
        "model.0.weight is a Parameter of the model and takes nothing else. "
        "For one of the notebook write model.0.weight={name}."
    )
