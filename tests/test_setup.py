"""%%ddp_setup: a cell that runs here now and first in every rank."""

from __future__ import annotations

import json
import random
import types
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter

from ddp_magic.collect.setup import in_order, seeded
from ddp_magic.errors import CollectError, OptionError
from ddp_magic.options import Override
from ddp_magic.overrides import resolve
from tests.kernel_side import KernelSide, Rank, end, kernel
from tests.notebook import Notebook

__all__ = ["kernel"]

CONNECT = "%%ddp_setup\nimport sqlite3\nconn = sqlite3.connect(':memory:')"
MODULE = """
import sys
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import Program

run = RunDir(Path(sys.argv.pop()))
Program(run).define()  # as the rank does, then as a process does that it spawns
import runpy
again = runpy.run_path(str(run.main), run_name="__mp_main__")
print("again:", again["made"])
"""


def module(kernel: KernelSide, body: str) -> str:
    return kernel.define(body)[1].main.read_text()


def overridden(kernel: KernelSide, body: str, **values: str) -> Rank:
    reached = kernel.gather(body)
    bound = resolve(
        [Override(target=name, text=text) for name, text in values.items()],
        tree=reached.tree,
        reads=reached.names,
        stores=reached.stores,
        user_ns=kernel.space,
    )
    return kernel.rank(body, bound)


def test_what_a_setup_cell_binds_each_rank_makes_itself(kernel: KernelSide):
    kernel.cells(
        "path = ':memory:'",
        "%%ddp_setup\nimport sqlite3\nconn = sqlite3.connect(path)\nopened = open('log.txt', 'a')",
        "class Client:\n    def __init__(self, conn):\n        self.conn = conn\n"
        "client = Client(conn)\npool = {'a': [conn]}",
    )

    assert kernel.rank(
        "conn.execute('select 1').fetchone(), opened.name, client.conn is conn, "
        "pool['a'][0] is conn, type(conn) is sqlite3.Connection"
    ).value == ((1,), "log.txt", True, True, True)
    kernel.space["opened"].close()


def test_setup_cells_stand_first_with_what_they_need_and_in_their_own_words(kernel: KernelSide):
    kernel.cells(
        "import json, math\nname = 'a'\nlater = 1",
        "def connect(name):\n    return [name, math.pi]",
        "# why\n%%ddp_setup   # for the workers\nlink = connect(name)\n\ntext = '''\n  as it is'''",
        "def train():\n    return json.dumps([later, link, text])",
    )

    shown = module(kernel, "train()")
    _, after_begin = shown.split("begin()\n")
    line = "# Cell In[3], a %%ddp_setup cell: runs first in every worker and in what it spawns\n"
    before, after = after_begin.split(line)
    assert "import math" in before
    assert "name = 'a'" in before
    assert "def connect" in before
    assert "json" not in before
    assert "later" not in before
    assert after.startswith("link = connect(name)\n\ntext = '''\n  as it is'''\n\n")
    assert "import json" in after
    assert kernel.rank("train()").value == '[1, ["a", 3.141592653589793], "\\n  as it is"]'


def test_classes_and_functions_of_a_setup_cell_are_the_notebooks_on_both_sides(kernel: KernelSide):
    kernel.cells(
        "%%ddp_setup\nclass Point:\n    def __init__(self, x):\n        self.x = x\n"
        "def twice(n):\n    return 2 * n\norigin = Point(0)",
        "class Pixel(Point):\n    pass\nother = Point(1)\nbound = other.__init__",
    )

    rank = kernel.rank(
        "[isinstance(origin, Point), isinstance(other, Point), isinstance(Pixel(2), Point),"
        " bound.__self__ is other, Point(3), twice, Pixel, Point]"
    )

    *same, point, twice, pixel, cls = rank.value
    assert same == [True] * 4
    assert point.x == 3
    assert type(point) is cls is kernel.space["Point"]
    assert twice is kernel.space["twice"]
    assert pixel is kernel.space["Pixel"]
    assert "class Point" in module(kernel, "Point")
    assert module(kernel, "Point, Pixel, other").count("class Point") == 1


def test_what_the_notebook_has_bound_since_wins(kernel: KernelSide):
    kernel.cells(
        "def scale():\n    return 1",
        "%%ddp_setup\nlr = 0.1\nrates = [lr]\nbefore = scale()\nfor i in range(3): pass",
        "lr = 0.5\nrates = [9]\ndef before():\n    return 'a function'\ni += 1",
    )

    assert kernel.rank("lr, rates, before(), i").value == (0.5, [9], "a function", 3)


def test_what_was_needed_before_and_is_bound_again_keeps_its_last_value(kernel: KernelSide):
    kernel.cells(
        "shared = [1]\nboth = shared",
        "%%ddp_setup\nfirst = len(shared)",
        "%%ddp_setup\nshared = []",
        "shared = both",
    )

    assert kernel.rank("shared, both is shared, first").value == ([1], True, 1)


def test_a_name_that_the_notebook_deleted_is_still_made_in_the_rank(kernel: KernelSide):
    kernel.cells(CONNECT, "conn.close()\ndel conn")

    assert kernel.rank("conn.execute('select 2').fetchone()").value == (2,)


def test_a_setup_cell_may_change_what_the_notebook_holds(kernel: KernelSide):
    kernel.cells(
        "CONFIG = {'n': 1}\nhooks = []\nnames = {'a'}\nclass Store:\n    conn = None\n"
        "store = Store()\nput_there = []\ndef put(hook):\n    put_there.append(hook)",
        "%%ddp_setup\nimport sqlite3\nconn = sqlite3.connect(':memory:')\n"
        "CONFIG['conn'] = conn\ndef hook():\n    return 'hooked'\nhooks.append(hook)\n"
        "names.add('b')\nput(hook)\nStore.conn = sqlite3.connect(':memory:')\nstore.conn = conn",
        "CONFIG['n'] += 1\nsession = [Store.conn]",
    )

    assert kernel.rank(
        "CONFIG['conn'] is conn, CONFIG['n'], len(CONFIG), [h() for h in hooks], hooks[0] is hook,"
        " sorted(names), put_there == [hook], type(Store.conn).__name__, store.conn is conn,"
        " session[0] is Store.conn"
    ).value == (True, 2, 2, ["hooked"], True, ["a", "b"], True, "Connection", True, True)


@pytest.mark.parametrize("runs", [1, 2])
def test_a_name_that_the_cell_reads_and_binds_begins_as_it_did_here(kernel: KernelSide, runs: int):
    kernel.cells(
        "import sqlite3\nn = 5\nsecond = None\ndata = list(range(9))\ndef f():\n    return 1",
        *runs
        * [
            (
                "%%ddp_setup\nn += 1\n_f = f\ndef f():\n    return _f() + 1\n"
                "try:\n    first\nexcept NameError:\n    first = sqlite3.connect(':memory:')\n"
                "if second is None:\n    second = sqlite3.connect(':memory:')\n"
                "data = data[:2]"
            )
        ],
    )

    assert kernel.rank(
        "n, f(), *(c.execute('select 3').fetchone()[0] for c in (first, second)), data"
    ).value == (6, 2, 3, 3, [0, 1])


def test_setup_cells_run_in_the_order_of_their_first_run_and_of_their_needs(kernel: KernelSide):
    kernel.cells("%%ddp_setup\none = 1", "%%ddp_setup\ntwo = [one]", "%%ddp_setup\nthree = two")
    keys = list(kernel.notebook.setups)
    assert [s.number for s in in_order(keys)] == ["1", "2", "3"]

    # the first was edited and needs what a later one makes; the front-end names its cells
    kernel.notebook.setup_cells.manage("--clear")
    for number, text in enumerate(["a = 1", "b = 2", "c = 3", "a = b"]):
        cell_id = f"cell-{number % 3}"
        kernel.shell.run_cell(f"%%ddp_setup\n{text}", store_history=True, cell_id=cell_id)
    assert [s.cell.body for s in in_order(kernel.notebook.setups)] == [
        "b = 2\n",
        "a = b\n",
        "c = 3\n",
    ]

    kernel.notebook.setup_cells.manage("--clear")
    kernel.cells("x = y = 0", "%%ddp_setup\ndef f():\n    return y\nx = 1", "%%ddp_setup\ny = x\nx")
    assert [s.cell.body[0] for s in in_order(kernel.notebook.setups)] == ["d", "y"]


def test_a_cell_that_runs_again_replaces_what_it_was(kernel: KernelSide):
    run = kernel.shell.run_cell
    run("%%ddp_setup\na = 1", cell_id="one", store_history=True)
    run("%%ddp_setup\nb = 1", cell_id="two", store_history=True)
    run("%%ddp_setup\na = 2", cell_id="one", store_history=True)
    kept = [(s.cell.label, s.cell.body) for s in kernel.notebook.setups]
    assert kept == [("Cell In[3]", "a = 2\n"), ("Cell In[2]", "b = 1\n")]
    assert kernel.notebook.said == []

    run("a = 3", cell_id="one", store_history=True)  # its magic line was removed
    assert [s.cell.label for s in kernel.notebook.setups] == ["Cell In[2]"]

    kernel.cells("%%ddp_setup\nc = 1", "%%ddp_setup\nc = 1")  # a front-end without ids
    assert [s.cell.label for s in kernel.notebook.setups] == ["Cell In[2]", "Cell In[6]"]
    assert kernel.notebook.said == [
        (
            "%%ddp_setup: workers run Cell In[2] and Cell In[5] first. "
            "%ddp_setup --clear 2 drops one.\n"
        )
    ]


def test_a_setup_cell_sees_definitions_as_they_are_now(kernel: KernelSide):
    kernel.cells(
        "def make():\n    return 'old'",
        "%%ddp_setup\nmade = make()",
        "def make():\n    return 'new'",
    )

    assert kernel.rank("made").value == "new"


def test_a_cell_that_fails_is_not_kept_and_what_it_was_stays(kernel: KernelSide, capsys):
    run = kernel.shell.run_cell
    run("%%ddp_setup\n1/0", cell_id="one", store_history=True)
    assert kernel.notebook.setups == ()
    run("%%ddp_setup\na = 1", cell_id="one", store_history=True)
    run("%%ddp_setup\na = 2\n1/0", cell_id="one", store_history=True)
    run("%%ddp_setup\na = = 2", cell_id="one", store_history=True)

    assert [s.cell.body for s in kernel.notebook.setups] == ["a = 1\n"]
    run("%%ddp_setup\n!ls", cell_id="one", store_history=True)
    kept = (
        "%%ddp_setup: this version failed here and is not kept; workers go on running that of "
        "Cell In[2] first. %ddp_setup --clear 2 drops that.\n"
    )
    refused = kept.replace("failed here and is", "is")
    failed = (
        "%%ddp_setup: the cell failed here, so the workers do not run it. Mend it, run it again.\n"
    )
    assert kernel.notebook.said == [failed, kept, kept, refused]
    out = capsys.readouterr().out
    assert "Cell In[3], line 3" in out or "<ipython-input-3" in out
    assert kernel.rank("a").value == 2  # the notebook has bound it since


def test_reset_drops_them(kernel: KernelSide):
    kernel.cells("%%ddp_setup\na = 1", "%reset -f")

    assert kernel.notebook.setups == ()
    assert kernel.notebook.said == [
        "%%ddp_setup: %reset has dropped Cell In[1]. Run what the workers still need again.\n"
    ]
    kernel.cells("%%ddp_setup\nb = 1", "c = 1")
    assert len(kernel.notebook.setups) == 1


NOTHING = (
    "There is nothing to run below the %%ddp_setup line. "
    "Write there what each worker is to do before all else."
)
MAGIC = "is an IPython line, and workers are plain Python. Move it to a cell above this one."
REFUSED = {
    "empty": ("%%ddp_setup\n\n", NOTHING),
    "comment only": ("%%ddp_setup\n\n# later\n", NOTHING),
    "shell": ("%%ddp_setup\nx = 1\n!pip list", f"!pip list (line 3) {MAGIC}"),
    "magic": ("# a\n\n%%ddp_setup\n%matplotlib inline", f"%matplotlib inline (line 4) {MAGIC}"),
    "cell magic": ("%%ddp_setup\n%%time\nx = 1", f"%%time (line 2) {MAGIC}"),
    "nested": (
        "%%ddp_setup\n%%ddp --nproc 2\nx = 1",
        (
            "A %%ddp_setup cell cannot hold a %%ddp line (line 2: %%ddp --nproc 2). "
            "Give that a cell of its own."
        ),
    ),
    "future": (
        "%%ddp_setup\nfrom __future__ import annotations",
        (
            "from __future__ (line 2) holds for the whole session, and a setup cell for itself. "
            "Put it into a cell of its own above this one; it then holds in the workers too."
        ),
    ),
    "address": (
        "%%ddp_setup\nimport os\nos.environ['MASTER_ADDR'] = 'h'",
        (
            "The cell sets MASTER_ADDR (line 3), which the workers have got from their launcher. "
            "Remove that; init_process_group() then finds the other workers by itself."
        ),
    ),
    "group": (
        "%%ddp_setup\nimport torch.distributed as dist\ndist.init_process_group()",
        (
            "The cell calls init_process_group() in line 3, and it runs in the notebook too, which "
            "is in no group of workers. Call it in the %%ddp cell."
        ),
    ),
    "keyboard": (
        "%%ddp_setup\nkey = input()",
        (
            "The cell calls input() in line 2, and workers have no keyboard. "
            "Ask in a cell above this one and use the answer here."
        ),
    ),
    "option": (
        "%%ddp_setup --clear\nx = 1",
        (
            "%%ddp_setup takes nothing but a comment, and not '--clear'. "
            "Write the code below that line."
        ),
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, tuple[str, bool]]:
    """What the real magic says of each refused cell, and whether any of it ran."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "ddp_magic")
    found = {}
    for name, (cell, _) in REFUSED.items():
        result = shell.run_cell(cell)
        ran = "x" in shell.user_ns or "os" in shell.user_ns
        found[name] = (str(result.error_in_exec), ran)
    shell.run_line_magic("unload_ext", "ddp_magic")
    end(shell)
    InteractiveShell.clear_instance()
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_worker_can_run_is_refused_before_anything_runs(told, name: str):
    assert told[name] == (REFUSED[name][1], False)


def test_an_error_of_a_setup_cell_in_a_rank_names_its_line_and_says_why_it_ran(kernel: KernelSide):
    (kernel.folder / "gone").write_text("")
    kernel.cells(
        f"import os\nplace = {str(kernel.folder / 'gone')!r}",
        "# opens\n%%ddp_setup\ndef opened():\n    return open(place)\nfile = opened()",
    )
    (kernel.folder / "gone").unlink()

    rank = kernel.rank("file.read()")

    assert rank.code == 1
    assert 'File "Cell In[2]", line 5, in <module>' in rank.err
    assert 'File "Cell In[2]", line 4, in opened\n    return open(place)' in rank.err
    assert rank.err.endswith(
        "Cell In[2] is a %%ddp_setup cell, which runs first in every worker.\n"
    )
    kernel.space["file"].close()


def test_what_a_setup_cell_needs_and_cannot_be_sent_is_refused(kernel: KernelSide):
    kernel.cells("import sqlite3\nconn = sqlite3.connect(':memory:')", "%%ddp_setup\nc = conn")

    with pytest.raises(CollectError) as refused:
        kernel.gather("1")

    assert str(refused.value) == (
        "conn (assigned in Cell In[1]) is a database connection, which no worker can have. Open it "
        "inside the %%ddp cell.\n"
        "The setup cell Cell In[2] needs it, and runs first in every worker."
    )


def test_an_object_that_holds_what_the_cell_has_yet_to_make_is_refused(kernel: KernelSide):
    kernel.cells(
        "class Registry:\n    def __init__(self):\n        self.known = {}\n"
        "    def register(self, cls):\n        self.known[cls.__name__] = cls\n"
        "registry = Registry()",
        "%%ddp_setup\nclass Net: pass\nregistry.register(Net)",
    )

    with pytest.raises(CollectError) as refused:
        kernel.gather("registry")

    assert str(refused.value).startswith(
        "registry.known['Net'] (registry was assigned in Cell In[1]) is made by the setup cell "
        "that reads it, which no worker can have. Make both in that cell."
    )


def test_overrides_hold_in_setup_cells_and_behind_them(kernel: KernelSide):
    kernel.cells(
        "seed = 1\nwidth = 1\ndef half():\n    return width / 2",
        "%%ddp_setup\nlr = 0.1\nseeded = [seed]\nhalved = half()\nseed = seed + 1",
    )

    rank = overridden(kernel, "seed, seeded, lr, halved, width", seed="5", lr="0.3", width="4")

    assert rank.value == (5, [5], 0.3, 2.0, 4)


def test_an_override_that_only_a_setup_cell_reads_holds_there(kernel: KernelSide):
    kernel.cells("seed = 1", "%%ddp_setup\nimport random\nseeded = [seed]")

    assert overridden(kernel, "seeded", seed="7").value == [7]


def test_an_override_that_cannot_stand_in_two_places_is_refused(kernel: KernelSide):
    kernel.cells("sizes = [1]", "%%ddp_setup\ntotal = sum(sizes)")

    with pytest.raises(CollectError) as refused:
        overridden(kernel, "total, sizes", sizes="[1, 2]")

    assert str(refused.value) == (
        "sizes is read by the setup cell Cell In[2], for which the line can give a plain value "
        "only. Set sizes in a cell."
    )


@pytest.fixture
def generators():
    state = random.getstate()
    yield
    random.setstate(state)


ALL = {"random", "numpy", "torch"}
SEEDING = {
    "random": ("import random\nrandom.seed(0)", {"random"}),
    "numpy": ("import numpy as np\nnp.random.seed(0)", {"numpy"}),
    "a name of numpy's": ("from numpy.random import seed\nseed(0)", {"numpy"}),
    "torch, locally": ("def f():\n    import torch\n    torch.cuda.manual_seed(0)", {"torch"}),
    "a library": ("class L:\n    __module__ = 'lightning'\nL.seed_everything(0)", ALL),
    "its own generator": ("import random\nrng = random.Random()\nrng.seed(0)", set()),
    "its own function": ("def set_seed(n): pass\nset_seed(0)", set()),
    "nothing": ("import random\nrandom.random()\nseed = 3", set()),
}


@pytest.mark.parametrize("name", SEEDING)
def test_what_code_seeds_is_told_by_whose_it_is(name: str):
    text, expected = SEEDING[name]
    code = compile(text, "cell", "exec")
    space = {"__name__": "__main__"}
    if "torch" not in text and "lightning" not in text:
        exec(code, space)
    elif "lightning" in text:
        space["L"] = types.SimpleNamespace(__module__="lightning")

    assert seeded([code], space) == expected


def test_what_a_setup_cell_seeds_begins_there_and_the_rest_goes_on(kernel: KernelSide, generators):
    import numpy as np

    state = np.random.get_state()  # noqa: NPY002
    kernel.cells(
        "import random, numpy as np\nnp.random.seed(3)\nrandom.seed(3)",
        "%%ddp_setup\ndef seed_all():\n    random.seed(0)\nseed_all()",
        "drawn = random.random(), np.random.random()",
    )
    there = kernel.rank("random.random(), np.random.random()").value
    after = np.random.random()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002

    assert there == (kernel.space["drawn"][0], after)


def test_a_later_cell_that_seeds_again_wins(kernel: KernelSide, generators):
    kernel.cells("%%ddp_setup\nimport random\nrandom.seed(0)", "random.seed(8)")

    rank = kernel.rank("random.random()")

    assert rank.value == random.random()


def test_a_setup_cell_awaits_in_the_loop_of_the_body(kernel: KernelSide):
    kernel.cells(
        "import asyncio",
        "%%ddp_setup\nqueue = asyncio.Queue()\nloop = asyncio.get_running_loop()\n"
        "await queue.put('from the setup cell')\nticks = []\nasync def tick():\n"
        "    ticks.append(1)\ntask = asyncio.create_task(tick())",
    )
    body = "await task\nawait queue.get(), asyncio.get_running_loop() is loop, ticks, make()"
    kernel.cells("def make():\n    return 'made'")

    assert kernel.rank(body).value == ("from the setup cell", True, [1], "made")
    assert "#: await queue.put('from the setup cell')" in module(kernel, "1")


def test_a_key_in_a_setup_cell_is_not_written_where_it_can_be_read(kernel: KernelSide):
    key = "sk-abcd" + "1234efgh5678"
    kernel.cells(
        "said = []\ndef login(key):\n    said.append(len(key))",
        f"%%ddp_setup\nlogin(key='{key}')\nboom = lambda: 1 / 0",
    )

    _definitions, run = kernel.define("said")

    readable = [p for p in run.path.rglob("*") if p.is_file() and p != run.values]
    assert not [p for p in readable if key in p.read_text(errors="replace")]
    assert "#: login(key='***')" in run.main.read_text()
    rank = kernel.rank("print(said)\nboom()")
    assert rank.out == "[19]\n"
    assert 'File "Cell In[2]", line 3, in <lambda>\n    boom = lambda: 1 / 0' in rank.err
    assert key not in rank.err


def test_setup_cells_run_in_spawned_processes_too(kernel: KernelSide, monkeypatch):
    monkeypatch.setattr(json, "dumps", json.dumps)
    kernel.cells(
        "import json",
        "%%ddp_setup\njson.dumps = patched = lambda value: 'patched'\nmade = json.dumps(1)\n"
        "if __name__ == '__main__':\n    print('once')",
    )

    assert kernel.rank("1", script=MODULE).out == "once\nagain: patched\n"


def test_what_a_setup_cell_sets_in_libraries_is_set_by_it_and_by_nothing_else(kernel: KernelSide):
    (kernel.folder / "notebook" / "own_lib.py").write_text("A = B = C = 0\nopened = None\n")
    kernel.cells(
        f"import sys\nsys.path.insert(0, {str(kernel.folder / 'notebook')!r})\nimport own_lib",
        "own_lib.C = 1\nown_lib.A = 1",
        "%%ddp_setup\nimport sqlite3\nown_lib.opened = sqlite3.connect(':memory:')\n"
        "own_lib.A = 2\nseen = own_lib.C\n"
        "def patch():\n    own_lib.B = sqlite3.connect(':memory:')\npatch()",
        "own_lib.A = 3",
    )

    definitions, _ = kernel.define("own_lib.A")

    assert definitions.notes == ("The setup cell Cell In[3] runs first in every worker.",)
    assert kernel.rank(
        "own_lib.A, seen, type(own_lib.opened) is type(own_lib.B) is sqlite3.Connection"
    ).value == (3, 1, True)
    kernel.space["sys"].path.pop(0)


def test_setup_cells_are_listed_and_dropped(kernel: KernelSide):
    setups = kernel.notebook.setup_cells
    assert setups.manage("") == (
        "No setup cell is kept. One that begins with %%ddp_setup runs first in each rank.\n"
    )
    kernel.cells("%%ddp_setup\n\n# note\nx = 1", f"%%ddp_setup\nprint('{'long' * 20}')", "x = 2")

    assert setups.manage("") == (f"Cell In[1]: # note\nCell In[2]: print('{'long' * 13}…\n")
    with pytest.raises(OptionError) as refused:
        setups.manage("--clear 7")
    assert str(refused.value) == (
        "Cell In[7] is no setup cell that is kept. There is: Cell In[1] and Cell In[2]."
    )
    with pytest.raises(OptionError) as refused:
        setups.manage("--drop")
    assert "Write %ddp_setup to list the setup cells" in str(refused.value)
    assert setups.manage("--clear In[1]") == "Dropped: Cell In[1].\n"
    assert setups.manage("--clear") == "Dropped: Cell In[2].\n"
    assert setups.manage("--clear") == "Dropped: nothing, there was no setup cell.\n"


def test_below_another_cell_magic_it_is_kept_or_said_to_be_not(kernel: KernelSide):
    kernel.cells("%%capture\n%%ddp_setup\na = 1")
    assert [s.cell.body for s in kernel.notebook.setups] == ["a = 1\n"]

    kernel.cells("%%time\n%%ddp_setup\nb = 1")

    assert len(kernel.notebook.setups) == 1
    assert kernel.notebook.said == [
        "%%ddp_setup: write it as the cell's first line. The workers do not run this cell.\n"
    ]


def test_a_commented_magic_line_is_none(kernel: KernelSide):
    kernel.cells("#%%ddp_setup\na = 1", "# %%ddp_setup\na = 1")

    assert kernel.notebook.setups == ()


def test_a_ddp_cell_cannot_hold_a_setup_cell(kernel: KernelSide):
    with pytest.raises(CollectError) as refused:
        kernel.gather("%%ddp_setup\nx = 1")

    assert str(refused.value).startswith(
        "A %%ddp cell cannot hold another one (line 2: %%ddp_setup"
    )


def test_the_extension_takes_everything_back(notebook: Notebook):
    notebook.cells("%%ddp_setup\nx = 1\nx")
    assert notebook.shell.input_transformer_manager.check_complete("%%ddp_setup\nx = 1") == (
        "incomplete",
        0,
    )
    with provisionalcompleter():
        offered = [each.text for each in notebook.shell.Completer.completions("%%ddp_se", 8)]
    assert offered == ["%%ddp_setup"]
    notebook.run("%unload_ext ddp_magic")

    assert "not found" in notebook.run("%%ddp_setup\nx = 1").told
    notebook.run("%load_ext ddp_magic")
    assert notebook.run("%ddp_setup").out.startswith("No setup cell is kept.")


def test_here_it_is_an_ordinary_cell(notebook: Notebook):
    shown = notebook.run("# why\n%%ddp_setup\nimport asyncio\nawait asyncio.sleep(0)\n6 * 7")
    assert shown.value == 42
    assert "42" in shown.out

    shown = notebook.run("# why\n%%ddp_setup\n\nraise ValueError(1)")
    assert isinstance(shown.error, ValueError)
    assert "Cell In[2], line 4" in shown.out
    shown = notebook.run("%%ddp_setup\nx = = 1")
    assert isinstance(shown.error, SyntaxError)
    assert shown.error.lineno == 2


@pytest.mark.workers
@pytest.mark.usefixtures("light")
def test_ranks_run_setup_cells_and_what_they_spawn_does_too(notebook: Notebook, tmp_path: Path):
    notebook.ns["place"] = tmp_path
    notebook.cells(
        "import os, random\nhistory = []",
        """
        # each rank has its own
        %%ddp_setup
        import sqlite3
        rank = int(os.environ.get("RANK", 0))
        random.seed(rank)
        conn = sqlite3.connect(":memory:")
        class Result:
            def __init__(self, value):
                self.value = value
        def square(n):
            return n * n
        if __name__ == "__main__":
            print("ready", rank)
        random.random()
        """,
        "random.seed",
    )
    shown = notebook.run(
        """
        %%ddp --nproc 2 -o result --rank all
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            squares = pool.map(square, [2, 3])
        (place / str(rank)).write_text(str(random.random()))
        result = Result([*squares, conn.execute("select 7").fetchone()[0]])
        """
    )

    assert shown.error is None, shown.told
    for rank in (0, 1):
        own = random.Random(rank)
        own.random()
        assert float((tmp_path / str(rank)).read_text()) == own.random()
    result = notebook.ns["result"]
    assert type(result) is notebook.ns["Result"]
    assert result.value == [4, 9, 7]
    assert "The setup cell Cell In[2] runs first in every worker." in shown.err
    assert shown.out.count("ready 0") == shown.out.count("ready 1") == 1


@pytest.mark.workers
@pytest.mark.usefixtures("light")
def test_a_setup_cell_that_fails_in_one_rank_is_the_root_cause(notebook: Notebook):
    notebook.cells(
        "import os",
        "%%ddp_setup   # a note\n\nif os.environ.get('RANK') == '1':\n    1 / 0",
    )

    shown = notebook.run("%%ddp --nproc 2\nimport time\ntime.sleep(600)")

    assert shown.told.startswith("Rank 1 of 2 failed: ZeroDivisionError: division by zero")
    assert 'Cell In[2]", line 4' in shown.told or "Cell In[2], line 4" in shown.told
    assert "Cell In[2] is a %%ddp_setup cell, which runs first in every worker." in shown.told
    assert "ddp_magic/" not in shown.told
