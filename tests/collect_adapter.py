"""Collects a notebook and gives the command that runs the cell's body in a fresh process.

Tests call `collect`; a bench of collection cases can do so too, as
``--adapter tests/collect_adapter.py:collect``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic import script
from ddp_magic.collect import Cell, Collector, Definitions
from ddp_magic.collect.notebook import is_ipythons
from ddp_magic.rundir import RunDir
from ddp_magic.setups import Setups, attach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from ddp_magic.collect.setup import Setup

__all__ = ["WORKER", "FakeNotebook", "collect", "define"]

WORKER = """
import sys, traceback
from pathlib import Path
from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import Program

program = Program(RunDir(Path(sys.argv.pop())))
try:
    program.define()
    program.body()
except Exception:
    traceback.print_exc()  # the interpreter's own way reads files, not linecache, up to 3.12
    sys.exit(1)
"""


class FakeNotebook:
    """What collection asks of a shell, answered by a real one.

    Attributes:
        setup_cells: The %%ddp_setup cells.
        said: What these said.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.user_ns: dict[str, Any] = shell.user_ns
        self.setup_cells = Setups(self, shell.transform_cell, shell.user_ns_hidden)
        self.said: list[str] = []
        attach(self.setup_cells, shell)

    @property
    def setups(self) -> Sequence[Setup]:
        return self.setup_cells.kept

    def write(self, text: str, *, stderr: bool = False) -> None:  # noqa: ARG002
        self.said.append(text)

    @property
    def flags(self) -> int:
        return self._shell.compile.flags

    def transform(self, text: str) -> str:
        with self.setup_cells.aside():
            return self._shell.transform_cell(text)

    def label(self, filename: str) -> str | None:
        named = self._shell.compile.format_code_name(filename)
        return " ".join(named) if named else None

    def hidden(self, name: str) -> bool:
        return is_ipythons(name, self.user_ns, self._shell.user_ns_hidden)


def define(shell: InteractiveShell, body: str, run: RunDir) -> Definitions:
    """Collect a body that stands below one line of its cell, and write the run's files."""
    label = f"Cell In[{shell.execution_count}]"
    cell = Cell(label=label, body=body, first_line=2)
    collector = Collector(cell, FakeNotebook(shell), run)
    collector.gather()
    definitions = collector.finish([])
    script.write(definitions, run, header=[f"{label}: a test"])
    return definitions


def collect(shell: InteractiveShell, body: str, _case: Any, outdir: str) -> dict[str, Any]:
    """Return the command that runs the body in a fresh process (a bench's adapter)."""
    run = RunDir.create(Path(outdir) / "run-1")
    definitions = define(shell, body, run)
    notes = "".join(f"note: {note}\n" for note in definitions.notes)
    return {"cmd": [sys.executable, "-c", WORKER, str(run.path)], "notes": notes}
