"""Cells of trainers' libraries in a real kernel that finds them, and the same cells as a script."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from tests.kernels import FORKED, kernel
from tests.overlays import overlay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernels import Kernel

__all__ = ["Cells", "cells", "script"]

BESIDE = "frameworks"
_QUIET = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Cells:
    """Cells one after the other."""

    def __init__(self, made: Kernel) -> None:
        self.kernel = made

    def run(self, *cells: str) -> str:
        """Run cells that must succeed; return all that they showed."""
        shown = ""
        for cell in cells:
            ended, text = self.kernel.run(textwrap.dedent(cell).strip("\n"))
            assert ended == "ok", text
            shown += text
        return shown

    def refused(self, cell: str) -> str:
        """Run a cell that must fail; return what it showed."""
        ended, text = self.kernel.run(textwrap.dedent(cell).strip("\n"))
        assert ended == "error", text
        return text

    def value(self, expression: str) -> Any:
        """Return what an expression is in the notebook, by way of JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))


@contextlib.contextmanager
def cells(folder: Path) -> Iterator[Cells]:
    """Start a kernel in a folder, with the extension loaded, whose ranks are forks."""
    with kernel(beside=BESIDE, DDP_MAGIC_STANDBY="0") as made:
        found = Cells(made)
        found.run(f"import os; os.chdir({str(folder)!r})", FORKED)
        yield found
        found.run("%unload_ext ddp_magic")


def script(folder: Path, *cells: str, workers: int = 2) -> subprocess.Popen[str]:
    """Start a program of the same cells, by plain torchrun; its last line is `told`, as JSON."""
    path = folder / "script.py"
    told = """
        import json, os, torch.distributed
        if os.environ["RANK"] == "0":
            print(json.dumps(told), flush=True)
        # the Trainer leaves its group, whose threads abort the interpreter's end now and then
        torch.distributed.destroy_process_group()
    """
    path.write_text("\n".join([*map(textwrap.dedent, [*cells, told])]), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    return subprocess.Popen(
        [sys.executable, *launcher, str(path)],
        cwd=folder,
        env={**os.environ, **_QUIET, "PYTHONPATH": overlay(BESIDE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
