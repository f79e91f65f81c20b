"""The kernel's side of collection for tests: a real shell, and fresh processes that run bodies."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ddp_magic import script
from ddp_magic.collect import Cell, Collector, Definitions
from ddp_magic.rundir import RunDir
from tests.case_ranks import Ranks
from tests.collect_adapter import FakeNotebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ddp_magic.collect import Reached
    from ddp_magic.overrides import Bound

__all__ = ["KernelSide", "empty_kernel", "end", "kernel"]

_ROOT = Path(__file__).parent.parent


class Rank:
    """What a body did in a fresh process."""

    def __init__(self, done: subprocess.CompletedProcess[str], value: Any) -> None:
        self.out = done.stdout
        self.err = done.stderr
        self.code = done.returncode
        self.value = value


def end(shell: InteractiveShell) -> None:
    """Have a shell end now as at the process's exit, when a thousand of them would take minutes."""
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()


class KernelSide:
    """Cells in a real shell, and what collection makes of them."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self.folder = folder
        self._ranks = ranks
        self._main = sys.modules["__main__"]
        config = Config()
        config.HistoryManager.hist_file = ":memory:"
        config.InteractiveShell.colors = "nocolor"
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance(config=config)
        self.notebook = FakeNotebook(self.shell)
        self._runs = 0

    def close(self) -> None:
        sys.modules["__main__"] = self._main
        end(self.shell)
        InteractiveShell.clear_instance()

    @property
    def space(self) -> dict[str, Any]:
        return self.shell.user_ns

    def cells(self, *texts: str) -> None:
        for text in texts:
            self.shell.run_cell(text, store_history=True).raise_error()

    def cell(self, body: str, first_line: int = 2) -> Cell:
        label = f"Cell In[{self.shell.execution_count}]"
        return Cell(label=label, body=body, first_line=first_line)

    def collector(self, body: str, first_line: int = 2) -> tuple[Collector, RunDir]:
        self._runs += 1
        run = RunDir.create(self.folder / f"run-{self._runs}")
        return Collector(self.cell(body, first_line), self.notebook, run), run

    def gather(self, body: str) -> Reached:
        return self.collector(body)[0].gather()

    def define(self, body: str, overrides: Sequence[Bound] = ()) -> tuple[Definitions, RunDir]:
        collector, run = self.collector(body)
        collector.gather()
        definitions = collector.finish(overrides)
        script.write(definitions, run, header=["a test"])
        return definitions, run

    def rank(
        self,
        body: str,
        overrides: Sequence[Bound] = (),
        *,
        script: str = "",
        meanwhile: Callable[[], object] = tuple,
    ) -> Rank:
        """Run a body in a fresh process; its value is read after `meanwhile` ran in here."""
        definitions, run = self.define(body, overrides)
        done = self._run(run, script)
        meanwhile()
        path = run.results / "value.pkl"
        value = None
        if path.exists():
            from ddp_magic import pickling

            value = pickling.load(path, definitions.receiver(self.space))
        return Rank(done, value)

    def _run(self, run: RunDir, script: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        if script:
            command = [sys.executable, "-c", script, str(run.path)]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False, env=env
            )
        out, err = run.logs / "out", run.logs / "err"
        job = {"run": run.path, "out": out, "err": err, "cwd": os.getcwd()}
        told = {name: str(path) for name, path in job.items()}
        code = self._ranks.run({**told, "env": env, "value": True})
        return subprocess.CompletedProcess([], code, out.read_text("utf-8"), err.read_text("utf-8"))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: Ranks) -> Iterator[KernelSide]:
    """A shell in an empty folder."""
    place = tmp_path / "notebook"
    place.mkdir()
    monkeypatch.chdir(place)
    made = KernelSide(tmp_path, ranks)
    yield made
    made.close()


@pytest.fixture(scope="module")
def empty_kernel(tmp_path_factory: pytest.TempPathFactory, ranks: Ranks) -> Iterator[KernelSide]:
    """A shell that a module's tests share; no test runs a cell in it."""
    made = KernelSide(tmp_path_factory.mktemp("empty"), ranks)
    yield made
    made.close()
