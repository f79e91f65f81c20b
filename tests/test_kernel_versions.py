"""What a run's panel can ask of each release of ipykernel, with subshells and without them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import kernels
from tests.kernels import LIGHT, VERSIONS, VIEW, Front, Panel, kernel

pytestmark = pytest.mark.kernel

PREPARE = "from tests.scripted_run import *\nimport ipykernel; ipykernel.__version__"
BLOCK = "play([started(), out('one\\n'), out('two'), Until({never!r})])"
STOP = {"t": "stop", "kill": False}
KILL = {"t": "stop", "kill": True}


@pytest.fixture(scope="module", params=VERSIONS, ids=[v or "newest" for v in VERSIONS])
def front(request):
    """A kernel of each release, which may run views but no workers."""
    with kernel(request.param) as made:
        front = Front(made)
        assert request.param in front.shown(front.run(PREPARE))
        front.version = request.param
        yield front


@pytest.fixture
def never(tmp_path: Path) -> str:
    return str(tmp_path / "never")


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a page reaches the kernel."""

    name: str
    where: str
    """Where a blocking cell hears of it: beside itself, or by the kernel's interrupt only."""
    oldest: str = ""

    def ask(self, front: Front, panel: Panel, content: dict[str, object]) -> None:
        if self.name == "control":
            panel.ask(content)
        elif self.name == "subshell":
            panel.ask_by_comm(content, front.kernel.subshell())
        else:
            panel.ask_by_comm(content)  # and, since nobody answers, as the page does:
            front.kernel.manager.interrupt_kernel()


WAYS = [
    Way(name="control", where="message"),
    Way(name="subshell", where="message", oldest="7"),
    Way(name="no subshell", where="interrupt"),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_stop_ends_a_cell_that_blocks_and_a_second_one_kills(front, never, way):
    if way.oldest and front.version and int(front.version.split(".")[0]) < int(way.oldest):
        pytest.skip(f"ipykernel {front.version} has no subshells")
    request = front.kernel.start(BLOCK.format(never=never))
    front.until(lambda: front.of(request, "display_data"))
    panel = front.panel()
    way.ask(front, panel, STOP)
    panel.until("stopping")
    assert not front.ended(request)
    way.ask(front, panel, KILL)
    front.until(lambda: front.ended(request))

    assert front.has(request, "execute_result")
    assert f"['{way.where}', '{way.where}']" in front.shown(request)
    kinds = {kind for data in front.outputs(request) for kind in data}
    assert kinds == {"text/html", "text/plain"}, "nothing of a widget is left"
    assert "run-3 stopped" in front.outputs(request)[0]["text/plain"]


def test_a_page_that_is_loaded_in_the_middle_gets_all_of_it_and_a_script_that_asks(front, never):
    request = front.kernel.start(BLOCK.format(never=never))
    front.until(lambda: len(front.of(request, "display_data")) == 3)
    record, live, script = front.outputs(request)
    panel = front.panel()
    assert panel.beside
    assert "text/html" in record
    assert VIEW in live
    assert "-revive" in script["text/html"]
    # the cell goes on meanwhile
    front.until(lambda: "two" in str([m.get("ranks") for m in panel.got()]))
    panel.ask({"t": "hello"})
    front.until(lambda: any(m.get("answer") for m in panel.got()))
    answer = next(m for m in panel.got() if m.get("answer"))

    assert [*answer["ranks"][0]["lines"], *answer["ranks"][0]["live"]] == ["one", "two"]
    panel.ask(STOP)
    panel.until("stopping")
    panel.ask(KILL)
    front.until(lambda: front.ended(request))
    panel.ask({"t": "record"})  # what was saved in the middle is stale by now
    front.until(lambda: any("record" in m for m in panel.got()))
    kept = next(m["record"] for m in panel.got() if "record" in m)
    assert kept == front.outputs(request)[0]


DRAW = """
import os, time, matplotlib.pyplot as plt
plt.plot([1, 2])
open({began!r}, "w").close()
while not os.path.exists({go!r}): time.sleep(0.01)
plt.title("drawn to its end")
print(plt.get_fignums())
"""


def test_what_a_page_asks_leaves_alone_what_a_cell_is_drawing(front, tmp_path):
    """IPython runs hooks around a comm's message: matplotlib's shows and closes all figures."""
    front.run(
        "from ddp_magic import views\nfrom ddp_magic.shell import Shell\n"
        "from tests.display import FakeControls\n"
        "view = views.make('widget', Shell(get_ipython()), FakeControls())\nview.handle(started())"
    )
    began, go = tmp_path / "began", tmp_path / "go"
    request = front.kernel.start(DRAW.format(began=str(began), go=str(go)))
    front.until(began.exists)
    panel = front.panel()
    panel.ask({"t": "stacks"})
    front.until(lambda: any("stacks" in m for m in panel.got()))
    go.touch()
    front.until(lambda: front.ended(request))

    assert "[1]" in front.shown(request)
    [figure] = front.of(request, "display_data")
    assert "image/png" in figure["data"]


WAIT = "import time\nwhile Out[2].status != 'stopped': time.sleep(0.01)"


@pytest.mark.workers
@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_a_background_run_shows_in_its_cell_whatever_runs_meanwhile(version, tmp_path):
    cell = f"""%%ddp --nproc 1 --background -o answer
import os, time
from IPython.display import HTML
print("it began")
display(HTML("<b>first</b>"))
handle = display("second", display_id=True)
open({str(tmp_path / "began")!r}, "w").close()
try:
    while not os.path.exists({str(tmp_path / "later")!r}): time.sleep(0.01)
    handle.update("updated")
    print("it went on")
    while True: time.sleep(0.01)
finally:
    answer = 42
"""
    with kernel(version) as made:
        front = Front(made)
        front.run(f"{LIGHT}import ddp_magic.origin as o; o._BEAT = 0.1")
        request = front.run(cell)
        front.until((tmp_path / "began").exists)
        later = front.run("print('later')")
        (tmp_path / "later").touch()
        front.until(lambda: "updated" in front.shown(request))
        panel = front.panel()
        busy = front.kernel.start(WAIT)
        panel.ask(STOP)
        front.until(lambda: "run-1 stopped" in front.shown(request))
        front.until(lambda: front.ended(busy))
        waited = front.run("Out[2].wait(), answer")
        outputs = front.outputs(request)

    assert outputs[-3]["text/html"] == "<b>first</b>"
    assert outputs[-2]["text/plain"] == "'updated'"
    assert "it went on" in outputs[0]["text/plain"]
    assert {k for data in outputs for k in data} == {"text/html", "text/plain"}
    assert front.shown(later) == "later\n"
    assert "('stopped', 42)" in front.shown(waited)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_a_release_that_is_missing_fails_in_ci_and_skips_elsewhere(ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)

    told = "bash tests/run installs what this needs into ipykernel-6"
    with pytest.raises(outcome.Exception, match=told):
        kernels.python_path("6.0.0")
