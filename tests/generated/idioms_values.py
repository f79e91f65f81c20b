"""Values, imports and changes of notebooks: texts with holes, and what their names hold then."""

from __future__ import annotations

from tests.generated.writer import Thing, cls, data, fn, obj

__all__ = ["IDIOMS"]

_APPEND = ("@.append(#)", "@.append(?any)", "@.clear()")
_PUT = ("@['new'] = #", "@.clear()", "@.update(z=?any)")


def _list(*calls: str) -> Thing:
    return Thing("list", ("len(@)", *calls), _APPEND)


def _dict(*calls: str) -> Thing:
    return Thing("dict", ("len(@)", *calls), _PUT)


IDIOMS: list[tuple[str, str, dict[str, Thing]]] = [
    ("cyclic list", "$X = [#]\n$X.append($X)", {"$X": _list("@[1] is @")}),
    ("cyclic dict", "$X = {'k': ?any}\n$X['self'] = $X\n$Y = [$X, {'up': $X}]", {"$X": _dict("@['self'] is @"), "$Y": _list("@[1]['up'] is @[0]")}),
    ("cyclic tuple", "$X = []\n$Y = ($X, #)\n$X.append($Y)", {"$X": _list("@[0][0] is @"), "$Y": data("tuple", "@[0][0] is @")}),
    ("shared rows", "$X = [[0] * 2] * 3\n$Y = [list(r) for r in $X]", {"$X": Thing("list", ("@[0] is @[2]",), ("@[0].append(#)",)), "$Y": _list("same(@[0], @[1])")}),
    ("default dict", "from collections import defaultdict, OrderedDict, Counter, deque\n$X = defaultdict(list)\n$X['k'].append(?any)\n$Y = defaultdict(lambda: [?any, #])", {"$X": Thing("dict", ("@['q']", "@['k']"), ("@['z'].append(#)",)), "$Y": Thing("dict", ("@['q']",), ("@['z'].append(#)",))}),
    ("ordered, counted, double-ended", "import collections\n$X = collections.OrderedDict(b=?any, a=#)\n$X.move_to_end('b')\n$Y = collections.Counter('hello')\n$Z = collections.deque([?any, 2], maxlen=2)", {"$X": _dict("list(@)"), "$Y": Thing("counter", ("@['l']",), ("@.update('l')",)), "$Z": Thing("deque", ("@[0]",), ("@.append(#)",))}),
    ("chain map and namespace", "import collections, types\n$N = {'p': #}\n$X = collections.ChainMap($N, {'q': ?any})\n$Y = types.SimpleNamespace(a=?any, n=$N)", {"$N": _dict(), "$X": Thing("dict", ("@['p']", "@.maps[0] is $N"), ("@['z'] = #",)), "$Y": obj("@.a", "@.n is $N", changes=["@.b = ?any"])}),
    ("views of a dict", "$X = {'k': #}\n$Y = $X.keys()\n$Z = $X.values()", {"$X": _dict(), "$Y": data("view", "sorted(map(str, @))"), "$Z": data("view", "len(@)")}),
    ("mapping proxy", "import types\n$N = {'k': ?any}\n$X = types.MappingProxyType($N)", {"$N": _dict(), "$X": data("view", "@['k']", "len(@)")}),
    ("iterators", "$N = [1, 2, 3, 4]\n$X = iter($N)\nnext($X)\n$Y = enumerate($N)\n$Z = zip($N, 'abcd')", {"$N": _list(), "$X": data("it", "next(@)", "list(@)"), "$Y": data("it", "next(@)"), "$Z": data("it", "next(@)", "list(@)")}),
    ("lazy map", "$X = map(lambda x: (x, ?any), [1, 2])\n$Y = filter(None, [0, 1, 2])\n$Z = reversed([1, 2, 3])", {"$X": data("it", "next(@)"), "$Y": data("it", "list(@)"), "$Z": data("it", "next(@)", "list(@)")}),
    ("bytes", "$X = bytearray(b'abc')\n$Y = [$X, $X]\n$Z = memoryview(b'xyz')", {"$X": Thing("bytes", ("bytes(@)",), ("@.append(33)", "@[0] = 65")), "$Y": _list("same(@[0], @[1])"), "$Z": data("view", "bytes(@)")}),
    ("arrays of the standard library", "import array\n$X = array.array('i', [1, 2])\n$Y = {'a': $X, 'b': $X}", {"$X": Thing("arr", ("list(@)",), ("@.append(#)", "@[0] = #")), "$Y": _dict("@['a'] is @['b']")}),
    ("numbers", "import decimal, fractions, datetime, uuid\n$X = decimal.Decimal('1.10')\n$Y = fractions.Fraction(1, 3)\n$Z = datetime.timedelta(seconds=#)", {"$X": data("val", "@ + 1"), "$Y": data("val", "@ * 2"), "$Z": data("val", "@.total_seconds()")}),
    ("paths and patterns", "import re, pathlib\n$X = re.compile(r'(\\d+)')\n$Y = pathlib.Path('some') / 'file.txt'", {"$X": obj("@.findall('a1b22')"), "$Y": data("val", "@.name")}),
    ("random generator", "import random\n$X = random.Random(#)\n$X.random()\n$Y = $X.random", {"$X": data("rng", "@.randrange(100)", "@.random()"), "$Y": fn("@()")}),
    ("string buffer", "import io\n$X = io.StringIO('one')\n$X.seek(2)", {"$X": Thing("io", ("@.getvalue()", "@.tell()"), ("@.write('z')",))}),
    ("bound method", "$F = ?obj.step", {"$F": fn("@()", "@(#)", "@.__self__")}),
    ("bound method of a list", "$N = [#]\n$X = $N.append\n$Y = $N.pop", {"$N": _list(), "$X": fn("@(#)"), "$Y": fn("@()", "@.__self__ is $N")}),
    ("unbound method", "$F = ?cls.step", {"$F": fn("@(?obj)", "@.__qualname__")}),
    ("bound class method", "class $C:\n    n = #\n    @classmethod\n    def cm(cls):\n        return cls.n, ?any\n    @staticmethod\n    def st():\n        return ?any\n$F, $G = $C.cm, $C.st", {"$C": cls("@()", "@.cm()", "@.st()"), "$F": fn("@()", "@.__self__ is $C"), "$G": fn("@()", "@ is $C.st")}),
    ("patched method", "def $N(self, *a):\n    return 'patched', ?any\n?cls.step = $N", {"$N": fn("@(#)")}),
    ("patched by a lambda", "?cls.step = lambda self, *a: ('lambda', ?any)", {}),
    ("patched over the old", "$N1 = ?cls1.step\ndef $N2(self, *a):\n    return 'over', $N1(self, *a)\n?cls1.step = $N2", {"$N2": fn("@(?obj)")}),
    ("class attribute set", "?cls.step = property(lambda self: ?any)\n?cls.held = ?any", {}),
    ("class attribute deleted", "del ?cls.step", {}),
    ("new init", "def $N(self, *a):\n    self.x = [a, ?any]\n?cls.__init__ = $N", {}),
    ("method of one instance", "import types\n?obj1.step = types.MethodType(lambda self, *a: (type(self).__name__, a, ?any), ?obj1)", {}),
    ("function of one instance", "?obj.step = lambda *a: ('own', a, ?any)", {}),
    ("class of an instance", "?obj.__class__ = ?cls", {}),
    ("instance attribute", "?obj.x = ?any", {}),
    ("instance holds itself", "?obj1.me = ?obj1\n?obj1.all = [?obj1, ?any]", {}),
    ("function attribute", "?fn.note = ?any", {}),
    ("item set", "?dict['k'] = ?any\n?dict['fn'] = ?fn", {}),
    ("appended", "?list.append(?any)\n?list.append(?cls)", {}),
    ("class deleted", "$X = ?cls1()\ndel ?cls1", {"$X": obj("type(@).__name__", "@.step()")}),
    ("instances in containers", "$X = [?cls1(), ?cls1()]\n$Y = {'first': $X[0], 'all': $X}", {"$X": _list("@[0].step()"), "$Y": _dict("@['first'] is @['all'][0]", "@['first'].step()")}),
    ("classes in containers", "$X = {'a': ?cls, 'b': ?cls}\n$Y = [?cls, int]", {"$X": _dict("@['a']()"), "$Y": _list("@[0]()", "isinstance(?any, @[0])")}),
    ("dispatch table", "$X = {'f': ?fn, 'm': ?obj.step, 'l': lambda x=1: (x, ?any), 'b': len}", {"$X": _dict("@['f']()", "@['m']()", "@['l']()", "@['b']('abc')")}),
    ("keys that are things", "$X = {?fn1: 'f', ?cls1: 'c', (1, ?cls1): 't'}", {"$X": _dict("@[?cls1]", "@.get(?fn1)")}),
    ("set of things", "$X = {?cls, ?fn, 3}\n$Y = frozenset([?cls])", {"$X": Thing("set", ("len(@)", "?cls in @"), ("@.add(#)",)), "$Y": data("tuple", "len(@)")}),
    ("json", "import json\n$X = json.loads('{\"a\": [1, {\"b\": null}]}')", {"$X": _dict("@['a'][1]")}),
    ("import as", "import os.path as p, math, collections.abc\nfrom math import sqrt as root, pi", {"root": fn("@(4)"), "math": data("mod", "@.floor(2.5)"), "p": data("mod", "@.join('a', 'b')"), "pi": data()}),
    ("import of a submodule", "import xml.dom.minidom\nimport own_pkg.parts", {"xml": data("mod", "@.dom.minidom.__name__"), "own_pkg": data("mod", "@.parts.part(#)", "@.parts.Part(#).x")}),
    ("star import", "from own_lib import *", {"scale": data("lib", "@(#)"), "LIMIT": data("int"), "Base": data("lib", "@().step()"), "REGISTRY": data("lib", "len(@)")}),
    ("library class", "from own_lib import Base, scale\n$X = Base(?any)\n$F = scale\n$X.step2 = ?fn", {"$X": obj("@.size", "@.describe()", "@.step2()"), "$F": data("lib", "@(#)"), "Base": data("lib", "@(#)", "@().step(#)")}),
    ("library patched", "import own_lib\nown_lib.LIMIT = ?int\nown_lib.extra = ?any", {"own_lib": data("mod", "@.LIMIT", "@.scale(100)", "@.extra")}),
    ("library method patched", "import own_lib as lib\nlib.Base.describe = lambda self: ('patched', self.size, ?any)", {"lib": data("mod", "@.Base(#).describe()")}),
    ("library container filled", "from own_lib import REGISTRY, ITEMS\nREGISTRY['mine'] = ?any\nITEMS.append(#)", {"REGISTRY": data("lib", "@.get('mine')"), "ITEMS": data("lib", "@[-1]")}),
    ("library decorator", "from own_lib import twice\n@twice\ndef $F(x=#):\n    return x, ?any", {"$F": fn("@()", "@(#)")}),
    ("library name shadowed", "from math import sqrt\ndef sqrt(x):\n    return 'own', x, ?any\n$X = sqrt", {"sqrt": fn("@(#)"), "$X": fn("@(#)")}),
    ("conditional import", "try:\n    import ujson_not_there as js\nexcept ImportError:\n    import json as js\n$F = js.dumps", {"js": data("mod", "@.dumps([1])"), "$F": fn("@([1, None])")}),
    ("module made by hand", "import types\n$X = types.ModuleType('made')\n$X.k = ?any\nexec('def q(): return k', $X.__dict__)", {"$X": data("mod", "@.k", "@.q()")}),
    ("small arrays", "import numpy as np\n$X = np.arange(6).reshape(2, 3)\n$Y = $X[:, 1]\n$Z = $X.T", {"$X": Thing("arr", ("@.sum()", "@"), ("@[0, 0] = #", "@ += #")), "$Y": Thing("arr", ("np.shares_memory(@, $X)", "@"), ("@[0] = #",)), "$Z": Thing("arr", ("@",), ("@[0] = #",))}),
    ("views of one buffer", "import numpy as np\n$N = np.zeros(8)\n$X, $Y = $N[2:6], $N[::2]\n$Z = {'head': $N[:3], 'all': $N, 'view': $X}", {"$N": Thing("arr", ("@",), ("@[:] = #",)), "$X": Thing("arr", ("@",), ("@[0] = #",)), "$Y": Thing("arr", ("@",), ("@[:] = #",)), "$Z": _dict("@['view'] is $X", "@['head']")}),
    ("arrays of kinds", "import numpy as np\n$X = np.array([(1, 2.5)], dtype=[('a', 'i4'), ('b', 'f8')])\n$Y = np.array([?any, None], dtype=object)\n$Z = np.asfortranarray(np.ones((2, 2), 'f4'))\n$Z.flags.writeable = False", {"$X": Thing("arr", ("@['a']",), ("@['a'] = #",)), "$Y": Thing("arr", ("same(@[0], ?any)",), ("@[1] = #",)), "$Z": Thing("arr", ("@",), ("@[0, 0] = #",))}),
    ("odd arrays", "import numpy as np\n$X = np.float32(#)\n$Y = np.array(3)\n$Z = np.broadcast_to(np.arange(3), (2, 3))", {"$X": data("val", "@ * 2", "@.dtype"), "$Y": Thing("arr", ("@",), ("@[...] = #",)), "$Z": Thing("arr", ("@",), ())}),
    ("array subclass", "import numpy as np\nclass $C(np.ndarray):\n    tag = 't'\n$X = np.arange(4).view($C)\n$X.note = ?any\n$Y = $X[1:]", {"$C": cls("@(2).shape"), "$X": Thing("arr", ("@.note", "@.tag", "@"), ("@[1] = #",)), "$Y": Thing("arr", ("@",), ("@[0] = #",))}),
    ("array generator", "import numpy as np\n$X = np.random.default_rng(#)\n$Y = np.ma.masked_array([1, 2], [0, 1])", {"$X": data("rng", "@.integers(100)"), "$Y": Thing("arr", ("@.sum()",), ())}),
    ("seeded", "import random\nrandom.seed(#)\n$F = lambda: random.random()", {"$F": fn("@()")}),
    ("logger", "import logging\n$X = logging.getLogger('own')\n$X.setLevel(10 * #)", {"$X": data("logger", "@.level", "@.getEffectiveLevel()", "@.name")}),
    ("context variable", "import contextvars\n$X = contextvars.ContextVar('v', default=?any)\n$X.set(#)", {"$X": obj("@.get()", "@.name")}),
    ("new type and alias", "import typing\n$X = typing.NewType('$X', int)\n$Y = list[?cls]\n$Z = typing.Optional[int] | str", {"$X": fn("@(#)"), "$Y": data("val", "@.__origin__"), "$Z": data()}),
    ("type variable", "from typing import TypeVar\n$X = TypeVar('$X', bound='int')\n$F = lambda: $X.__name__", {"$F": fn("@()")}),
    ("not sent, not needed", "$N = (i for i in range(3))\ndef $F(x=#):\n    if x > 90:\n        return list($N)\n    return x, ?any", {"$F": fn("@()", "@(#)")}),
    ("locks", "import threading, queue\n$X = threading.RLock()\n$Y = {'lock': $X, 'again': $X}\ndef $F():\n    with $X:\n        return ?any", {"$X": data("lock"), "$Y": _dict("@['lock'] is @['again']"), "$F": fn("@()")}),
]  # fmt: skip
