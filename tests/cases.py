"""Collection cases: a notebook's cells, a body, and what the body printed in a real shell.

A case is an object of a JSON file:

=================  ==============================================================================
``id``             its name; what stands before the first hyphen is its theme
``level``          basic, tricky or evil
``why``            what it is about
``cells``          texts, or ``{"src", "raises", "store_history"}``
``body``           what stands below the %%ddp line
``expect``         see below
``reference``      recorded: ``{"stdout", "error"}`` of cells and body in one real shell
``requires``       modules without which it is left out
``files``, ``env`` what lies in the working directory and the environment
``policy``         why something else than the shell's meaning is expected
=================  ==============================================================================

Expected is ``{"kind": "stdout"}``, what the shell printed, with ``also_ok``: or an error that
mentions the words of one list, or with ``stdout``: this instead, as a policy. Or it is
``{"kind": "error", "must_mention": [...], "any_of": [...]}``, with ``or_stdout``: or what the shell
printed, with ``refused``: before anything starts. ``forbid_in_artifacts`` and
``max_artifact_bytes`` hold for all that is written.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

__all__ = ["LEVELS", "Result", "Watch", "fault", "normal", "possible", "read", "run_cells", "shell"]

LEVELS = ("basic", "tricky", "evil")
_REFUSALS = ("CollectError", "UsageError")
"""What the collector raises, and what the magic makes of it: no traceback is shown."""


@dataclass(kw_only=True)
class Result:
    """What a case came to."""

    out: str = ""
    err: str = ""
    error: str | None = None
    """What the user is told; None where the body ran to its end."""
    broken: str | None = None
    """Why the case could not be tried at all."""
    again: int = 0
    """How often a cell that nothing needs ran a second time."""
    found: list[str] = field(default_factory=list)
    """Forbidden words in what was written."""
    most: int = 0
    """Bytes that were written."""
    sourced: list[str] = field(default_factory=list)
    """Functions and classes that went by source."""
    valued: dict[str, str] = field(default_factory=dict)
    """Those that went by value, and why."""
    cold: str | None = None
    """Why workers that waited were not used; empty where they were, None where none was to."""
    seconds: float = 0


def read(*paths: Path) -> list[dict[str, Any]]:
    """Return the cases of these files."""
    return [case for path in paths for case in json.loads(path.read_text("utf-8"))]


def possible(case: dict[str, Any]) -> bool:
    """Whether what a case requires is installed."""
    return all(importlib.util.find_spec(name) for name in case.get("requires", []))


def shell() -> InteractiveShell:
    """Make an in-process shell."""
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Plain"
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=config)
    made.run_cell("%autoawait asyncio", store_history=False, silent=True)
    return made


def run_cells(made: InteractiveShell, case: dict[str, Any], probe: Path) -> None:
    """Run a case's cells, then one that nothing needs and that counts its runs in a file."""
    for number, cell in enumerate(case["cells"], 1):
        about = {"src": cell} if isinstance(cell, str) else cell
        result = made.run_cell(about["src"], store_history=about.get("store_history", True))
        error = result.error_before_exec or result.error_in_exec
        raised = type(error).__name__ if error else None
        if raised != about.get("raises"):
            raise RuntimeError(f"cell {number} of {case['id']} raised {raised}: {error}")
    made.run_cell(f"_probe = __import__('io').open({str(probe)!r}, 'a'); _probe.write('x')")
    made.run_cell("_probe.close()", store_history=False)


def normal(text: str) -> str:
    """Drop what a terminal does not show, and the shell's Out line."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(line for line in lines if not line.startswith("Out[")).rstrip("\n")


def fault(case: dict[str, Any], result: Result) -> str:
    """Say what is wrong with a result; nothing if it is as expected."""
    if result.broken:
        return f"could not be tried: {result.broken}"
    if result.again:
        return "cells ran again"
    if result.found:
        return f"was written: {result.found}"
    if result.most > case.get("max_artifact_bytes", result.most):
        return f"{result.most} bytes were written"
    expected, told = case["expect"], f"{result.error or ''}\n{result.err}"
    right = expected.get("stdout", case["reference"]["stdout"])
    same = result.error is None and normal(result.out) == normal(right)
    if expected["kind"] == "stdout":
        allowed = [option["must_mention"] for option in expected.get("also_ok", [])]
        if same or any(_mentions_all(told, words) for words in allowed):
            return ""
        if result.error is not None:
            return f"failed: {told.strip()[-600:]}"
        return f"printed {result.out!r} instead of {right!r}"
    if same and expected.get("or_stdout"):
        return ""
    if result.error is None:
        return f"was not refused, but printed {result.out!r}"
    if expected.get("refused") and not result.error.startswith(_REFUSALS):
        return f"was tried: {told.strip()[-600:]}"
    any_of = expected.get("any_of")
    if not _mentions_all(told, expected["must_mention"]) or (
        any_of and not any(word.lower() in told.lower() for word in any_of)
    ):
        return f"does not mention {expected['must_mention']} and one of {any_of}: {told[-600:]}"
    return ""


def _mentions_all(text: str, words: Iterable[str]) -> bool:
    patterns = (
        rf"(?<!\w){re.escape(w)}(?!\w)" if w.isidentifier() else re.escape(w) for w in words
    )
    return all(re.search(pattern, text) for pattern in patterns)


class Watch(threading.Thread):
    """Looks at all that is written below a directory, what is soon removed too."""

    def __init__(self, root: Path, forbidden: Iterable[str] = ()) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._forbidden = [word.encode() for word in forbidden]
        self._known: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()
        self.most = 0
        self.found: set[str] = set()

    def run(self) -> None:
        while not self._over.wait(0.01):
            self.look()

    def look(self) -> None:
        """Look once."""
        paths = [Path(folder, name) for folder, _, names in os.walk(self._root) for name in names]
        self.most = max(self.most, sum(map(self._size, paths)))

    def stop(self) -> None:
        """Look for the last time."""
        self._over.set()
        if self.is_alive():
            self.join()
        self.look()

    def _size(self, path: Path) -> int:
        try:
            about = path.lstat()
            version = (about.st_size, about.st_mtime_ns)
            if self._forbidden and self._known.get(str(path)) != version and path.is_file():
                self._known[str(path)] = version
                data = path.read_bytes()
                self.found.update(word.decode() for word in self._forbidden if word in data)
        except OSError:
            return 0
        return about.st_size
