"""Displays, figures and bars in ranks: fresh processes without torch, then real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

from ddp_magic.displays import FollowedDisplays
from ddp_magic.rundir import RunDir
from tests.kernels import LIGHT
from tests.notebook import Notebook
from tests.standby import keeper_of, no_more, start

if TYPE_CHECKING:
    from ddp_magic.events import Displayed

ROOT = Path(__file__).parent.parent
SETTINGS = {"builtin": True, "wide": True}
PROGRAM = """
import json, sys
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.worker.display import Displays
folder, rank, settings, before, body = sys.argv[1:]
exec(before)
displays = Displays(RunDir(Path(folder)), int(rank))
displays.begin(json.loads(settings))
exec(body)
displays.end()
"""


class Rank:
    """What a body did in a process of its own."""

    def __init__(self, folder: Path, body: str, *, rank: int = 0, before: str = "", **more: object):
        self.run = RunDir.create(folder / "run-1")
        env = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        done = subprocess.run(
            [
                sys.executable, "-c", PROGRAM, str(self.run.path), str(rank),
                json.dumps({**SETTINGS, **more}), before, body,
            ],
            capture_output=True, text=True, timeout=60, check=False,
            env={**env, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.out, self.err = done.stdout, done.stderr

    @property
    def displayed(self) -> list[Displayed]:
        return list(FollowedDisplays(self.run).read(whole=True))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_who_displays_nothing_imports_nothing_for_it(folder):
    done = Rank(folder, "import sys; print({'IPython', 'tqdm', 'traitlets'} & {*sys.modules})")

    assert done.out == "set()\n"
    assert not done.run.displays().exists()


def test_a_display_is_there_where_the_notebook_has_it(folder):
    body = "import builtins; print(hasattr(builtins, 'display'))"

    assert Rank(folder, body, builtin=False).out == "False\n"


MODULES = """
import sys, inspect, importlib, warnings
import IPython, IPython.core.interactiveshell as module
from IPython.core import display_functions
own = type(IPython.__spec__.loader)
told = [
    type(module.__loader__) is own, type(module.__spec__.loader) is own,
    "class InteractiveShell" in inspect.getsource(module),
    IPython.get_ipython() is None, module.InteractiveShell.initialized(),
    IPython.display.display is display_functions.display,
    display_functions.display.__module__,
]
"""


def test_the_libraries_look_as_they_do_without_us(folder):
    done = Rank(
        folder, MODULES + "display(1)\nprint(told)\nassert display is IPython.display.display"
    )

    assert done.out == ("[True, True, True, True, False, True, 'IPython.core.display_functions']\n")
    assert [event.data for event in done.displayed] == [{"text/plain": "1"}]


def test_a_shell_of_the_programs_own_displays_itself(folder):
    body = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "config = Config(); config.HistoryManager.hist_file = ':memory:'\n"
        "display('before')\nshell = InteractiveShell.instance(config=config)\n"
        "import IPython\nassert IPython.get_ipython() is shell\ndisplay('after')"
    )
    done = Rank(folder, body)

    assert done.out == "'after'\n"
    assert [event.data["text/plain"] for event in done.displayed] == ["'before'"]


EARLY = "import IPython.display, tqdm.notebook, matplotlib_inline.backend_inline, pandas"
SAME = """
import matplotlib.pyplot as plt, pandas, tqdm.notebook
display(pandas.DataFrame([[1] * 30]))
plt.plot([1, 2])
display(issubclass(tqdm.notebook.tqdm, tqdm.tqdm), tqdm.notebook.__file__)
"""


def test_what_a_waiting_worker_has_imported_makes_no_difference(tmp_path):
    (tmp_path / "cold").mkdir()
    (tmp_path / "warm").mkdir()
    cold, warm = Rank(tmp_path / "cold", SAME), Rank(tmp_path / "warm", SAME, before=EARLY)

    assert [e.data for e in cold.displayed] == [e.data for e in warm.displayed]
    assert [[*e.data] for e in cold.displayed][::3] == [
        ["text/plain", "text/html"], ["text/plain", "image/png"],
    ]  # fmt: skip
    assert "..." in cold.displayed[0].data["text/plain"]


OTHER = """
import matplotlib.pyplot as plt
from IPython.display import HTML, clear_output
handle = display(HTML("x"), display_id="a")
handle.update(1)
clear_output()
for n in range(3):
    plt.figure()
    plt.plot([1])
    plt.gcf().savefig = plt.gcf().canvas.print_figure = None  # nobody draws it
    plt.show()
    assert not plt.get_fignums()
plt.plot([1])
"""


def test_other_ranks_drop_figures_undrawn_and_print_the_rest(folder):
    done = Rank(folder, OTHER, rank=1)

    assert (done.out, done.err) == ("<IPython.core.display.HTML object>\n", "")
    assert not done.run.displays().exists()


def test_a_figure_that_fails_at_the_end_is_told_and_does_not_fail_the_run(folder):
    body = "import matplotlib.pyplot as plt\nplt.gca().set_title('$\\\\frac{$')\ndisplay('shown')"
    done = Rank(folder, body)

    assert "ParseFatalException" in done.err or "ValueError" in done.err
    assert done.displayed[0].data == {"text/plain": "'shown'"}


def test_the_notebooks_own_settings_hold(folder):
    figures = {"formats": ["svg"], "options": {"bbox_inches": None}, "interactive": False}
    body = (
        "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\nplt.plot([1])\ndisplay(1 / 3)"
    )
    done = Rank(folder, body, figures=figures, plain={"float_precision": "%.2f"})

    assert [[*event.data] for event in done.displayed] == [
        ["text/plain", "image/svg+xml"], ["text/plain"],
    ]  # fmt: skip
    assert done.displayed[-1].data == {"text/plain": "0.33"}
    (done.run.path.parent / "text").mkdir()
    done = Rank(done.run.path.parent / "text", body, types=["text/plain"])
    assert {tuple(event.data) for event in done.displayed} == {("text/plain",)}


BARS = """
import sys, warnings
warnings.simplefilter("error")
from tqdm.notebook import tqdm, trange, tqdm_notebook, tnrange
from tqdm.auto import tqdm as auto, trange as auto_range
from tqdm.autonotebook import tqdm as autonotebook
assert "ipywidgets" not in sys.modules
for make in (tqdm, tqdm_notebook, auto, autonotebook):
    for n in make(range(3), desc=make.__name__):
        pass
for n in trange(3, desc="range", ncols="100%", display=True, disable=None, colour="green"):
    pass
bar = tqdm(total=5, desc="by hand", leave=False)
bar.update(2)
bar.reset(total=4)
bar.display(bar_style="danger")
bar.close()
"""


def test_bars_of_notebooks_are_text(folder):
    done = Rank(folder, BARS)

    for name in ("tqdm_notebook", "tqdm_asyncio", "tqdm", "range"):
        assert f"{name}: 100%|" in done.err.replace("\x1b[32m", "")
    assert "by hand" in done.err
    assert done.out == ""


CELL = """\
%%ddp --nproc 2 {options}
import matplotlib.pyplot as plt
from IPython.display import Markdown
from tqdm.notebook import tqdm

print("before")
handle = display(Markdown("*first*"), display_id=True)
for n in tqdm(range(20)):
    handle.update(n)
outside.update("of another cell")
plt.plot([1, 2])
plt.show()
display(Table())
plt.plot([2, 1])
plt.get_backend()
"""
DEFINED = """\
class Table:
    def __repr__(self): return "Table"
    def _repr_html_(self): return "<table></table>"
from IPython.display import DisplayHandle
outside = DisplayHandle("of the notebook")
"""
SHOWN = [
    ("", ["text/markdown", "text/plain"]),
    ("update", ["text/plain"]),
    ("of the notebook", ["text/plain"]),
    ("", ["image/png", "text/plain"]),
    ("", ["text/html", "text/plain"]),
    ("", ["image/png", "text/plain"]),
]


@pytest.mark.workers
@pytest.mark.parametrize("way", ["cold", "warm"])
def test_a_cell_displays_what_rank_0_does(
    way: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, waiting: None
):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = Notebook(capfd)
    pages: list[tuple[str, list[str]]] = []
    told: list[str] = []

    def publish(data, metadata=None, *, transient=None, update=False, **_):
        name = (transient or {}).get("display_id", "")
        pages.append((("update" if len(name) == 32 else name) if update else "", sorted(data)))
        told.append(data["text/plain"])
        if pages[-2:-1] == pages[-1:] == [("update", ["text/plain"])]:
            del pages[-1], told[-2]  # a slow machine shows more of them

    notebook.shell.display_pub.publish = publish
    try:
        notebook.cells(DEFINED, "%ddp_config standby_workers=2")
        if way == "warm":
            no_more(start(notebook))
        shown = notebook.run_raw(CELL.format(options="--cold" if way == "cold" else ""))

        assert shown.error is None, shown.err
        assert pages == SHOWN
        assert told[1:3] == ["19", "'of another cell'"]
        assert shown.value == "module://matplotlib_inline.backend_inline"
        assert shown.out.startswith("before\n")
        assert "100%|" in shown.err
        if way == "warm":
            assert keeper_of(notebook.shell).why_cold == ""
    finally:
        notebook.close()


@pytest.mark.workers
@pytest.mark.kernel
def test_a_saved_notebook_holds_what_was_displayed():
    cells = [
        f"{LIGHT}{DEFINED}display('old', display_id='of the notebook')",
        CELL.format(options="--cold") + ";",
        (
            "%%ddp --nproc 1 --cold\nfrom IPython.display import clear_output\n"
            "for n in range(100):\n    clear_output(wait=True)\n    display(n, n + 1)"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120).execute()
    nbformat.validate(notebook)
    bundles = [
        [output.data for output in cell.outputs if output.output_type == "display_data"]
        for cell in notebook.cells
    ]

    assert bundles[0] == [{"text/plain": "'of another cell'"}]
    assert [sorted(data) for data in bundles[1][1:]] == [t for where, t in SHOWN[1:] if not where]
    assert bundles[1][0] == {"text/plain": "19"}
    assert bundles[2] == [{"text/plain": "99"}, {"text/plain": "100"}]
