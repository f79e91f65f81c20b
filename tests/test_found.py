"""What generated notebooks found: each was once another thing in the worker than in the notebook."""
# ruff: noqa: E501, ISC004 - tables of code

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.generated.bench import Bench
from tests.generated.notebook import Notebook

FOUND = {
    "a class keeps the order of its attributes": (
        "class A:\n    start = [1]\n    now = lambda self: 1",
        "[n for n in vars(A) if n[0] != '_']",
    ),
    "a static method that has a name too is one function": (
        "class A:\n    n = 1\n    @staticmethod\n    def st(): pass\n    @property\n    def p(self): pass\n"
        "st, got = A.st, A.__dict__['p'].fget",
        "A.st is st, A.__dict__['p'].fget is got",
    ),
    "a view of memory stays a view": (
        "data = bytearray(b'abcd')\nview, part = memoryview(data), memoryview(b'abcd')[1:3]",
        "type(view), view.obj is data, view.readonly, bytes(part), part.readonly",
    ),
    "a class that only an instance reaches can be pickled by its name": (
        "class A:\n    held = [1]\nclass B:\n    held = A\n    class C: pass\na, c = A(), B.C()",
        "type(__import__('pickle').loads(__import__('pickle').dumps([a, c]))[1]) is type(c)",
    ),
    "a class by value may hold a function that names it in an annotation": (
        "class A: pass\ndef f() -> A: return A\nA.make = f\na = A()",
        "a.make.__annotations__['return'] is a.__class__, type(a).make()",
    ),
    "a function that names a class in an annotation may be its default": (
        "class A: pass\ndef f(x: A = 1): return A\nclass A:\n    f = f\n",
        "A.f(), A.f.__annotations__['x'] is A",
    ),
    "a set may hold what holds the set, though it says its own hash": (
        "class A:\n    def __init__(self, x):\n        self.x = x\n        self.peers, self.by = {self}, {}\n"
        "    def __hash__(self): return hash(self.x)\n    def __eq__(self, o): return self.x == o.x\n"
        "a, b = A(1), A(2)\na.peers.add(b)\nb.peers = a.peers\na.by[b], a.by[1, a] = 'b', a\n",
        "a in a.peers, b in a.peers, a.peers is b.peers, a.by[b], a.by[1, a] is a, len(a.peers)",
    ),
    "a hash that has a default while a key is empty is the right one in the end": (
        "class A:\n    x = 0\n    def __init__(self, x):\n        self.x = x\n        self.peers = {self}\n"
        "    def __hash__(self): return hash(self.x)\na = A(7)",
        "a in a.peers, list(a.peers)[0] is a",
    ),
    "an attribute of __main__ is a name": (
        "n, m = [5], [6]",
        "__import__('sys').modules['__main__'].n, __import__('sys').modules[__name__].m",
    ),
    "a cell may say at its end what holds from then on": (
        "class A: pass\ndef g(): return A\nfrom __future__ import annotations\ndef f(x: no): return A, g",
        "f(1), g(), f.__annotations__, A",
    ),
    "a type variable is found by its name": (
        "from typing import TypeVar\nT = TypeVar('T')\nheld = [T]",
        "T.__module__, __import__('pickle').loads(__import__('pickle').dumps(held))[0] is T",
    ),
    "a closure over None is no empty one": (
        "def make(held):\n    return lambda: held\nf = make(None)",
        "f()",
    ),
    "instances may share the dict of their attributes": (
        "class A:\n    shared = {}\n    def __init__(self): self.__dict__ = self.shared\n"
        "a, b = A(), A()\nclass B: pass\nc = B()\nd = vars(c)",
        "a.__dict__ is A.shared, b.__dict__ is A.shared, vars(c) is d",
    ),
    "what pickles itself as a name is made like anything else": (
        "class A:\n    def __reduce__(self): return 'MISSING'\nMISSING = A()\nheld = [MISSING]",
        "held[0] is MISSING, type(MISSING)",
    ),
    "a view of a dict goes on looking at it": (
        "d = {'a': 1}\nkeys, values = d.keys(), d.values()",
        "d.update(b=2), list(keys), list(values)",
    ),
    "a library's container that a value holds too is the library's": (
        "from own_lib import REGISTRY\nclass A: pass\na = A()\na.registry = REGISTRY\nREGISTRY['x'] = a",
        "a.registry is __import__('own_lib').REGISTRY, a.registry['x'] is a",
    ),
    "a subclass of Counter keeps its attributes": (
        "import collections\nclass A(collections.Counter): pass\na = A('aab')\na.note = [1]",
        "a.note, a['a']",
    ),
    "a long chain and deep lists": (
        "class A:\n    def __init__(self, next): self.next = next\na, b = None, []\n"
        "for i in range(2000): a, b = A(a), [b]\n"
        "def depth(at, step):\n    n = 0\n    while at:\n        n, at = n + 1, step(at)\n    return n",
        "depth(a, lambda k: k.next), depth(b, lambda k: k[0])",
    ),
    "an instance in its own class is made by the class's methods": (
        "class A:\n    def __new__(cls, *, key): return super().__new__(cls)\n"
        "    def __init__(self, *, key): self.key = key\n"
        "    def __getnewargs_ex__(self): return (), {'key': self.key}\n"
        "    def __getstate__(self): return [self.key]\n"
        "    def __setstate__(self, state): (self.key,) = state\n"
        "A.default = A(key=[3])",
        "A.default.key, type(A.default) is A, [n for n in vars(A) if n[0] != '_']",
    ),
    "a metaclass may forbid that attributes are set": (
        "class M(type):\n    def __setattr__(cls, name, value): raise TypeError(name)\n"
        "class A(metaclass=M):\n    n = [1]\n    def go(self): return self.n\na = A()",
        "a.go(), type(type(a)) is M",
    ),
    "an object may say that it is of another class": (
        "class A:\n    @property\n    def __class__(self): return int\n    def go(self): return 'went'\na = A()",
        "isinstance(a, int), a.go()",
    ),
    "a class by value may give its instances another class": (
        "class A:\n    n = [1]\n    @property\n    def __class__(self): return int\na = A()",
        "isinstance(a, int), a.n",
    ),
    "super() in a method of the class before": (
        "class A:\n    def go(self): return __class__\nold = A\n"
        "class A:\n    def come(self): return 1\nA.go = old.go",
        "A().go() is old, A().go() is A",
    ),
    "a decorator that means something else now": (
        "class A:\n    @property\n    def p(self): return 1\ndef property(f): return f\na = A()",
        "a.p, A, property",
    ),
    "what a class by source reads while its instances are loaded": (
        "def z(): return ['z']\nclass A:\n    def __getstate__(self): return {}\n"
        "    def __setstate__(self, state): self.x = z()\na = A()\na.x = z()\n"
        "def g(): pass\ng.x = a\nheld = {g}",
        "A, held",
    ),
    "slots stay slots": (
        "from collections import namedtuple\nfrom typing import NamedTuple\n"
        "P = namedtuple('P', 'a b', defaults=[[1]])\np = P([2])\n"
        "class N(NamedTuple):\n    x: object = [1]\nq = N()\n"
        "class A:\n    __slots__ = ()\n    n = [1]\nclass B(A):\n    __slots__ = 'x', 'y'\n"
        "a, b = A(), B()\nB.z = b\np.a.append(p)",
        "p, q, hasattr(q, '__dict__'), hasattr(p, '__dict__'), hasattr(a, '__dict__'), b.z is b, p.a[1] is p",
    ),
    "wrappers may hold themselves": (
        "import functools\n@functools.cache\ndef f(x): return x\nf.me = f\n"
        "@functools.singledispatch\ndef g(x): return [x]\ng.me, g.note = g, f",
        "f.me is f, g.me is g, g.note is f, f.__wrapped__(1), g(2)",
    ),
    "a closure of a library sees its module": (
        "import own_lib\nadd, box = own_lib.adder(1), own_lib.Box(2)\nown_lib.LIMIT = 8\nnames = vars(own_lib)",
        "add(), box.limit(), names is vars(own_lib), add.__globals__ is names, "
        "setattr(own_lib, 'LIMIT', 9), add(), box.limit()",
    ),
    "attributes of a weak dict": (
        "import weakref\nclass A: pass\na, d, s = A(), weakref.WeakValueDictionary(), weakref.WeakSet()\n"
        "d['a'], d.x, s.x, s.d = a, [1], d, s\ns.add(a)",
        "d['a'] is a, d.x, s.x is d, s.d is s, a in s",
    ),
    "what stands over a slot": (
        "class A:\n    __slots__ = ('x', 'y')\nclass B(A): pass\na, b = A(), B()\na.y = b.y = 3\nA.x = 5",
        "a.x, b.x, a.y, b.y, vars(b)",
    ),
    "attributes of method objects and new types": (
        "import typing\ns, c, n = staticmethod(len), classmethod(lambda k: k), typing.NewType('n', int)\n"
        "s.x, c.x, n.x = [1], s, c",
        "s.x, s(['a']), c.x is s, n.x is c, n(3), n.__supertype__, n.__name__",
    ),
    "a patch of a module that only a container reaches": (
        "import own_lib as lib\nlib.Base.describe = lambda self: ('patched', self.size)\nx = (lib,)\ny = [lib.Base]",
        "x[0].Base(2).describe(), y[0](3).describe()",
    ),
    "a patch whose class only a container reaches": (
        "import own_lib as lib\nlib.Base.describe = lambda self: ('patched', self.size)\ny = {'k': lib.Base}",
        "y['k'](3).describe()",
    ),
    "a name that means something else than when an item was set": (
        "try:\n    b['k'] = 0\nexcept NameError:\n    b = list[int].__origin__",
        "b",
    ),
    "a submodule of a module that a value holds": (
        "import xml.dom.minidom\ndef f(): pass\nf.x = xml",
        "f.x.dom.minidom.__name__",
    ),
    "a name that stands in a default": (
        "n = 3\ndef f(name='n', *, other='m'): return globals().get(name), globals().get(other)\nm = 4",
        "f()",
    ),
    "what a timed cell sets": (
        "%%time\nimport own_lib\nown_lib.LIMIT = 77",
        "own_lib.LIMIT",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.mark.parametrize("name", FOUND)
def test_it_is_the_same_in_the_worker(bench: Bench, name: str):
    cell, expression = FOUND[name]
    body = f"from probes import show\nimport __main__\nshow({expression})"

    outcome = bench.run(Notebook(cells=(cell,), body=body))

    assert outcome.failure is None, outcome.told
    assert "raised" not in outcome.reference


STAYS = {
    "instances leave no trace in their class": "class A:\n    def f(self): pass\na = A()\nb = [a, A]",
    "a class without annotations gets none": "class A:\n    x = [1]\na = [A]",
}


@pytest.mark.parametrize("name", STAYS)
def test_a_second_collection_writes_what_the_first_wrote(bench: Bench, name: str):
    body = "from probes import show\nshow(a, '__annotations__' in vars(type(a)))"

    outcome = bench.run(Notebook(cells=(STAYS[name],), body=body))

    assert outcome.failure is None, outcome.told
