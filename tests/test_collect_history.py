"""What cells did besides binding names is found, wherever it stands and whenever it ran."""

from __future__ import annotations

import decimal
import logging
import random
import sys
import types

import pytest

from ddp_magic.collect import How, statements
from ddp_magic.collect.cells import Cells
from ddp_magic.collect.collector import Collector
from ddp_magic.rundir import RunDir
from tests.kernel_side import KernelSide, kernel

__all__ = ["kernel"]


@pytest.fixture
def library(kernel: KernelSide, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A library in a file, as the notebook sees it."""
    (kernel.folder / "own_library.py").write_text(
        "class Options: level = 0\noptions = Options()\nnames = []\nsize = {}\n"
        "class Params(dict): pass\nparams = Params()\ndef use(name): names.append(name)\n"
    )
    monkeypatch.syspath_prepend(str(kernel.folder))
    kernel.cells("import own_library as lib\nfrom own_library import names, options")
    yield sys.modules["own_library"]
    del sys.modules["own_library"]


LOOK = "lib.options.level, lib.names, lib.size, dict(lib.params)"
CHANGES = {
    "a statement": ("lib.options.level = 3", (3, [], {}, {})),
    "behind a semicolon": ("x = 1; lib.options.level = 3", (3, [], {}, {})),
    "a tuple": ("x, lib.options.level = 1, 3", (3, [], {}, {})),
    "in parentheses": ("(lib.options.level,\n x) = 3, 1", (3, [], {}, {})),
    "added up": ("lib.options.level += 2", (2, [], {}, {})),
    "annotated": ("lib.options.level: int = 2", (2, [], {}, {})),
    "under a condition": ("if True:\n    lib.options.level = 3", (3, [], {}, {})),
    "in a loop": ("for i in range(4):\n    lib.options.level = i", (3, [], {}, {})),
    "in a with block": (
        "import contextlib\nwith contextlib.suppress(KeyError):\n    lib.options.level = 3",
        (3, [], {}, {}),
    ),
    "in a function": ("def setup():\n    lib.options.level = 3\nsetup()", (3, [], {}, {})),
    "by another name": ("options.level = 4", (4, [], {}, {})),
    "an item": ("lib.size['big'] = 9", (0, [], {"big": 9}, {})),
    "in place": ("names.append('a')\nlib.names.extend('bc')", (0, ["a", "b", "c"], {}, {})),
    "an item of a mapping of its own": ("lib.params['a'] = 1", (0, [], {}, {"a": 1})),
    "an update of it": ("lib.params.update({'a': 1}, b=2)", (0, [], {}, {"a": 1, "b": 2})),
    "a configuring call": ("lib.use('x')", (0, ["x"], {}, {})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_library_is_found_wherever_it_stands(change, kernel, library):
    cell, expected = CHANGES[change]
    kernel.cells(cell)

    done = kernel.rank(LOOK)

    assert done.value == expected, done.err


UNCHANGED = {
    "a local of that name": "def f(lib):\n    lib.level = 3\nclass Own: level = 1\nf(Own)",
    "a function that never ran": "def f():\n    lib.options.level = 3",
    "a text": "'''\nlib.options.level = 3\n'''",
    "a call under a condition": "if len('') == 1:\n    lib.use('x')",
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_what_looks_like_a_change_and_is_none_changes_nothing(case, kernel, library):
    kernel.cells(UNCHANGED[case])

    assert kernel.rank(LOOK).value == (0, [], {}, {})


def test_the_level_of_a_logger_goes_along(kernel: KernelSide):
    kernel.cells("import logging\nlogging.getLogger('own.x').setLevel(logging.ERROR)")

    assert kernel.rank("logging.getLogger('own.x').level").value == logging.ERROR
    logging.getLogger("own.x").setLevel(logging.NOTSET)


SEEDS = {
    "random.seed(1)": True,
    "def seed_all(n):\n    random.seed(n)\nseed_all(1)": True,
    "def prepare(n):\n    random.seed(n)\nprepare(1)": True,
    "for _ in range(2):\n    random.seed(1)": True,
    "def prepare(n):\n    random.seed(n)": False,
    "rng = random.Random(4)": False,
    "'random.seed(1)'": False,
}


@pytest.mark.parametrize("cell", SEEDS)
def test_random_state_goes_along_if_a_cell_has_seeded(cell, kernel):
    kernel.cells("import random", cell)
    expected = random.getstate()

    state = kernel.rank("random.getstate()").value

    assert (state == expected) is SEEDS[cell]


def test_cells_are_looked_at_once_and_their_last_run_counts(kernel: KernelSide, tmp_path):
    cells = Cells(kernel.notebook)
    kernel.cells("import decimal", "decimal.getcontext().prec = 5", "n = 1")
    first = _collected(kernel, cells, tmp_path / "1", "n")
    kernel.cells("n = 2", "import logging\nlogging.getLogger('own.y').propagate = False")

    second = _collected(kernel, cells, tmp_path / "2", "n, logging")

    assert (first["n"], second["n"]) == ("Cell In[3]", "Cell In[4]")
    assert "logging.getLogger('own.y').propagate" in second
    logging.getLogger("own.y").propagate = True
    decimal.getcontext().prec = 28


def _collected(kernel: KernelSide, cells: Cells, folder, body: str) -> dict[str, str]:
    collector = Collector(kernel.cell(body), kernel.notebook, RunDir.create(folder), cells)
    collector.gather()
    return {item.name: item.label for item in collector.finish([]).items}


def test_values_keep_their_identity_whatever_was_dropped_between_them(kernel: KernelSide):
    kernel.cells(
        "shared = ['shared']\na = {'s': shared}\n"
        "def unsendable():\n    return wrong\nwrong = {'s': shared, 'open': (i for i in 'ab')}",
        "def later(x=shared):\n    return x is b['s']\nb = {'s': shared, 'f': later}\n"
        "c = [a, b, shared]",
    )

    done = kernel.rank(
        "def unused():\n    return unsendable()\n"
        "a['s'] is shared, b['s'] is shared, c[0] is a, c[1] is b, b['f'] is later, later()"
    )

    assert done.value == (True,) * 6, done.err


def test_what_a_value_needs_while_it_loads_comes_before_it(kernel: KernelSide):
    kernel.cells(
        "class Box:\n    def __init__(self, v):\n        self.v = v\n"
        "    def __reduce__(self):\n        return make, (self.v,)\n"
        "def make(v):\n    made.append(v)\n    return Box(v * scale[0])\n"
        "made, scale = [], [2]\nscale.append(made)\nbox = Box(3)"
    )

    done = kernel.rank("box.v, made, scale[1] is made")

    assert done.value == (6, [3], True), done.err


def test_a_model_that_is_evaluated_reaches_no_names_by_its_strings(kernel: KernelSide):
    kernel.cells(
        "class Model:\n    def eval(self):\n        return 'unrelated'\n"
        "model = Model()\nunrelated = ['not reached']"
    )

    definitions, _ = kernel.define("model.eval()\nprint('unrelated')")

    assert "unrelated" not in [item.name for item in definitions.items]


def test_names_that_a_body_looks_up_by_string_are_reached(kernel: KernelSide):
    kernel.cells("settings = [1]")

    for body in (
        "globals()['settings']",
        "import sys\ngetattr(sys.modules['__main__'], 'settings')",
        "import sys\nsys.modules[__name__].__dict__['settings']",
        "eval('settings')",
    ):
        assert kernel.rank(body).value == [1], body


def test_statements_know_what_configures():
    read = statements.read("np.seterr(all='raise')\nplt.show()\nlib.set_level(3)\nprint(1)\n")

    assert read is not None
    assert [(call.function, call.is_setting) for call in read.calls] == [
        ("np.seterr", True),
        ("plt.show", False),
        ("lib.set_level", True),
        ("print", False),
    ]
    assert How.CALL == "call"


def test_a_patch_of_what_the_users_own_module_uses_goes_along(kernel: KernelSide, monkeypatch):
    (kernel.folder / "own_depth.py").write_text("def ask():\n    return 'asked'\n")
    (kernel.folder / "own_between.py").write_text("import own_depth\n")
    (kernel.folder / "own_front.py").write_text(
        "import own_between\ndef answer():\n    return own_between.own_depth.ask()\n"
    )
    monkeypatch.syspath_prepend(str(kernel.folder))
    kernel.cells(
        "import own_front, own_depth\ndef fake():\n    return 'fake'\nown_depth.ask = fake"
    )

    assert kernel.rank("own_front.answer()").value == "fake"
    for name in ("own_depth", "own_between", "own_front"):
        del sys.modules[name]
