"""Runs a setup cell that does not stand in the module as it is; in every worker, and in its own.

Such a cell awaits at top level, or holds a key, which must not stand in readable text.
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

from ddp_magic.rundir import RunDir
from ddp_magic.worker import loop

__all__ = ["note", "run"]


def run(label: str, first_line: int, text: str) -> None:
    """Run a setup cell's text in the module that calls this."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    namespace: dict[str, Any] = frame.f_back.f_globals
    about = json.loads(RunDir(Path(namespace["__file__"]).parent).program.read_bytes())
    flags = about["flags"] | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (first_line - 1) + text, label, "exec", flags, dont_inherit=True)
    try:
        loop.run([code], namespace)
    except Exception as error:
        note(error, label)
        raise


def note(error: Exception, label: str) -> None:
    """Say below an error why a cell of the notebook has run at all."""
    error.add_note(f"{label} is a %%ddp_setup cell, which runs first in every worker.")
