"""Rarer things of notebooks: texts with holes, and what their names hold then."""

from __future__ import annotations

from tests.generated.writer import Thing, cls, data, fn, obj

__all__ = ["IDIOMS"]


def _list(*calls: str) -> Thing:
    return Thing("list", ("len(@)", *calls), ("@.append(#)",))


def _dict(*calls: str) -> Thing:
    return Thing("dict", ("len(@)", *calls), ("@['new'] = #",))


IDIOMS: list[tuple[str, str, dict[str, Thing]]] = [
    # what might look unchanged
    ("equal but another", "class $C:\n    n = 1\n    m = 0.0\n    t = (1, 2)\n    def go(self):\n        return self.n, self.m, self.t\n$C.n = True\n$C.m = -0.0\n$C.t = (True, 2.0)", {"$C": cls("@()", "@.n", "@.m", uses=["@.go()"])}),
    ("attributes in another order", "class $C:\n    a = 1\n    b = 2\n    def go(self):\n        return self.a, self.b\ndel $C.a\n$C.a = 1", {"$C": cls("@()", "[n for n in vars(@) if n[0] != '_']", uses=["@.go()"])}),
    ("docstring changed", "def $F(x=1):\n    'one'\n    return x, ?any\n$F.__doc__ = 'two'\nclass $C:\n    'one'\n$C.__doc__ = None", {"$F": fn("@()", "@.__doc__"), "$C": cls("@()", "@.__doc__")}),
    ("annotations changed", "def $F(x: int = 1) -> str:\n    return x, ?any\n$F.__annotations__['x'] = ?any\nclass $C:\n    n: int = 1\n$C.__annotations__['m'] = ?any", {"$F": fn("@()", "@.__annotations__"), "$C": cls("@()", "@.__annotations__")}),
    ("moved to another module", "def $F(x=1):\n    return x, ?any\n$F.__module__ = 'elsewhere'\nclass $C:\n    n = ?any\n$C.__module__ = 'elsewhere'\n$X = $C()", {"$F": fn("@()", "@.__module__"), "$C": cls("@()", "@.__module__"), "$X": obj("@.n", "type(@) is $C")}),
    ("bases changed", "class $C:\n    def go(self):\n        return 'base', ?any\nclass $N:\n    def go(self):\n        return 'other'\nclass $D($C):\n    pass\n$D.__bases__ = ($N,)", {"$C": cls("@()", uses=["@.go()"]), "$D": cls("@()", "@.__bases__", uses=["@.go()"])}),
    ("made in a loop", "$X = []\nfor i in range(2):\n    class $C:\n        n = #\n        def go(self):\n            return self.n, ?any\n    $X.append($C)\n    def $F(x=0):\n        return x, i\n    $X.append($F)", {"$X": _list("@[0]().go()", "@[2]().go()", "@[1]()"), "$C": cls("@()", uses=["@.go()"]), "$F": fn("@()")}),
    ("method of the class before", "$N = ?cls1\n$N2 = ?cls2\n$N.step = $N2.step", {"$N": cls("@()", uses=["@.step()"])}),
    ("equal methods of two classes", "class $C:\n    def go(self): return super().__repr__()[:3], __class__.__name__\n$N = $C\nclass $D:\n    def go(self): return super().__repr__()[:3], __class__.__name__\n$D.go, $N.back = $N.go, $D.go", {"$C": cls("@()", uses=["@.go()"]), "$D": cls("@()", "@.go is $N.go", uses=["@.go()"]), "$N": cls("@()", uses=["@.back()"])}),
    ("static method made plain", "class $C:\n    @staticmethod\n    def go(*a):\n        return len(a), ?any\n$C.go = $C.__dict__['go'].__func__", {"$C": cls("@()", "@.go()", uses=["@.go()"])}),
    ("property with another setter", "class $C:\n    @property\n    def p(self):\n        return self._p, ?any\n$C.p = $C.p.setter(lambda self, v: setattr(self, '_p', [v]))", {"$C": cls("@()", uses=["@.p"], changes=["@.p = #"])}),
    ("global definition in a function", "def $F(k=#):\n    global $G, $C\n    def $G(x=k):\n        return x, k, ?any\n    class $C:\n        n = k\n$F()", {"$F": fn("@()"), "$G": fn("@()"), "$C": cls("@()", "@.n")}),
    ("twice in one cell", "def $F(x=1):\n    return 'one', ?any\n$N = $F\ndef $F(x=1):\n    return 'one', ?any\nclass $C:\n    def go(self): return 1\n$N2 = $C\nclass $C:\n    def go(self): return 1", {"$F": fn("@()", "@ is $N"), "$N": fn("@()"), "$C": cls("@()", "@ is $N2", uses=["@.go()"]), "$N2": cls("@()", uses=["@.go()"])}),
    ("code of one's own", "def $F(x=1):\n    return x, 'c'\n$F.__code__ = $F.__code__.replace(co_consts=(None, 'd'))", {"$F": fn("@()")}),
    # what pickle has its own way with
    ("shared dict of instances", "class $C:\n    _shared = {}\n    def __init__(self):\n        self.__dict__ = self._shared\n$X, $Y = $C(), $C()\n$X.x = ?any", {"$C": cls("@()", "@._shared", uses=["@.x"], changes=["@.x = #"]), "$X": obj("@.x", "@.__dict__ is $Y.__dict__", changes=["@.x = #"]), "$Y": obj("@.x", "@.__dict__ is $C._shared", changes=["@.x = #"])}),
    ("dict of an instance", "class $C:\n    def __init__(self):\n        self.x = ?any\n$X = $C()\n$Y = vars($X)", {"$X": obj("@.x", "vars(@) is $Y", changes=["@.x = #"]), "$Y": _dict("@['x']")}),
    ("pickled as a name", "class $C:\n    def __reduce__(self):\n        return '$X'\n$X = $C()\n$Y = [$X, $X]", {"$C": cls("@()"), "$X": obj("type(@)"), "$Y": _list("@[0] is $X")}),
    ("metaclass that forbids", "class $C(type):\n    def __setattr__(cls, name, value):\n        raise TypeError('frozen ' + name)\nclass $D(metaclass=$C):\n    n = ?any\n    def go(self):\n        return self.n, ?any", {"$D": cls("@()", "@.n", uses=["@.go()"], changes=["type(@).n = #"])}),
    ("metaclass that notes", "$X = []\nclass $C(type):\n    def __setattr__(cls, name, value):\n        if name[0] != '_':\n            $X.append(name)\n        super().__setattr__(name, value)\n    def __call__(cls, *a):\n        $X.append('call')\n        return super().__call__(*a)\nclass $D(metaclass=$C):\n    n = ?any\n$D.m = #\n$Y = $D()", {"$X": _list("list(@)"), "$D": cls("@()", "@.m"), "$Y": obj("@.n")}),
    ("lies about its class", "class $C:\n    @property\n    def __class__(self):\n        return int\n    def go(self):\n        return ?any\n$X = $C()", {"$X": obj("@.go()", "isinstance(@, int)", "type(@).__name__")}),
    ("own attribute access", "class $C:\n    def __init__(self):\n        self.x = ?any\n    def __getattribute__(self, name):\n        if name == 'secret':\n            return 'told'\n        return object.__getattribute__(self, name)\n    def __delattr__(self, name):\n        raise AttributeError('kept')\n$X = $C()", {"$X": obj("@.x", "@.secret")}),
    ("compares oddly", "class $C:\n    def __eq__(self, o):\n        raise ValueError('no ==')\n    def __bool__(self):\n        raise ValueError('no bool')\n    def __hash__(self):\n        return 3\n    def __len__(self):\n        raise ValueError('no len')\n$X = $C()\n$Y = {'k': $X}\ndef $F(x=$X):\n    return x is $X", {"$X": obj("type(@).__name__"), "$Y": _dict("@['k'] is $X"), "$F": fn("@()")}),
    ("equals everything", "class $C:\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return 1\nclass $D:\n    n = $C()\n$D.n = 5\n$X = $C()\ndef $F(x=1):\n    return x, $X == 3\n$F.__defaults__ = ($X,)", {"$X": obj("@ == 4"), "$D": cls("@.n"), "$F": fn("@()")}),
    ("compiled code", "$X = compile('[?int, ?int]', '<text>', 'eval')\n$Y = compile('made = ?int', '<text>', 'exec')\ndef $F():\n    return eval($X)", {"$X": data("code", "eval(@)", "@.co_names"), "$Y": data("code", "exec(@)"), "$F": fn("@()")}),
    ("a long chain", "class $C:\n    def __init__(self, next):\n        self.next = next\n$X = None\nfor _ in range(600):\n    $X = $C($X)\ndef $F():\n    n, at = 0, $X\n    while at is not None:\n        n, at = n + 1, at.next\n    return n", {"$F": fn("@()")}),
    ("deep lists", "$N = []\nfor _ in range(900):\n    $N = [$N]\ndef $F():\n    n, at = 0, $N\n    while at:\n        n, at = n + 1, at[0]\n    return n", {"$F": fn("@()")}),
    ("a grid of neighbours", "class $C:\n    def __init__(self):\n        self.near = []\n$N = {(i, j): $C() for i in range(20) for j in range(20)}\nfor i, j in $N:\n    $N[i, j].near = [$N[p] for p in ((i + 1, j), (i, j + 1), (i - 1, j)) if p in $N]\ndef $F():\n    return sum(len(k.near) for k in $N.values()), $N[0, 0].near[0] is $N[1, 0]", {"$F": fn("@()")}),
    ("graph of hashed nodes", "class $C:\n    def __init__(self, name):\n        self.name, self.near = name, set()\n    def __hash__(self):\n        return hash(self.name)\n    def __eq__(self, o):\n        return self.name == o.name\n$X, $Y = $C('a'), $C('b')\n$X.near.add($Y)\n$Y.near.add($X)\n$Z = {$X: [$Y], ($X, $Y): $X, frozenset([$Y]): 1}", {"$X": obj("[k.name for k in @.near]", "$Y in @.near"), "$Y": obj("@ in $X.near"), "$Z": _dict("@[$X][0] is $Y", "@[$X, $Y] is $X")}),
    ("frozen dataclass in a set", "from dataclasses import dataclass, field\n@dataclass(eq=True, unsafe_hash=True)\nclass $C:\n    name: str\n    near: set = field(default_factory=set, compare=False, repr=False)\n$X = $C('a')\n$X.near.add($X)", {"$X": obj("@ in @.near", "len(@.near)")}),
    ("deque of itself", "import collections\n$X = collections.deque([#])\n$X.append($X)\n$Y = collections.defaultdict(lambda: $Y, {'k': $X})\n$Z = collections.OrderedDict(a=1)\n$Z['me'] = $Z", {"$X": obj("@[1] is @"), "$Y": _dict("@['q'] is @"), "$Z": _dict("@['me'] is @")}),
    ("user containers", "import collections\nclass $C(collections.UserDict):\n    def __missing__(self, key):\n        return key, ?any\n$X = $C(a=?any)\n$Y = collections.UserList([$X])", {"$X": obj("@['a']", "@['q']", changes=["@['b'] = #"]), "$Y": obj("@[0] is $X")}),
    ("subclass of Counter and defaultdict", "import collections\nclass $C(collections.Counter):\n    tag = #\nclass $D(collections.defaultdict):\n    def total(self):\n        return len(self), ?any\n$X, $Y = $C('aab'), $D(list, k=[1])\n$X.extra = ?any", {"$X": obj("@['a']", "@.extra", "@.most_common(1)"), "$Y": obj("@['q']", "@.total()")}),
    ("subclass of OrderedDict", "import collections\nclass $C(collections.OrderedDict):\n    def __setitem__(self, k, v):\n        super().__setitem__(k, [v])\n$X = $C(b=1)\n$X['a'] = ?any\n$X.move_to_end('b')", {"$X": obj("list(@)", "@['a']")}),
    # callables of all kinds
    ("static and class method objects", "$X = staticmethod(lambda x=1: (x, ?any))\n$Y = {'c': classmethod(lambda k: k), 'p': property(lambda s: ?any)}", {"$X": fn("@()"), "$Y": _dict("@['p'].fget(1)")}),
    ("methods of builtins", "$X = [str.upper, dict.fromkeys, int.__add__, 'a'.join, [].append, {'q': 1}.get]", {"$X": _list("@[0]('b')", "@[1]([1])", "@[2](1, 2)", "@[3](['x', 'y'])", "@[5]('q')")}),
    ("special methods of a thing", "$N = [3, 1]\n$X, $Y = $N.__len__, $N.__getitem__", {"$N": _list(), "$X": fn("@()"), "$Y": fn("@(0)")}),
    ("dispatching method", "import functools\nclass $C:\n    @functools.singledispatchmethod\n    def go(self, x):\n        return 'other', ?any\n    @go.register\n    def _(self, x: int):\n        return 'int', x", {"$C": cls("@()", uses=["@.go(#)", "@.go('s')"])}),
    ("partial of a method", "import functools\n$X = functools.partial(?obj.step, #)\n$X.note = ?any\n$Y = functools.partial(functools.partial($X))", {"$X": fn("@()", "@.note"), "$Y": fn("@()")}),
    ("its own default", "def $F(x=None):\n    return x is $F, ?any\n$F.__defaults__ = ($F,)\n$F.me = $F", {"$F": fn("@()", "@.me is @")}),
    ("signature of its own", "import inspect\ndef $F(*a):\n    return a, ?any\n$F.__signature__ = inspect.signature(lambda x, y=1: 0)", {"$F": fn("@(#)", "str(inspect.signature(@))")}),
    ("empty cell", "def $F():\n    def tell():\n        return later\n    if 0:\n        later = 1\n    return tell\n$X = $F()", {"$X": fn("@()")}),
    ("cell of two functions and a class", "def $F():\n    n = [#]\n    def add(x):\n        n.append(x)\n        return n\n    class K:\n        held = n\n        def see(self):\n            return n, ?any\n    return add, K, lambda: n\n$X, $Y, $Z = $F()", {"$X": fn("@(#)"), "$Y": cls("@()", "@.held", uses=["@.see()"]), "$Z": fn("@()")}),
    ("generator of functions", "def $F():\n    for i in range(2):\n        yield lambda x=0: (i, x, ?any)\n$X = list($F())", {"$X": _list("[p() for p in @]", "@[0](#)")}),
    ("coroutines and async generators", "async def $F(k=2):\n    for i in range(k):\n        yield i, ?any\nasync def $G():\n    return [x async for x in $F()]", {"$G": fn("@()")}),
    ("async context", "import contextlib\n@contextlib.asynccontextmanager\nasync def $F(x=#):\n    yield x, ?any\nasync def $G():\n    async with $F() as got:\n        return got", {"$G": fn("@()")}),
    ("top-level await", "import asyncio\nasync def $F(x=#):\n    await asyncio.sleep(0)\n    return [x, ?any]\n$X = await $F()", {"$F": fn("@()"), "$X": _list("@[0]")}),
    ("counting library decorator", "import own_lib\n@own_lib.counted\ndef $F(x=#):\n    return x, ?any\n$F()", {"$F": fn("@()", "@(#)", "@.__wrapped__()")}),
    ("closure of a library", "import own_lib\n$F = own_lib.adder(?any)\n$X = own_lib.Box(?any)\n$X.also = $F", {"$F": fn("@()", "own_lib.LIMIT"), "$X": obj("@.held", "@.also()", "@.limit()", changes=["own_lib.LIMIT = #"])}),
    ("library context decorator", "from own_lib import quietly\n@quietly()\ndef $F(x=#):\n    return x, ?any", {"$F": fn("@()", "@(#)")}),
    ("library registry", "import own_lib\nclass $C(own_lib.Plugin):\n    n = ?any\n@own_lib.register('$C')\ndef $F(x=1):\n    return x, ?any", {"$C": cls("@()", "own_lib.Plugin.known.get(@.__name__) is not None"), "$F": fn("@()", "@(#)")}),
    # library objects
    ("counting iterators", "import itertools\n$X = itertools.count(#)\nnext($X)\n$Y = itertools.cycle('ab')\n$Z = itertools.chain([1], [?any])", {"$X": data("it", "next(@)"), "$Y": data("it", "next(@)"), "$Z": data("it", "next(@)", "list(@)")}),
    ("events and queues", "import threading, queue\n$X = threading.Event()\n$X.set()\n$Y = queue.Queue()\n$Y.put(?any)", {"$X": obj("@.is_set()"), "$Y": obj("@.get(timeout=1)")}),
    ("namespaces of arguments", "import argparse\n$X = argparse.Namespace(lr=?any)\n$N = argparse.ArgumentParser()\n$N.add_argument('--k', type=int, default=#)\n$Y = $N.parse_args([])", {"$X": obj("@.lr", changes=["@.z = #"]), "$Y": obj("@.k"), "$N": obj("@.parse_args(['--k', '4']).k")}),
    ("templates and dates", "import string, datetime, zoneinfo\n$X = string.Template('$$a b')\n$Y = datetime.datetime(2020, 1, #, tzinfo=datetime.timezone.utc)", {"$X": obj("@.substitute(a=1)"), "$Y": data("val", "@.isoformat()")}),
    ("contexts", "import contextlib\n$X = contextlib.nullcontext(?any)\n$Y = contextlib.ExitStack()\n$Y.callback(print, 'left')", {"$X": obj("@.enter_result"), "$Y": obj("@.close()")}),
    ("annotated types", "import typing\n$X = typing.Annotated[int, ?any]\n$Y = typing.Literal['a', 1]\n$Z = typing.Callable[[int], ?cls]", {"$X": data("val", "@.__metadata__"), "$Y": data("val", "@.__args__"), "$Z": data("val", "@.__args__")}),
    ("functional classes", "import enum, dataclasses, typing, types\n$C = enum.Enum('$C', 'A B')\n$D = dataclasses.make_dataclass('$D', [('x', int, 1)], namespace={'go': lambda self: (self.x, ?any)})\n$N = types.new_class('$N', (?cls1,))\n$X = {$C.A: $D()}", {"$C": cls("@(1)", "@.A"), "$D": cls("@()", uses=["@.go()", "@ == $D()"]), "$N": cls("@()"), "$X": _dict("@[$C.A].go()")}),
    ("module alias", "import own_pkg.parts as $X\nfrom own_pkg import parts as $Y\n$Z = {'mod': $X, 'fn': $X.part}", {"$X": data("mod", "@.part(#)", "@ is $Y"), "$Y": data("mod", "@.Part(#).x"), "$Z": _dict("@['mod'].part(#)", "@['fn'](1)")}),
    ("reloaded module", "import importlib, own_lib\n$N = own_lib.Base\nown_lib = importlib.reload(own_lib)\n$X = own_lib.Base(#)", {"$X": obj("@.step()", "isinstance(@, own_lib.Base)")}),
    ("weak containers", "import weakref\nclass $C:\n    pass\n$N = $C()\n$X = weakref.ref($N)\n$Y = weakref.WeakValueDictionary(k=$N)\n$Z = weakref.WeakKeyDictionary({$N: ?any})", {"$X": fn("@() is $N"), "$Y": obj("@['k'] is $N"), "$Z": obj("@[$N]"), "$N": obj("type(@) is $C")}),
    ("bound handler", "import logging\nclass $C(logging.Handler):\n    def emit(self, record):\n        print('logged', record.levelname, ?any)\n$X = logging.getLogger('mine')\n$X.addHandler($C())\n$X.propagate = False", {"$X": data("logger", "@.warning('w')", "len(@.handlers)")}),
    ("errors of functions kept", "try:\n    ?call\n    1 / 0\nexcept Exception as error:\n    $X = error\n    $Y = (type(error), error.args)", {"$X": obj("type(@).__name__", "@.args"), "$Y": data("tuple", "@[0].__name__")}),
    ("exception group", "$X = ExceptionGroup('all', [ValueError(#), KeyError('k')])\n$X.add_note('seen')", {"$X": obj("@.exceptions", "@.__notes__", "str(@)")}),
    ("tuple of many", "import collections\n$X = collections.namedtuple('$X', 'a b', defaults=[?any])\n$Y = [$X(1), $X(b=2, a=?any)]", {"$X": cls("@(#)", "@._field_defaults", uses=["@.a", "@._asdict()"]), "$Y": _list("@[0].b", "isinstance(@[0], $X)")}),
    ("complex tree", "$N = {'leaf': [?any]}\n$X = {'l': {'l': $N, 'r': [$N]}, 'r': ($N, [$N])}\n$Y = [$X['l'], $X['r'][1], $N['leaf']]", {"$X": _dict("@['l']['l'] is @['r'][0]"), "$Y": _list("@[0]['r'][0] is @[1][0]"), "$N": _dict("@['leaf']")}),
]  # fmt: skip
