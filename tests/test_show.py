"""--show: what is told of each name, what goes along and what does not, and on what pages."""

from __future__ import annotations

import collections
import html
import os
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ddp_magic.collect.cells import Cells
from ddp_magic.overrides import Bound
from ddp_magic.showing.colours import code_html
from ddp_magic.showing.describe import describe, shares_memory
from ddp_magic.showing.inventory import Inventory, Row, take_inventory
from ddp_magic.showing.page import page
from ddp_magic.showing.past import recall
from ddp_magic.showing.sections import Section
from ddp_magic.showing.surroundings import Entry
from ddp_magic.showing.text import text
from tests.kernel_side import KernelSide, kernel
from tests.notebook import Notebook

__all__ = ["kernel"]


def inventory(kernel: KernelSide, body: str, *overrides: Bound) -> Inventory:
    definitions, run = kernel.define(body, overrides)
    cells = Cells(kernel.notebook)
    cells.update()
    ran = ((str(kernel.notebook.label(name)), cell) for name, cell in cells.all())
    past = recall(ran, kernel.notebook.transform)
    return take_inventory(definitions, run.main.read_text(), kernel.space, past, "a test")


def rows(shown: Inventory) -> dict[str, Row]:
    return {row.name: row for row in shown.rows}


def entries(shown: Inventory, title: str) -> list[Entry]:
    return [e for section in shown.sections if title in section.title for e in section.entries]


def test_the_table_says_where_from_how_and_why_not_by_source(kernel: KernelSide):
    kernel.cells(
        "import math\nfrom json import dumps",
        "n = 3\ndata = {'a': [1] * 1000}\nsame = data",
        "# f\ndef f():\n    return dumps(math.pi * n), data, same\n"
        "def timed(g): return staticmethod(g)\n"
        "@timed\ndef h(): return square(1)\n"
        "square = lambda x: x",
        "class Net: rate = 1\nnet = Net()",
        "class Net: rate = 2\nnew = Net()",
    )
    shown = inventory(kernel, "f(), h, net, new")
    told = rows(shown)

    values = ["data", "square", "net", "h", "new", "same"]
    first = next(iter(told))
    assert first in {"data", "same"}, "the largest is first"
    (other,) = {"data", "same"} - {first}
    assert sorted(list(told)[:6]) == sorted(values)
    assert list(told)[6:] == ["f", "Net", "n", "dumps", "math"]
    assert shown.summary.startswith("11 names: 2 imports, 2 by source, 1 literal, 6 by value (")
    assert told["math"] == Row(
        name="math", how="import", origin="Cell In[1]", what="import math", is_code=True
    )
    assert told["n"] == Row(name="n", how="literal", origin="Cell In[2]", what="3", is_code=True)
    assert told["f"] == Row(name="f", how="source", origin="Cell In[3], lines 2-3", what="function")
    assert told["Net"].origin == "Cell In[5], line 1"
    assert told[first].what == "dict, 1 item"
    assert told[other] == Row(
        name=other, how="value", origin="Cell In[2]", what=f"the same object as {first}"
    )
    assert (told["net"].what, told["new"].what) == ("an older Net", "Net of Cell In[5]")
    assert (told["square"].what, told["square"].why) == ("lambda", "a lambda is no def")


def test_state_overrides_and_what_is_left_out_are_listed(
    kernel: KernelSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    (tmp_path / "shelf.py").write_text("table = {}\n")
    kernel.cells(
        "import json, warnings, sys\nfrom json import decoder",
        "json.limit = 5\nwarnings.simplefilter('ignore')",
        "held = (i for i in [])\ndef quiet(): return held\nlr = 0.1",
        f"sys.path.append({str(tmp_path / 'mine')!r})\nsys.argv = ['train.py', '--fast']",
        "from shelf import table\ntable.setdefault('a', 1)\nimport random\nrandom.seed(0)",
    )
    lr = Bound(text="lr=0.5", target="lr", value=0.5, kind="global", name="lr")
    try:
        shown = inventory(kernel, "json, warnings, quiet, lr, table", lr)
    finally:
        del sys.modules["shelf"]
        kernel.cells("del json.limit; warnings.resetwarnings(); sys.path.pop()")
    along = entries(shown, "Goes along")

    assert entries(shown, "Overrides") == [Entry("lr=0.5 → lr")]
    assert rows(shown)["lr"].what == "0.1 (overridden)"
    assert Entry("warnings.simplefilter('ignore')", "as in Cell In[2]") in along
    limit = next(entry for entry in along if entry.lead == "json.limit")
    assert limit.text.startswith("set in Cell In[2]: the value that it has now (int, ")
    assert Entry(str(tmp_path / "mine"), "on sys.path") in along
    table = next(entry for entry in along if entry.lead == "table")
    assert table.text.startswith("imported and changed: its content as it is now (dict, ")
    assert any(text.startswith("the random generators of random") for _, text in along)
    assert [entry.lead for entry in along].count("sys.argv") == 1
    (held,) = entries(shown, "Left out")
    assert held.lead == "held"
    assert held.text.startswith("(assigned in Cell In[3]) is a generator expression, which no ")
    assert shown.summary.endswith("; 1 left out")
    assert not entries(shown, "Notes"), "what is left out is not told twice"


@dataclass(frozen=True)
class Called:
    id: str
    cell: str
    listed: bool


CALLS = [
    Called("a signal handler", "import signal\nsignal.signal(10, signal.SIG_DFL)", True),
    Called("of a library that is used", "np.setbufsize(8192)", True),
    Called("a setting that may not have been made", "if n: np.set_printoptions(2)", True),
    Called("a setting, which is repeated", "np.set_printoptions(precision=8)", False),
    Called("a seed, whose state goes along", "np.random.seed(0)", False),
    Called("a search path, which goes along", "import sys\nsys.path.remove(sys.path[-1])", False),
    Called("of a library that is not used", "import psutil\npsutil.Process()", False),
    Called("of the notebook's own object", "rows = []\nrows.append(1)", False),
    Called("of what only reads or writes", "np.save('x.npy', np.ones(1))", False),
    Called("a function of the notebook", "def f(): return n\nf()", False),
    Called(
        "a function of the notebook that configures",
        "def prepare():\n    np.seterr(all='warn')\nprepare()", True,
    ),
    Called("a print", "print(n)", False),
]  # fmt: skip


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case.id)
def test_calls_whose_effect_stays_in_the_notebook_are_listed(kernel: KernelSide, case: Called):
    before = list(sys.path)
    sys.path.append("x")
    kernel.cells("import numpy as np\nn = 1", case.cell)
    shown = inventory(kernel, "np.ones(n)")
    sys.path[:] = before
    last = case.cell.splitlines()[-1].removeprefix("if n: ")

    assert entries(shown, "not in the workers") == [Entry(last, "Cell In[2]")] * case.listed


class Shapeless:
    @property
    def shape(self):
        raise AssertionError("the user's code runs")

    def __len__(self):
        raise AssertionError("the user's code runs")


class Longer(list):
    def __len__(self):
        raise AssertionError("the user's code runs")


Shapeless.__module__ = Longer.__module__ = "__main__"

VALUES = [
    ([1, 2], "list, 2 items"),
    ({"a": 1}, "dict, 1 item"),
    ("x" * 1500, "str, 1,500 characters"),
    (b"", "bytes, 0 bytes"),
    (collections.Counter("aab"), "Counter of collections, 2 items"),
    (np.zeros((2, 3), np.float32), "ndarray float32 (2, 3)"),
    (np.float64(1), "float64 float64 ()"),
    (3.5, "float"),
    (None, "NoneType"),
    (len, "builtin_function_or_method"),
    (lambda: 0, "lambda"),
    (describe, "function"),
    (Path, "class"),
    ([].append, "builtin_function_or_method"),
    (Shapeless().__len__, "method of Shapeless of Cell In[1]"),
    (Path(), "PosixPath of pathlib"),
    (Shapeless(), "Shapeless of Cell In[1]"),
    (Longer([1]), "an older Longer, 1 item"),
]


@pytest.mark.parametrize(("value", "told"), VALUES, ids=[told for _, told in VALUES])
def test_a_value_is_described_without_running_the_users_code(value: Any, told: str):
    space = {"Longer": list}

    assert describe(value, space, {"Shapeless": "Cell In[1]"}) == told


def test_tensors_and_models_are_described():
    import torch

    model = torch.nn.Linear(100, 20)
    half = torch.zeros(3, 4, dtype=torch.float16)

    assert describe(half, {}, {}) == "Tensor float16 (3, 4)"
    assert describe(model.weight, {}, {}) == "Parameter float32 (20, 100)"
    assert describe(torch.zeros(1, device="meta"), {}, {}) == "Tensor float32 (1,) on meta"
    assert describe(model, {}, {}) == "Linear of torch, 2.02 k parameters"
    assert shares_memory(half, 23)
    assert not shares_memory(half, 24)
    assert not shares_memory(torch.zeros(1).expand(9), 4), "it has no more than these bytes"


EVIL = (
    "\x1b]0;x\x07\x1b[2J</pre></code></td><script>alert('$x$')</script>\u202e<img src=x onerror=y>"
)


def evil() -> Inventory:
    row = Row(name=EVIL, how=EVIL, size=EVIL, origin=EVIL, what=EVIL, why=EVIL)
    section = Section(title=EVIL, entries=(Entry(EVIL, EVIL),))
    return Inventory(
        title=EVIL,
        summary=EVIL,
        rows=(row,),
        sections=(section,),
        code=f"x = '''{EVIL}'''\n# {EVIL}",
    )


class Tags(HTMLParser):
    """Collects elements, and text that a page may typeset."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: set[str] = set()
        self.loose = ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.found.add(tag)
        assert {name for name, _ in attrs} <= {"class", "style", "open"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"code", "pre", "style"} & set(self.open):
            self.loose += data


def test_nothing_shown_is_markup_or_moves_a_terminal():
    parser = Tags()
    parser.feed(page(evil()))

    assert parser.open == []
    assert parser.found <= {
        *("div", "style", "b", "code", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "ul", "li", "pre", "span"),
    }
    assert "$" not in parser.loose, "pages typeset what stands between these"
    assert not re.search("[\x1b\x07\u202e]", page(evil()) + text(evil()))


def test_keys_are_shown_nowhere(kernel: KernelSide):
    key = "sk-1234567890abcdefghij"
    kernel.cells(
        f"API_KEY = {key!r}\ndef ask(token={key!r}):\n    return API_KEY  # {key}",
        f"import os\nname = {key!r}",
    )
    shown = inventory(kernel, f"ask(), name, {key!r}")

    assert key not in page(shown) + text(shown)
    assert rows(shown)["API_KEY"].what.startswith("str")


def test_a_long_module_is_folded_and_a_short_one_is_not():
    def folded(lines: int) -> bool:
        code = "x = 1\n" * lines
        shown = page(Inventory(title="", summary="", rows=(), sections=(), code=code))
        return "<details><summary>The module" in shown

    assert not folded(10)
    assert folded(300)


def test_colours_leave_the_text_as_it_is():
    code = 'def f(x: int = 1) -> str:  # why\n    @g\n    return f"{x!r}" + """\n\n  a"""\n\n\n'
    coloured = code_html(code)

    assert html.unescape(re.sub("<[^>]*>", "", coloured)) == code
    assert '<span class="k">def </span><span class="d">f</span>' in coloured
    assert '<span class="c"># why' in coloured


@dataclass
class Seen:
    """What a shell was asked to show."""

    data: list[dict[str, str]]


@pytest.fixture
def seen(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Let the notebook be one on a page."""
    found = Seen([])
    publish = lambda data, **_: found.data.append(data)  # noqa: E731
    monkeypatch.setattr(notebook.shell.display_pub, "publish", publish)
    return found


CELLS = ("import json\nn = 3\nbig = bytes(2_000_000)", "def f(): return json, n, big")


def everything(folder: Path) -> set[Path]:
    return {*folder.rglob("*"), *Path("/dev/shm").glob("ddp_magic*")}


def test_show_starts_nothing_leaves_nothing_and_changes_nothing(
    notebook: Notebook, nothing_left: Path
):
    notebook.cells(*CELLS)
    names, place = dict(notebook.ns), os.getcwd()
    files, processes = everything(nothing_left), psutil.Process().children()
    shown = notebook.run("%%ddp --show --nproc 2\nf()")
    new = notebook.ns.keys() - names.keys()

    assert shown.error is None
    assert "4 names: 1 import, 1 by source, 1 literal, 1 by value (2.0 MB)" in shown.out
    assert "\x1b" not in shown.out
    assert everything(nothing_left) == files
    assert psutil.Process().children() == processes
    assert os.getcwd() == place
    assert {name for name in new if not name.startswith("_")} == set()
    assert all(notebook.ns[name] is names[name] for name in ("json", "n", "big", "f"))
    assert "Nothing has run yet." in notebook.run("%ddp_status").out


def test_setup_cells_are_listed_and_not_told_twice(notebook: Notebook):
    notebook.cells("%%ddp_setup\nimport signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)")
    shown = notebook.run("%%ddp --show --nproc 1\n1")

    assert "Runs first in every worker (%%ddp_setup):\n  Cell In[1], lines 2-3\n" in shown.out
    assert "Called in the notebook" not in shown.out
    assert "Notes" not in shown.out


def test_a_refusal_leaves_nothing_either(notebook: Notebook, nothing_left: Path):
    notebook.cells("held = (i for i in [])")
    files = everything(nothing_left)
    shown = notebook.run("%%ddp --show\nnext(held)")

    assert "held (assigned in Cell In[1]) is a generator" in shown.told
    assert everything(nothing_left) == files


def test_a_page_gets_html_and_the_same_as_text(notebook: Notebook, seen: Seen):
    notebook.cells(*CELLS)
    shown = notebook.run("%%ddp --show --ui html\nf()")
    (data,) = seen.data

    assert shown.out == ""
    assert data.keys() == {"text/html", "text/plain"}
    assert "<table>" in data["text/html"]
    assert "%%ddp --show Cell In[3] would run on 2 workers on CPU; nothing" in data["text/plain"]
    assert len(data["text/html"]) < 12_000


@pytest.mark.parametrize("told", ["", "NO_COLOR"])
def test_a_terminal_gets_the_themes_colours_unless_told_not_to(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, told: str
):
    notebook.cells(*CELLS)
    notebook.shell.colors = "linux"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if told:
        monkeypatch.setenv(told, "1")
    shown = notebook.run("%%ddp --show\nf()")
    table, _, module = shown.out.partition("The module:")

    assert "\x1b[" not in table
    assert ("\x1b[" in module) is (told == "")
    assert "def f(): return json" in re.sub(r"\x1b\[[\d;]*m", "", module)
