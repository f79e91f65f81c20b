"""What notebooks do with functions: texts with holes, and what their names hold then."""

from __future__ import annotations

from tests.generated.writer import Thing, cls, data, fn

__all__ = ["IDIOMS"]

IDIOMS: list[tuple[str, str, dict[str, Thing]]] = [
    ("plain", "def $F(x, y=2):\n    return x, y, ?any", {"$F": fn("@(#)", "@(#, y=?any)")}),
    ("calls another", "def $F(x=1):\n    return x, ?call, ?call", {"$F": fn("@()", "@(?any)")}),
    ("documented", "def $F(x: int, *, k: 'str' = 'k') -> tuple:\n    \"\"\"Tell x.\"\"\"\n    return x, k, ?any",
     {"$F": fn("@(#)", "@(#, k=?val)", "@.__doc__", "@.__annotations__")}),
    ("counts globally", "$X = #\ndef $F(by=1):\n    global $X\n    $X += by\n    return $X",
     {"$X": data("int"), "$F": fn("@()", "@(#)")}),
    ("appends globally", "$X = []\ndef $F(x):\n    $X.append(x)\n    return $X",
     {"$X": data("list", "len(@)", changes=["@.append(#)"]), "$F": fn("@(#)", "@(?any)")}),
    ("makes a global", "def $F(v):\n    global $X\n    $X = [v, ?any]\n    return $X",
     {"$F": fn("@(#)", "@(?any)")}),
    ("mutable default", "def $F(x, seen=[]):\n    seen.append(x)\n    return seen", {"$F": fn("@(#)")}),
    ("default captured", "def $F(x=?any1, *, y=?any2):\n    return x, y", {"$F": fn("@()", "@(#)", "@(y=#)")}),
    ("default is a call", "def $F(x=?call):\n    return x", {"$F": fn("@()", "@(#)")}),
    ("annotated by names", "def $F(x: ?cls1, y: 'list[$C]' = None) -> ?cls2:\n    return x, y",
     {"$F": fn("@(#)", "@.__annotations__")}),
    ("star arguments", "def $F(a, /, *rest, k=?val, **more):\n    return a, rest, k, sorted(more)",
     {"$F": fn("@(#)", "@(#, #, k=#, z=#)")}),
    ("recursive", "def $F(k=3):\n    return 1 if k <= 0 else (k, $F(k - 1), ?call)", {"$F": fn("@()", "@(2)")}),
    ("counter", "def $F(k=0):\n    def inc(by=1):\n        nonlocal k\n        k += by\n        return k\n"
     "    def get():\n        return k\n    return inc, get\n$X, $Y = $F(#)",
     {"$F": fn("[c() for c in @()]"), "$X": fn("@()", "@(#)"), "$Y": fn("@()")}),
    ("closure over a thing", "def $F(held):\n    def tell(*more):\n        return held, more, ?any\n    return tell\n"
     "$X = $F(?any)", {"$F": fn("@(#)()", "@(?any)(#)"), "$X": fn("@()", "@(#)")}),
    ("nested closures", "def $F(p):\n    q = [p]\n    def mid():\n        def low(x):\n            q.append(x)\n"
     "            return p, q, ?any\n        return low\n    return mid, q\n$X, $Y = $F(?any)",
     {"$F": fn("@(#)[0]()(#)"), "$X": fn("@()(#)"), "$Y": data("list", "len(@)", changes=["@.append(#)"])}),
    ("closure over itself", "def $F():\n    def down(k):\n        return [k] + (down(k - 1) if k else [])\n"
     "    return down\n$X = $F()", {"$F": fn("@()(2)"), "$X": fn("@(3)")}),
    ("late loop cell", "$X = [lambda x=0: (x, i, ?any) for i in range(3)]",
     {"$X": data("list", "[p() for p in @]", "@[0](#)", changes=["@.reverse()"])}),
    ("loop defines", "$X = {}\nfor i in range(2):\n    def $F(x=i):\n        return x, i, ?any\n    $X[i] = $F",
     {"$X": data("dict", "[p() for p in @.values()]"), "$F": fn("@()", "@(#)")}),
    ("lambda", "$F = lambda x=?any: (x, ?any, ?call)", {"$F": fn("@()", "@(#)")}),
    ("lambda under two names", "$F = $N = lambda x: [x, ?any]", {"$F": fn("@(#)"), "$N": fn("@(#)")}),
    ("lambdas in a dict", "$X = {'p': lambda x: x + 1, 'q': ?fn, 3: lambda: ?any}",
     {"$X": data("dict", "@['p'](#)", "@[3]()", changes=["@['p'] = ?any"])}),
    ("decorated", "def $F(func):\n    def inner(*a, **k):\n        return 'in', func(*a, **k), ?any\n    return inner\n"
     "@$F\ndef $G(x=#):\n    return x", {"$F": fn("@(?fn)(#)"), "$G": fn("@()", "@(#)")}),
    ("decorated and wrapped", "import functools\ndef $F(func):\n    @functools.wraps(func)\n    def inner(*a):\n"
     "        inner.count += 1\n        return inner.count, func(*a)\n    inner.count = 0\n    return inner\n"
     "@$F\n@$F\ndef $G(x=#):\n    \"\"\"Doc.\"\"\"\n    return x, ?any",
     {"$F": fn("@(?fn)(#)"), "$G": fn("@()", "@(#)", "@.__wrapped__(#)", "@.count", "@.__name__")}),
    ("decorator with arguments", "def $F(tag):\n    def deco(func):\n        func.tag = tag\n        return func\n    return deco\n"
     "@$F(?any)\ndef $G(x=#):\n    return x, $G.tag", {"$F": fn("@(#)"), "$G": fn("@()", "@.tag")}),
    ("registered", "$X = {}\ndef $F(func):\n    $X[func.__name__] = func\n    return func\n@$F\ndef $G(x=#):\n    return x, sorted($X)",
     {"$X": data("dict", "sorted(map(str, @))", "[p() for p in @.values()]"), "$F": fn("@(?fn)"), "$G": fn("@()")}),
    ("decorated by a class", "class $C:\n    def __init__(self, func):\n        self.func, self.n = func, 0\n"
     "    def __call__(self, *a):\n        self.n += 1\n        return self.n, self.func(*a)\n@$C\ndef $F(x=#):\n    return x, ?any",
     {"$C": cls("@(?fn)", uses=["@(#)", "@.n"]), "$F": fn("@()", "@(#)", "@.n")}),
    ("cached", "import functools\n@functools.lru_cache(maxsize=None)\ndef $F(x=1):\n    return (x, 'c')\n$F(1)",
     {"$F": fn("@()", "@(#)", "@.__name__")}),
    ("cached without arguments", "from functools import cache\n@cache\ndef $F(x):\n    return x * 2", {"$F": fn("@(#)", "@.__wrapped__(#)")}),
    ("dispatching", "from functools import singledispatch\n@singledispatch\ndef $F(x):\n    return 'other', ?any\n"
     "@$F.register\ndef _(x: int):\n    return 'int', x\n@$F.register(str)\ndef $N(x):\n    return 'str', x",
     {"$F": fn("@(#)", "@('s')", "@([])"), "$N": fn("@('t')")}),
    ("context manager", "from contextlib import contextmanager\n@contextmanager\ndef $F(x=#):\n    ?any.append(x) if 0 else None\n    yield x\n"
     "def $G(x=1):\n    with $F(x) as y:\n        return y, ?any", {"$G": fn("@()", "@(#)")}),
    ("generator function", "def $F(k=3):\n    for i in range(k):\n        yield i, ?any", {"$F": fn("@()", "list(@(2))", "next(@())")}),
    ("yields from", "def $F(k=2):\n    got = yield from range(k)\n    yield got\n    yield ?any", {"$F": fn("@()", "@(#)")}),
    ("async", "async def $F(x=#):\n    import asyncio\n    await asyncio.sleep(0)\n    return x, ?any", {"$F": fn("@()", "@(#)")}),
    ("attributes", "def $F(x=#):\n    $F.calls += 1\n    return $F.calls\n$F.calls = #\n$F.held = ?any",
     {"$F": fn("@()", "@.calls", "@.held")}),
    ("partial", "import functools\n$X = functools.partial(?fn, ?any)", {"$X": fn("@()", "@.func", "@.args")}),
    ("partial of keywords", "from functools import partial as part\n$X = part(?fn, x=?any)", {"$X": fn("@()", "@.keywords")}),
    ("wraps the old", "$N = ?fn1\ndef $F(*a):\n    return 'new', $N(*a)", {"$F": fn("@()", "@(#)"), "$N": fn("@()", "@(#)")}),
    ("redefined over itself", "def $F(x=#):\n    return x, 'first'\n$N = $F\ndef $F(x=#):\n    return $N(x), 'second', ?any",
     {"$F": fn("@()", "@(#)"), "$N": fn("@()")}),
    ("new defaults", "def $F(x=1, *, y=2):\n    return x, y\n$F.__defaults__ = (?any,)\n$F.__kwdefaults__ = {'y': ?any}", {"$F": fn("@()", "@(#)")}),
    ("new code", "def $F(x=1):\n    return x\n$F.__code__ = (lambda x=3: [x, ?any]).__code__", {"$F": fn("@()", "@(#)")}),
    ("new names", "def $F(x=1):\n    return x, ?any\n$F.__name__ = 'other'\n$F.__qualname__ = 'some.other'\n$F.__doc__ = ?val",
     {"$F": fn("@()", "@.__name__", "@.__qualname__", "@.__doc__")}),
    ("by exec", "exec('def $F(x=#):\\n    return x, ?int')", {"$F": fn("@()", "@(#)")}),
    ("by exec elsewhere", "own = {'k': #, 'held': ?any}\nexec('def p(x=1):\\n    global k\\n    k += x\\n    return k, held\\ndef q(): return p(), k', own)\n"
     "$F, $G = own['p'], own['q']\ndel own", {"$F": fn("@()", "@(#)"), "$G": fn("@()")}),
    ("by eval", "$F = eval('lambda x=#: (x, ?int)')", {"$F": fn("@()", "@(#)")}),
    ("by FunctionType", "import types\n$F = types.FunctionType(?fn.__code__, globals(), 'dyn', (?any,))", {"$F": fn("@()", "@.__name__")}),
    ("from a string", "def $F(name='n'):\n    return globals().get(name), eval('?int')", {"$F": fn("@()", "@('total')")}),
    ("looks itself up", "def $F():\n    import __main__\n    return getattr(__main__, 'n', None), __name__", {"$F": fn("@()")}),
    ("one line", "def $F(x=?int): return x, ?any", {"$F": fn("@()", "@(#)")}),
    ("two in one line", "$X = #; $F = lambda: ($X, ?any)", {"$X": data("int"), "$F": fn("@()")}),
    ("conditional", "if ?any:\n    def $F(x=1):\n        return x, 'then', ?any\nelse:\n    def $F(x=2):\n        return x, 'else', ?any",
     {"$F": fn("@()", "@(#)")}),
    ("in try", "try:\n    import nothing_such\nexcept ImportError as reason:\n    def $F(x=3):\n        return x, ?any\n    $X = str(reason)", {"$F": fn("@()"), "$X": data()}),
    ("with a string body", "def $F():\n    text = '''one\n  two # three\nfour'''\n    return text, ?any", {"$F": fn("@()")}),
    ("comprehensions", "def $F(k=2):\n    return [(i, ?any) for i in range(k)], {i: j for i in 'ab' for j in range(k)}", {"$F": fn("@()", "@(#)")}),
    ("match", "def $F(x=#):\n    match x:\n        case int() if x > 2:\n            return 'big', ?any\n        case [a, *rest]:\n            return a, rest\n"
     "        case {'k': v}:\n            return v\n        case _:\n            return 'other', x", {"$F": fn("@()", "@([1, 2])", "@({'k': 3})", "@(?any)")}),
    ("walrus and try", "def $F(x=#):\n    try:\n        if (y := x) > 2:\n            raise ValueError(y)\n    except ValueError as e:\n        return e.args, ?any\n"
     "    finally:\n        pass\n    return y", {"$F": fn("@()", "@(1)", "@(5)")}),
    ("imports inside", "def $F(x=4):\n    import math\n    from own_lib import scale as s\n    return math.sqrt(x), s(x), ?any", {"$F": fn("@()", "@(9)")}),
    ("deletes a global", "$N = [1]\ndef $F():\n    global $N\n    had = $N\n    del $N\n    return had", {"$F": fn("@()"), "$N": data("list")}),
    ("local class", "def $F(p=1):\n    class Local:\n        held = p\n        def tell(self):\n            return p, __class__.__name__, ?any\n    return Local\n"
     "$X, $Y = $F(?any), $F(#)\n$Z = $X()",
     {"$F": fn("@(#)().tell()"), "$X": cls("@()", uses=["@.tell()", "@.held"]), "$Y": cls("@()", uses=["@.tell()"]),
      "$Z": Thing("obj", ("@.tell()", "@.held"))}),
    ("printing", "def $F(x=1):\n    print('said', x)\n    return ?any", {"$F": fn("@()", "@(#)")}),
    ("raising", "class $C(ValueError):\n    code = #\ndef $F(x=1):\n    raise $C('bad', x)", {"$C": cls("@(1)", "@('t', #)", uses=["@.args", "@.code"]), "$F": fn("@()", "@(#)")}),
    ("takes functions", "def $F(func=?fn, *a):\n    return func(*a)", {"$F": fn("@(len, 'abc')", "@(?fn)", "@(?fn, #)")}),
    ("composed", "from functools import reduce\ndef $F(*fs):\n    return lambda x: reduce(lambda v, p: p(v), fs, x)\n$X = $F(?fn, lambda v: [v])",
     {"$F": fn("@(str)(#)"), "$X": fn("@(#)")}),
    ("shared default", "$X = [#]\ndef $F(x=$X):\n    x.append(1)\n    return x\ndef $G(x=$X):\n    return x",
     {"$X": data("list", "len(@)", changes=["@.append(#)"]), "$F": fn("@()"), "$G": fn("@()")}),
    ("even and odd", "def $F(k=3):\n    return k == 0 or $N(k - 1)\ndef $N(k=4):\n    return k != 0 and $F(k - 1)", {"$F": fn("@()", "@(#)"), "$N": fn("@()")}),
    ("methodcaller", "import operator\n$X = operator.itemgetter(0)\n$Y = operator.methodcaller('upper')", {"$X": fn("@('ab')", "@([?any])"), "$Y": fn("@('ab')")}),
    ("time magic", "%time $X = [?any, #]", {"$X": data("list", "len(@)", changes=["@.append(#)"])}),
    ("unpack", "$X, *$Y = [?any, #, ?any, {}]", {"$X": data(), "$Y": data("list", "len(@)", changes=["@.pop()"])}),
    ("leaked loop", "for $X in [1, ?any]:\n    $Y = [$X]", {"$X": data(), "$Y": data("list", "@[0]", changes=["@.append(#)"])}),
    ("globals()", "globals()['$X'] = [?any]", {"$X": data("list", "@[0]", changes=["@.append(#)"])}),
    ("setattr main", "import sys\nsetattr(sys.modules['__main__'], '$X', ?any)", {"$X": data()}),
    ("future", "from __future__ import annotations\ndef $F(x: ?cls = 1, y: not_there = 2) -> $C:\n    return x, ?any", {"$F": fn("@()", "@.__annotations__")}),
    ("type variables", "from typing import Callable, Optional\ndef $F(x: Optional[int] = None, g: Callable[[int], 'str'] = str, *a: 'list[int] | None') -> dict[str, ?cls]:\n    return x, a",
     {"$F": fn("@()", "@(#)", "@.__annotations__")}),
]  # fmt: skip
