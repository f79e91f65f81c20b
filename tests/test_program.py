"""The user's program in a rank, each in a fresh process."""

from __future__ import annotations

import pytest

from ddp_magic.overrides import Bound, CallSite
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]

VALUES = {
    "expression": ("x = 2\nx * 3", 6),
    "only an expression": ("2 * 3", 6),
    "none": ("None", None),
    "top-level await": ("import asyncio\nasync def f(): return 4\nx = await f()\nx + await f()", 8),
    "await before a plain value": ("import asyncio\nawait asyncio.sleep(0)\n5", 5),
    "async for": (
        "async def g():\n    yield 1\nout = []\nasync for i in g():\n    out.append(i)\nout",
        [1],
    ),
    "several lines": ("(1,\n 2)", (1, 2)),
    "comment behind": ("7  # seven;", 7),
    "own future import": (
        "from __future__ import annotations\ndef f(x: Nope): return 1\nf.__annotations__",
        {"x": "Nope"},
    ),
    "own future import, last line": ("from __future__ import annotations\n(lambda: 3)()", 3),
    "guard": ("r = 0\nif __name__ == '__main__':\n    r = 1\nr", 1),
    "own module": ("import sys\nvars(sys.modules['__main__']) is globals()", True),
    "no spec": ("__spec__ is None and __file__.endswith('main.py')", True),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_body_has_the_value_of_its_last_expression(kernel: KernelSide, name: str):
    body, value = VALUES[name]
    done = kernel.rank(body)

    assert done.err == ""
    assert done.value == value


@pytest.mark.parametrize("body", ["x = 1", "1;", "1 ; # quiet\n\n", "import os", "def f(): pass"])
def test_a_body_without_one_has_no_value(kernel: KernelSide, body: str):
    assert kernel.rank(body, script=NO_VALUE).out == "True\n"


NO_VALUE = """
import sys
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import NO_VALUE, Program
program = Program(RunDir(Path(sys.argv.pop())))
program.define()
print(program.body() is NO_VALUE)
"""


def test_the_namespace_holds_nothing_of_ours(kernel: KernelSide):
    kernel.cells("lr = 0.1\ncfg = {'a': 1}\ndef f(): return lr, cfg")
    names = kernel.rank("f()\nnames = sorted(globals())\nnames").value

    assert [n for n in names if not n.startswith("__")] == ["cfg", "f", "lr"]


def test_names_of_the_notebook_may_be_those_of_the_machinery(kernel: KernelSide):
    kernel.cells(
        "globals = 1; sys = 2; json = 3; pickle = 4; take = 5; exec = 6; eval = 7; cfg = {}"
    )

    assert kernel.rank("[globals, sys, json, pickle, take, exec, eval, cfg]").value == [
        1, 2, 3, 4, 5, 6, 7, {},
    ]  # fmt: skip


def test_text_of_the_body_is_not_changed(kernel: KernelSide):
    body = "def f():\n\ts = '''\nzero\n\ttwo  \n'''\n\treturn s\r\nx = 'a\\\nb'\nf(), x, '\u2028'\n"

    assert kernel.rank(body).value == ("\nzero\n\ttwo  \n", "ab", "\u2028")


def test_session_wide_future_features_hold_for_the_body(kernel: KernelSide):
    kernel.cells("from __future__ import annotations")

    assert kernel.rank("def f(x: Nope): pass\nf.__annotations__").value == {"x": "Nope"}


def test_errors_say_the_cells_lines(kernel: KernelSide):
    kernel.cells(
        "import dataclasses\n\n\ndef check(lr):\n    if lr < 0:\n        raise ValueError(lr)",
        "@dataclasses.dataclass\nclass T:\n    lr: int = 1\n\n    def go(self):\n"
        "        return (lambda: check(self.lr))()",
    )
    done = kernel.rank("t = T(-1)\n\nt.go()")
    lines = done.err.splitlines()

    for place, source in (
        ('"Cell In[3]", line 4, in <module>', "t.go()"),
        ('"Cell In[2]", line 6, in go', "return (lambda: check(self.lr))()"),
        ('"Cell In[2]", line 6, in <lambda>', "return (lambda: check(self.lr))()"),
        ('"Cell In[1]", line 6, in check', "raise ValueError(lr)"),
    ):
        at = lines.index(f"  File {place}")
        assert lines[at + 1].strip() == source


def test_only_collected_lines_of_a_cell_travel(kernel: KernelSide):
    kernel.cells("password = 'hidden-5'\ndef f():\n    return 1\nother = 'hidden-6'")
    definitions, run = kernel.define("f()")

    assert definitions.texts["Cell In[1]"] == {2: "def f():\n", 3: "    return 1\n"}
    for path in run.path.rglob("*"):
        assert path.is_dir() or b"hidden" not in path.read_bytes()


def test_source_can_be_asked_for_in_a_rank(kernel: KernelSide):
    kernel.cells(
        "import inspect, dataclasses, enum\nn = 1\nclass A:\n    def f(self): return n",
        "@dataclasses.dataclass\nclass B:\n    '''Doc.'''\n    x: int = 1",
        "class C(enum.Enum):\n    RED = 1\n\ndef g(a=[]):\n    # comment\n    return a",
        "def make():\n    class Local:\n        def h(self): pass\n    return Local\nD = make()",
    )
    body = "[inspect.getsource(x).rstrip() for x in (A, A.f, B, C, g)]"

    assert kernel.rank(body).value == [
        "class A:\n    def f(self): return n",
        "    def f(self): return n",
        "@dataclasses.dataclass\nclass B:\n    '''Doc.'''\n    x: int = 1",
        "class C(enum.Enum):\n    RED = 1",
        "def g(a=[]):\n    # comment\n    return a",
    ]


def test_a_value_that_fails_to_load_is_named(kernel: KernelSide):
    kernel.cells(
        "def boom(*a):\n    raise OSError('cannot reopen device 7')\n"
        "class Dev:\n    def __reduce__(self):\n        return boom, ()\ndev = Dev()"
    )
    done = kernel.rank("dev")

    assert done.err.endswith(
        "OSError: cannot reopen device 7\n%%ddp was loading the notebook's dev into a worker.\n"
    )


def test_loading_runs_user_code_after_what_that_reads_is_there(kernel: KernelSide):
    kernel.cells(
        "SALT = [3]\nclass Key:\n    def __init__(self, v): self.v = v\n"
        "    def __hash__(self): return hash((SALT[0], self.v))\n"
        "    def __eq__(self, o): return self.v == o.v\n"
        "    def __setstate__(self, s): self.v = s['v'] + len(SALT) - 1\nD = {Key(1): 'one'}"
    )

    assert kernel.rank("D[Key(1)]").value == "one"


def test_overrides_of_variables_come_last(kernel: KernelSide):
    kernel.cells("lr = 0.1\ncfg = {'lr': lr}\ndef f(): return lr, cfg, hooks\nhooks = [max]")
    overrides = [
        Bound(text="lr=0.5", target="lr", value=0.5, kind="global", name="lr"),
        Bound(text="hooks={x}", target="hooks", value=[min], kind="global", name="hooks"),
    ]

    assert kernel.rank("f()", overrides).value == (0.5, {"lr": 0.1}, [min])


CALLS = {
    "set": ("t = T()\nt.got", 0, None),
    "replace": ("t = T(lr=0.1)\nt.got", 0, None),
    "replace a position": ("t = T(0.1)\nt.got", 0, 0),
    "among others": ("t = T(epochs=3, **{})\nt.got", 0, None),
    "called at once": ("x = 1\nT()().got", 1, None),
    "in a function": ("def f():\n    return T().got\nf()", 1, None),
    "twice in one text": ("s = f'{T(lr=0)}{T(lr=0)}'\nlast.got", 1, None),
}


@pytest.mark.parametrize("name", CALLS)
def test_overrides_of_arguments_change_the_call(kernel: KernelSide, name: str):
    body, number, position = CALLS[name]
    kernel.cells(
        "class T:\n    def __init__(self, lr=0.1, epochs=1):\n        global last\n"
        "        self.got, last = lr, self\n"
        "    def __call__(self): return self\nschedule = {'warm': [1, 2]}"
    )
    value = kernel.space["schedule"]
    site = CallSite(number=number, position=position)
    bound = Bound(
        text="lr={schedule}", target="T(lr)", value=value, kind="argument", name="lr", calls=(site,)
    )

    assert kernel.rank(body, [bound]).value == {"warm": [1, 2]}


def test_an_override_is_the_same_object_as_the_variable_that_it_came_from(kernel: KernelSide):
    kernel.cells("cfg = {'a': 1}\ndef f(c): return c is cfg")
    site = CallSite(number=0, position=0)
    bound = Bound(
        text="c={cfg}",
        target="f(c)",
        value=kernel.space["cfg"],
        kind="argument",
        name="c",
        calls=(site,),
    )

    assert kernel.rank("f(None)", [bound]).value is True


def test_a_body_may_spawn_processes_that_import_the_module_again(kernel: KernelSide):
    kernel.cells(
        "import dataclasses\nFACT = 3\ntable = {'offset': [10]}\n"
        "@dataclasses.dataclass\nclass Job:\n    n: int\n"
        "def work(job):\n    return job.n * FACT + table['offset'][0]"
    )
    body = (
        "import multiprocessing as mp\nprint('body')\n"
        "with mp.get_context('spawn').Pool(1) as pool:\n"
        "    got = pool.map(work, [Job(1), Job(2)])\ngot"
    )
    done = kernel.rank(body)

    assert done.value == [13, 16]
    assert done.out == "body\n"


def test_a_kept_module_can_be_started_by_hand(kernel: KernelSide):
    kernel.cells("cfg = {'n': 2}\ndef f(): return cfg['n']")
    script = (
        "import subprocess, sys\nmain = sys.argv.pop() + '/main.py'\n"
        "subprocess.run([sys.executable, main], check=True)"
    )

    assert kernel.rank("print(f())", script=script).out == "2\n"
