"""How each name travels: by import, literal, source or value, and what cannot."""

from __future__ import annotations

import dataclasses
import linecache
import textwrap

import pytest

from ddp_magic.collect import How
from ddp_magic.collect.lines import started
from ddp_magic.errors import CollectError
from tests.kernel_side import KernelSide, kernel
from tests.test_pitfalls import of_type

__all__ = ["kernel"]


def how(kernel: KernelSide, name: str) -> tuple[How, str]:
    definitions, _ = kernel.define(f"print({name})")
    item = next(item for item in definitions.items if item.name == name)
    return item.how, item.why or item.text.partition("\n")[0]


@dataclasses.dataclass
class Travel:
    id: str
    cells: list[str]
    how: How
    told: str = ""
    name: str = "x"


FIELDS = (
    "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass B:\n    a: int = 1\n"
)
ENUM = "import enum\nfrom enum import Enum, auto\n"
TRAVELS = [
    Travel("int", ["x = 3"], How.LITERAL, "x = 3"),
    Travel("float", ["x = 0.1"], How.LITERAL, "x = 0.1"),
    Travel("none", ["x = None"], How.LITERAL, "x = None"),
    Travel("text", ["x = 'a\\nb\\u2028'"], How.LITERAL, "x = 'a\\nb\\u2028'"),
    Travel("lone surrogate", ["x = '\\ud800'"], How.LITERAL, r"x = '\ud800'"),
    Travel("infinity", ["x = float('inf')"], How.VALUE),
    Travel("subclass of int", ["import enum\nx = enum.IntEnum('x', 'a').a"], How.VALUE),
    Travel("long text", ["x = 'a' * 5000"], How.VALUE),
    Travel("secret", ["api_key = 'abc'"], How.VALUE, name="api_key"),
    Travel("number that sounds secret", ["n_tokens = 5"], How.LITERAL, name="n_tokens"),
    Travel("tuple", ["x = (1, 2)"], How.VALUE),
    Travel("module", ["import json"], How.IMPORT, "import json", "json"),
    Travel("module as", ["import os.path as x"], How.IMPORT, "import posixpath as x"),
    Travel("submodule", ["from os import path as x"], How.IMPORT, "from os import path as x"),
    Travel("from", ["from math import tau as x"], How.IMPORT, "from math import tau as x"),
    Travel("star", ["from math import *"], How.IMPORT, "from math import tau", "tau"),
    Travel("in a try", [("try:\n    import no_such_module as x\nexcept ImportError:\n"
                        "    import json as x")], How.IMPORT, "import json as x"),
    Travel("imported, then assigned", ["from math import tau as x", "x = 6"], How.LITERAL, "x = 6"),
    Travel("importable without an import", ["import collections\nx = collections.Counter"],
           How.IMPORT, "from collections import Counter as x"),
    Travel("function", ["def x(a, b=1, *, c='d') -> int:\n    return a"], How.SOURCE,
           "def x(a, b=1, *, c='d') -> int:"),
    Travel("beside an import", ["import math\ndef x(): return math.sqrt(2)"], How.SOURCE,
           "def x(): return math.sqrt(2)"),
    Travel("beside a late future import", [("def y(): pass\nfrom __future__ import annotations\n"
           "def x(): pass")], How.SOURCE, "def x(): pass"),
    Travel("async function", ["async def x(): pass"], How.SOURCE, "async def x(): pass"),
    Travel("class", ["class x:\n    'doc'\n    a = 1\n    def f(self): return super().f()"],
           How.SOURCE, "class x:"),
    Travel("class without methods", ["class x(ValueError): pass"], How.SOURCE,
           "class x(ValueError): pass"),
    Travel("class of class", ["class B: pass", "class x(B):\n    @property\n    def p(self): pass"],
           How.SOURCE, "class x(B):"),
    Travel("string annotation", ["def x(a: 'Later') -> 'x': pass"], How.SOURCE,
           "def x(a: 'Later') -> 'x': pass"),
    Travel("redefined", ["def x(): return 1", "def x(): return 2"], How.SOURCE,
           "def x(): return 2"),
    Travel("lambda", ["x = lambda: 1"], How.VALUE, "made under another name or inside a function"),
    Travel("closure", ["def make():\n    n = 1\n    def x(): return n\n    return x\nx = make()"],
           How.VALUE, "made under another name or inside a function"),
    Travel("decorated", ["def deco(f): return f\n@deco\ndef x(): pass"], How.VALUE,
           "is decorated"),
    Travel("default by name", ["n = 1\ndef x(a=n): pass"], How.VALUE,
           "a default value is no plain literal"),
    Travel("mutable default", ["def x(a=[]): pass"], How.VALUE,
           "a default value is no plain literal"),
    Travel("attribute", ["def x(): pass\nx.n = 1"], How.VALUE, "attributes were set on it"),
    Travel("code replaced", ["def x(): return 1\ndef y(): return 2\nx.__code__ = y.__code__"],
           How.VALUE, "its code is not what its cell says"),
    Travel("docstring replaced", ["def x():\n    'a'\nx.__doc__ = 'b'"], How.VALUE,
           "its docstring was changed"),
    Travel("renamed", ["def x(): pass\nx.__name__ = 'z'"], How.VALUE,
           "made under another name or inside a function"),
    Travel("annotation rebound", ["class T: pass\ndef x(a: T): pass", "class T: pass"], How.VALUE,
           "an annotation means something else now"),
    Travel("by exec", ["exec('def x(): pass')"], How.VALUE, "its code is not what its cell says"),
    Travel("after a future import", ["def x(): pass", "from __future__ import annotations"],
           How.VALUE, "its code is not what its cell says"),
    Travel("under a future import",
           ["from __future__ import annotations", "def x(a: Later | None = None): pass"],
           How.SOURCE, "def x(a: Later | None = None): pass"),
    Travel("class attribute set", ["class x:\n    a = 1", "x.a = 2"], How.VALUE,
           "a is not a literal, or was changed"),
    Travel("class attribute added", ["class x:\n    a = 1", "x.b = 2"], How.VALUE,
           "attributes were added or removed"),
    Travel("method replaced", ["class x:\n    def f(self): pass\ndef g(self): pass\nx.f = g"],
           How.VALUE, "no cell has its text"),
    Travel("one method replaced",
           ["class x:\n    def f(self): pass\n    def g(self): pass", "x.g = lambda self: 1"],
           How.VALUE, "g was replaced"),
    Travel("base rebound", ["class B: pass\nclass x(B): pass", "class B: pass"], How.VALUE,
           "a base means something else now"),
    Travel("base hooks", ["class B:\n    def __init_subclass__(cls): pass\nclass x(B): pass"],
           How.VALUE, "a base has __init_subclass__"),
    Travel("metaclass", ["class M(type): pass\nclass x(metaclass=M): pass"], How.VALUE,
           "has the metaclass M"),
    Travel("abstract class", [("import abc\nclass x(metaclass=abc.ABCMeta):\n"
           "    @property\n    @abc.abstractmethod\n    def p(self): pass")], How.SOURCE,
           "class x(metaclass=abc.ABCMeta):"),
    Travel("abstract class with others", [("import abc\nclass x(abc.ABC): pass\nclass V: pass\n"
           "_ = x.register(V)")], How.VALUE, "classes were registered with it"),
    Travel("abstract class made concrete", [("import abc\nclass x(abc.ABC):\n"
           "    @abc.abstractmethod\n    def p(self): pass\nx.__abstractmethods__ = frozenset()")],
           How.VALUE, "its abstract methods are others than its text says"),
    Travel("annotated attributes", ["class x:\n    a: int\n    b: 'str' = 'b'"], How.SOURCE,
           "class x:"),
    Travel("annotation added", ["class x:\n    a: int = 1\nx.__annotations__['b'] = str"],
           How.VALUE, "an annotation means something else now"),
    Travel("property that is set", [("class x:\n    @property\n    def p(self): pass\n"
           "    @p.setter\n    def p(self, to): pass\n    @p.deleter\n    def p(self): pass")],
           How.SOURCE, "class x:"),
    Travel("property that is set no more", [("class x:\n    @property\n    def p(self): pass\n"
           "    @p.setter\n    def p(self, to): pass\nx.p = property(x.p.fget)")],
           How.VALUE, "p was replaced"),
    Travel("implicit class methods", [("class x:\n    def __init_subclass__(cls): pass\n"
           "    def __class_getitem__(cls, item): pass\n    def __new__(cls): pass")],
           How.SOURCE, "class x:"),
    Travel("statement in a class", ["class x:\n    a = 1\n    print(a)"], How.VALUE,
           "its body has more than methods and literals"),
    Travel("dataclass", ["import dataclasses\n@dataclasses.dataclass\nclass x:\n    a: int = 1"],
           How.SOURCE, "@dataclasses.dataclass"),
    Travel("dataclass with fields", [(f"{FIELDS}@dataclass(frozen=True, order=True)\nclass x(B):\n"
           "    'doc'\n    b: list = field(default_factory=list, repr=False)\n"
           "    c: int = field(default=-1, kw_only=True)\n    def total(self): return self.a")],
           How.SOURCE, "@dataclass(frozen=True, order=True)"),
    Travel("dataclass with slots", [f"{FIELDS}@dataclass(slots=True)\nclass x:\n    a: int = 1"],
           How.VALUE, "is decorated"),
    Travel("dataclass with an object", [(f"{FIELDS}o = object()\n@dataclass\nclass x:\n"
           "    a: object = o")], How.VALUE, "a default value is no plain literal"),
    Travel("dataclass with a lambda", [(f"{FIELDS}@dataclass\nclass x:\n"
           "    a: list = field(default_factory=lambda: [])")], How.VALUE,
           "a field is made of more than literals and names"),
    Travel("dataclass whose factory was rebound", [(f"{FIELDS}def f(): return []\n@dataclass\n"
           "class x:\n    a: list = field(default_factory=f)"), "def f(): return [1]"], How.VALUE,
           "__dataclass_fields__ was replaced"),
    Travel("dataclass whose method was replaced", [f"{FIELDS}@dataclass\nclass x:\n    a: int = 1",
           "x.__init__ = lambda self: None"], How.VALUE, "no cell has its text"),
    Travel("dataclass whose default was changed", [(f"{FIELDS}@dataclass\nclass x:\n"
           "    a: int = field(default=1)"), "x.a = 2"], How.VALUE,
           "a is not a literal, or was changed"),
    Travel("another decorator of that name", [("def dataclass(c): return c\n@dataclass\nclass x:\n"
           "    a: int = 1")], How.VALUE, "is decorated"),
    Travel("enum", [(f"{ENUM}class x(Enum):\n    A = auto()\n    B = 'b'\n    ALIAS = 'b'\n"
           "    @property\n    def low(self): return self.name.lower()")], How.SOURCE,
           "class x(Enum):"),
    Travel("flag", [(f"{ENUM}class x(enum.Flag):\n    R = auto()\n    W = enum.auto()\n"
           "    RW = R | W")], How.SOURCE, "class x(enum.Flag):"),
    Travel("enum of calls", [f"{ENUM}class x(Enum):\n    A = len('abc')"], How.VALUE,
           "a member is no plain literal"),
    Travel("enum of another name's value", [f"{ENUM}n = 1\nclass x(Enum):\n    A = n"], How.VALUE,
           "a member is no plain literal"),
    Travel("enum that makes its members", [(f"{ENUM}class x(Enum):\n    A = 1\n"
           "    def __init__(self, v): self.v = v")], How.VALUE,
           "says itself how its members are made"),
    Travel("enum whose member was given more", [f"{ENUM}class x(Enum):\n    A = 1\nx.A.more = 2"],
           How.VALUE, "its members are not what its text says"),
    Travel("enum whose class was given more", [f"{ENUM}class x(Enum):\n    A = 1\nx.more = 2"],
           How.VALUE, "attributes were added or removed"),
    Travel("enum whose str was replaced", [(f"{ENUM}class x(enum.IntEnum):\n    A = 1\n"
           "x.__format__ = lambda *_: 'x'")], How.VALUE, "no cell has its text"),
    Travel("alias", ["def f(): pass\nx = f"], How.VALUE,
           "made under another name or inside a function"),
    Travel("class that holds itself", ["class x:\n    def f(self): pass\nx.me = x()"], How.VALUE,
           "attributes were added or removed"),
    Travel("in an indented block", ["if True:\n    def x(): pass"], How.VALUE,
           "its code is not what its cell says"),
]  # fmt: skip


@pytest.mark.parametrize("travel", TRAVELS, ids=lambda travel: travel.id)
def test_a_name_travels(kernel: KernelSide, travel: Travel):
    kernel.cells(*travel.cells)

    found, told = how(kernel, travel.name)

    assert found is travel.how
    if travel.told:
        assert told == travel.told


def test_only_what_the_body_reaches_is_collected(kernel: KernelSide):
    kernel.cells(
        "import json, math\nused = 1\nunused = object()",
        "def helper():\n    return math.pi * used\ndef train():\n    return helper()\n"
        "def other():\n    return unused",
    )

    definitions, _ = kernel.define("train()")

    assert {item.name for item in definitions.items if item.how is not How.FINAL} == {
        "train", "helper", "math", "used",
    }  # fmt: skip


def test_names_that_only_strings_say_are_collected_where_code_looks_them_up(kernel: KernelSide):
    kernel.cells("def alpha(): return beta\nbeta = 2\ndef gamma(): return 3")

    assert "alpha" not in kernel.gather("print('alpha')").names
    assert {"alpha", "beta"} <= kernel.gather("globals()['alpha']()").names
    assert "gamma" not in kernel.gather("globals()['alpha']()").names


REACHING = {
    "globals": "globals()['alpha']()",
    "eval": "eval('alpha()')",
    "vars": "vars()['alpha']()",
    "__main__": "import __main__\ngetattr(__main__, 'alpha')()",
    "sys.modules": "import sys\ngetattr(sys.modules['__main__'], 'alpha')()",
    "get_type_hints": "import typing\ndef f(x: 'alpha'): pass\ntyping.get_type_hints(f)",
}
NOT_REACHING = {
    "plain": "print('alpha')",
    "getattr": "getattr(str, 'alpha', 1)",
    "vars of something": "import types\nvars(types.SimpleNamespace(alpha=1))['alpha']",
    "docstring": "def f():\n    'alpha'\n    return eval('1')\nf()",
}


@pytest.mark.parametrize("name", REACHING)
def test_code_that_looks_names_up_by_string_reaches_them(kernel: KernelSide, name: str):
    kernel.space["alpha"] = 1

    assert "alpha" in kernel.gather(REACHING[name]).names


@pytest.mark.parametrize("name", NOT_REACHING)
def test_a_string_alone_reaches_nothing(kernel: KernelSide, name: str):
    kernel.space["alpha"] = 1

    assert "alpha" not in kernel.gather(NOT_REACHING[name]).names


def test_names_of_ipython_itself_stay_and_say_so(kernel: KernelSide):
    kernel.cells("6 * 7")

    definitions, _ = kernel.define("print(Out, open, exit)")

    assert [item.name for item in definitions.items] == ["state of the process"]
    assert definitions.left_out == {"Out": "IPython's own names stay in the notebook."}


def test_text_comes_from_what_ran_and_not_from_what_the_cell_says_now(kernel: KernelSide):
    kernel.cells("def f():\n    return 'ran'")
    filename = kernel.space["f"].__code__.co_filename
    entry = linecache.cache[filename]
    linecache.cache[filename] = (*entry[:2], ["def f():\n", "    return 'edited'\n"], filename)

    assert how(kernel, "f") == (How.VALUE, "its code is not what its cell says")


REFUSED = {
    "file": (
        "fh = open('d.txt', 'w')",
        "fh.write('x')",
        (
            "fh (assigned in Cell In[1]) is an open file (TextIOWrapper of 'd.txt'), which no "
            "worker can have. Open it inside the %%ddp cell."
        ),
    ),
    "lock": (
        "import threading\nmutex = threading.Lock()\n_ = mutex.acquire()",
        "mutex",
        (
            "mutex (assigned in Cell In[1]) is a lock that is held, which no worker can have. "
            "Release it first, or make it inside the %%ddp cell."
        ),
    ),
    "lock inside": (
        """
        import threading
        class Pool:
            def __init__(self):
                self.inner = {'guard': [threading.RLock()]}
        class T:
            def __init__(self):
                self.pool = Pool()
            def train(self): pass
        trainer = T()
        _ = trainer.pool.inner['guard'][0].acquire()
        """,
        "trainer.train()",
        (
            "trainer.pool.inner['guard'][0] (trainer was assigned in Cell In[1]) is an RLock that "
            "is held, which no worker can have. Release it first, or make it inside the %%ddp cell."
        ),
    ),
    "generator": (
        "stream = (i for i in range(3))",
        "list(stream)",
        (
            "stream (assigned in Cell In[1]) is a generator expression, which no worker can have. "
            "Make it inside the %%ddp cell, or send a list of what it gives."
        ),
    ),
    "database": (
        "import sqlite3\ndb = sqlite3.connect(':memory:')",
        "db.execute('select 1')",
        (
            "db (assigned in Cell In[1]) is a database connection, which no worker can "
            "have. Open it inside the %%ddp cell."
        ),
    ),
    "socket in a closure": (
        """
        import socket
        def make():
            s = socket.socket()
            return lambda: s
        peer = make()
        """,
        "peer()",
        (
            "peer's variable s (peer was assigned in Cell In[1]) is a socket, which no "
            "worker can have. Open it inside the %%ddp cell."
        ),
    ),
    "executor": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)",
        "pool",
        (
            "pool (assigned in Cell In[1]) is an executor with its threads or processes "
            "(ThreadPoolExecutor), which no worker can have. Make it inside the %%ddp cell."
        ),
    ),
    "slots": (
        """
        class S:
            __slots__ = ('file',)
        s = S()
        s.file = open('d.txt', 'w')
        """,
        "s",
        (
            "s.file (s was assigned in Cell In[1]) is an open file (TextIOWrapper of 'd.txt'), "
            "which no worker can have. Open it inside the %%ddp cell."
        ),
    ),
    "own objection": (
        """
        class Device:
            def __reduce__(self):
                raise RuntimeError('ask ops for a token')
        rack = [Device()]
        """,
        "rack",
        (
            "rack[0] (rack was assigned in Cell In[1]) is a Device, and pickling it fails "
            "(RuntimeError: ask ops for a token). Make it inside the %%ddp cell, or say in "
            "Device.__reduce__ how it is made anew."
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_what_no_worker_can_have_is_refused_with_its_place(kernel: KernelSide, name: str):
    cell, body, told = REFUSED[name]
    kernel.cells(textwrap.dedent(cell))

    with pytest.raises(CollectError) as refused:
        kernel.gather(body)

    assert str(refused.value) == told


def test_all_that_no_worker_can_have_is_told_at_once(kernel: KernelSide):
    kernel.cells("a = (i for i in [])\nb = (i for i in [])")

    with pytest.raises(CollectError) as refused:
        kernel.gather("a, b")

    assert [line.split()[0] for line in str(refused.value).splitlines()] == ["a", "b"]


def test_what_only_a_function_reads_is_left_out_and_the_worker_says_why(kernel: KernelSide):
    kernel.cells(
        "rows = (i for i in range(3))",
        "class T:\n    def train(self): return 'trained'\n    def debug(self): return next(rows)",
    )

    assert kernel.rank("T().train()").value == "trained"
    done = kernel.rank("if True:\n    T().debug()")

    why = (
        "rows (assigned in Cell In[1]) is a generator expression, which no worker can have. "
        "Make it inside the %%ddp cell, or send a list of what it gives."
    )
    assert done.code == 1
    assert "NameError: name 'rows' is not defined" in done.err
    assert done.err.splitlines()[-1] == f"%%ddp could not send it: {why}"
    assert kernel.define("T().train()")[0].notes == (
        f"rows stays behind, and code that reads it will fail: {why}",
    )


def gather_or_refuse(kernel: KernelSide, body: str, reader: str | None) -> None:
    """Collect a body, which is refused where a function is named that is sure to read."""
    if reader is None:
        kernel.gather(body)
        return
    with pytest.raises(CollectError, match=f"which no worker .* \\({reader}\\(\\) reads it"):
        kernel.gather(body)


_CALLS = {
    "step()": "step",
    "for _ in range(3):\n    out = step()": "step",
    "t = T()\nprint(t.train())": "step",
    "T().debug()": "T.debug",
    "with open('x') as f:\n    f.write(step())": "step",
    "U(1)": "step",
    "if flag: step()": None,
    "try:\n    step()\nexcept NameError: pass": None,
    "try:\n    pass\nfinally:\n    step()": "step",
    "flag and step()": None,
    "[step() for _ in a]": None,
    "lambda: step()": None,
    "import contextlib\nwith contextlib.suppress(NameError): step()": None,
    "if flag: raise SystemExit\nstep()": None,
    "rows = iter([1])\nstep()": None,
    "reset()\nstep()": None,
    "early()": None,
    "lazy()": None,
    "def step(): return 1\nstep()": None,
    "wrapped()": "step",
    "V().train()": None,
}
"""What a body calls, and the function that is sure to read the name then."""


@pytest.mark.parametrize("body", _CALLS)
def test_what_a_function_is_sure_to_read_is_refused_beforehand(kernel: KernelSide, body: str):
    kernel.cells(
        "rows, flag, a = (i for i in range(3)), False, []",
        "import functools\n"
        "def step(): return next(rows)\n"
        "def early():\n    if not flag: return 1\n    return next(rows)\n"
        "def lazy():\n    yield next(rows)\n"
        "def reset():\n    global rows\n    rows = iter([1])\n"
        "@functools.wraps(step)\ndef wrapped(): return step()\n"
        "class T:\n    def train(self): return self.inner()\n    def inner(self): return step()\n"
        "    def debug(self): return next(rows)\n"
        "class U:\n    def __init__(self, x): self.x = step()\n"
        "class B:\n    def train(self): return self.go()\n    def go(self): return step()\n"
        "class V(B):\n    def go(self): return 1",
    )

    gather_or_refuse(kernel, body, _CALLS[body])


_PASSED = {
    "Trainer(callbacks=[told]).fit(net)": "Told.on_train_end",
    "t = Trainer(callbacks=[Told()])\nt.fit(net)": "Told.on_train_end",
    "t = Trainer(callbacks=[Told])\nt.fit(net)": "Told.on_train_end",
    "t = Trainer(callbacks=both)\nt.fit(net)": "Told.on_train_end",
    "t = Trainer()\nt.add_callback(told)\nt.train()": "Told.on_train_end",
    "def run():\n    Trainer(callbacks=[told]).fit(net)\nrun()": None,
    "go()": "Told.on_train_end",
    "Trainer().fit(Net())": "Net.training_step",
    "n = Net()\nTrainer().fit(n)": "Net.training_step",
    "yolo.train()": "told_of_it",
    "t = Trainer()\nt.add_callback('on_train_start', told_of_it)\nt.train()": "told_of_it",
    f"trainer = make(); {started()}": "Told.on_train_end",
    "t = Trainer(callbacks=[told])\nt.validate()": None,
    "Trainer(callbacks=[other]).fit(net)": None,
    "Trainer(callbacks=[mine]).fit(net)": None,
    "if flag: Trainer(callbacks=[told]).fit(net)": None,
    "Trainer(callbacks=[told] if flag else []).fit(net)": None,
    "print(told)\nTrainer().fit(net)": None,
    "t = Trainer()\nt.add_callback('on_predict_start', told_of_it)\nt.train()": None,
    "t = Trainer()\nt.add_callback('on_train_start', told_of_it)\nt.val()": None,
    "t = Trainer(callbacks=[told])\nlayer.train()": None,
    "t = Trainer(callbacks=[told])\nLayer().train()": None,
}
"""What a body passes to a library, and the function that this is sure to call."""


@pytest.mark.parametrize("body", _PASSED)
def test_what_a_library_is_sure_to_make_a_function_read_is_refused_beforehand(
    kernel: KernelSide, body: str
):
    names = {
        "Callback": "transformers.trainer_callback.TrainerCallback",
        "Module": "lightning.pytorch.core.module.LightningModule",
        "Model": "ultralytics.engine.model.Model",
        "Part": "torch.nn.modules.module.Module",
    }
    kernel.space.update({name: type(of_type(path)) for name, path in names.items()})
    kernel.cells(
        "rows, flag = (i for i in range(3)), False",
        "class Told(Callback):\n"
        "    def on_train_end(self): next(rows)\n"
        "    def on_predict(self): pass\n"
        "class Other(Callback):\n"
        "    def on_evaluate(self): next(rows)\n"
        "    def on_train_end(self):\n        if flag: next(rows)\n"
        "class Mine:\n    def on_train_end(self): next(rows)\n"
        "class Net(Module):\n    def training_step(self): next(rows)\n"
        "class Trainer:\n"
        "    def __init__(self, callbacks=()): pass\n"
        "    def add_callback(self, *_): pass\n"
        "    def fit(self, *_): pass\n"
        "    validate = val = train = fit\n"
        "def told_of_it(trainer): next(rows)\n"
        "def make(): return Trainer(callbacks=[told])\n"
        "def go(): make().fit()\n"
        "told, other, mine, net = Told(), Other(), Mine(), object()\n"
        "class Layer(Part):\n    def train(self): pass\n"
        "layer, both, yolo = Layer(), [other, told], Model()\n"
        "yolo.callbacks = {'on_train_start': [told_of_it], 'on_predict_start': [print]}",
    )

    gather_or_refuse(kernel, body, _PASSED[body])


def test_idle_locks_go_along(kernel: KernelSide):
    kernel.cells("import threading, queue\nlocks = [threading.Lock(), threading.RLock(), "
                 "threading.Condition(), threading.Event(), queue.Queue()]")  # fmt: skip

    assert kernel.rank("[type(l).__name__ for l in locks if l.__class__]").value == [
        "lock", "RLock", "Condition", "Event", "Queue",
    ]  # fmt: skip


def test_a_name_that_exists_nowhere_fails_in_the_worker_as_in_the_notebook(kernel: KernelSide):
    done = kernel.rank("x = 1\nundefined_thing")

    assert done.err.endswith("NameError: name 'undefined_thing' is not defined\n")
    assert 'File "Cell In[1]", line 3, in <module>' in done.err
