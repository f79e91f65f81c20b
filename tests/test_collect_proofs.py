"""A definition goes by source again only while nothing that its proof rests on has changed."""

from __future__ import annotations

import gc
import weakref

import pytest

from ddp_magic.collect import How
from ddp_magic.collect.cells import Cells
from ddp_magic.collect.collector import Collector
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]

CELL = '''
class Base:
    def hello(self): return "base"
class Other: pass
Kind = Base
class Net(Base):
    """A net."""
    size = 3
    def f(self, x: Kind = None, y=2, *, z=3):
        "Doc."
        return super().hello()
    @property
    def g(self): return 1
    @staticmethod
    def h(a=1): return a
def func(x: Kind = None, y=2, *, z=3) -> Kind:
    """Doc."""
    return x
'''

CHANGES = {
    "a method": "Net.f = lambda self: 1",
    "a property": "Net.g = property(lambda self: 2)",
    "a property by its value": "Net.g = 1",
    "a static method": "Net.h = Net.__dict__['h'].__func__",
    "a literal": "Net.size = 4",
    "a literal by an equal one of another type": "Net.size = 3.0",
    "a new attribute": "Net.more = 1",
    "a removed attribute": "del Net.size",
    "the bases": "Net.__bases__ = (Other,)",
    "the docstring": "Net.__doc__ = 'Another.'",
    "a hook below": "Base.__init_subclass__ = classmethod(lambda cls: None)",
    "a method's default": "Net.f.__defaults__ = (None, 7)",
    "a method's keyword default in place": "Net.f.__kwdefaults__['z'] = 7",
    "a method's attribute": "Net.f.calls = 1",
    "a method's docstring": "Net.f.__doc__ = 'x'",
    "a method's code": "Net.h.__code__ = (lambda a=0: 1).__code__",
    "what an annotation means": "Kind = Other",
    "the class's name": "Net.__qualname__ = 'Web'",
    "the class's module": "Net.__module__ = 'elsewhere'",
}
OF_FUNCTIONS = {
    "a default": "func.__defaults__ = (None, 7)",
    "a keyword default in place": "func.__kwdefaults__['z'] = 7",
    "a keyword default": "func.__kwdefaults__ = {'z': 7}",
    "an attribute": "func.calls = 1",
    "the code": "func.__code__ = (lambda x=0, y=0, *, z=0: 1).__code__",
    "the docstring": "func.__doc__ = 'x'",
    "an annotation": "func.__annotations__['x'] = Other",
    "what an annotation means": "Kind = Other",
    "the name": "func.__name__ = 'other'",
}
TABLE = [*(("Net", c) for c in CHANGES.values()), *(("func", c) for c in OF_FUNCTIONS.values())]


class Twice:
    """Collects with what an earlier collection has remembered."""

    def __init__(self, kernel: KernelSide) -> None:
        self._kernel = kernel
        self._cells = Cells(kernel.notebook)
        self._runs = 0

    def how(self, name: str) -> How:
        self._runs += 1
        run = RunDir.create(self._kernel.folder / f"twice-{self._runs}")
        cell = self._kernel.cell(name)
        collector = Collector(cell, self._kernel.notebook, run, self._cells)
        collector.gather()
        return next(item.how for item in collector.finish([]).items if item.name == name)


@pytest.mark.parametrize(("name", "change"), TABLE, ids=[f"{n}: {c}" for n, c in TABLE])
def test_a_change_ends_what_was_proved(name, change, kernel):
    kernel.cells(CELL)
    twice = Twice(kernel)
    assert twice.how(name) is How.SOURCE
    assert twice.how(name) is How.SOURCE

    kernel.cells(change)

    assert twice.how(name) is How.VALUE


def test_a_change_that_is_undone_gives_the_source_back(kernel: KernelSide):
    kernel.cells(CELL, "old = Net.f\nNet.f = len")
    twice = Twice(kernel)

    assert twice.how("Net") is How.VALUE
    kernel.cells("Net.f = old")
    assert twice.how("Net") is How.SOURCE


def test_what_was_proved_keeps_no_class_alive(kernel: KernelSide):
    kernel.cells(CELL)
    twice = Twice(kernel)
    twice.how("Net")
    gone = weakref.ref(kernel.space["Net"]), weakref.ref(kernel.space["func"])

    for name in ("Net", "func"):
        del kernel.space[name]
    gc.collect()

    assert [each() for each in gone] == [None, None]
