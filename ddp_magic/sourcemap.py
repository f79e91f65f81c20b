"""Lines of the generated module <-> lines of notebook cells.

Written by the kernel, read by every worker: a worker compiles each region of the module under its
cell's name, so that every traceback, warning and stack says ``Cell In[3], line 5`` by itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CELL", "COMMENT", "Region", "SourceMap"]

CELL = "Cell In["
"""Begins the name of every cell, in tracebacks and elsewhere."""

COMMENT = "#: "
"""Begins the module's lines of a class that went by value; a worker shows them without."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Lines of the module that are a cell's own text.

    Attributes:
        first: First line in the module, counted from 1.
        last: Last line in the module.
        label: The cell, as ``Cell In[3]``.
        cell_first: The cell's line that stands at `first`.
    """

    first: int
    last: int
    label: str
    cell_first: int

    @property
    def shift(self) -> int:
        """What to add to a line of the module to get the line of the cell."""
        return self.cell_first - self.first


@dataclass(frozen=True, kw_only=True)
class SourceMap:
    """Where the generated module's lines come from, and the cells' lines that may be shown.

    Attributes:
        module: The module's file name, without folder.
        regions: In the module's order.
        texts: Per label, the cell's lines by number; only lines of what was collected, so that a
            secret on another line of the cell never travels.
    """

    module: str
    regions: tuple[Region, ...]
    texts: dict[str, dict[int, str]]

    def region(self, line: int) -> Region | None:
        """Return the region that holds this line of the module."""
        return next((r for r in self.regions if r.first <= line <= r.last), None)

    def relabel(self, text: str) -> str:
        """Say cells instead of the module in a traceback's text, as a spawned child prints it."""

        def cell(match: re.Match[str]) -> str:
            line = int(match[1])
            region = self.region(line)
            return f'File "{region.label}", line {line + region.shift}' if region else match[0]

        return re.sub(rf'File "[^"\n]*{re.escape(self.module)}", line (\d+)', cell, text)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `script` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            module=raw["module"],
            regions=tuple(Region(**r) for r in raw["regions"]),
            texts={k: {int(n): t for n, t in v.items()} for k, v in raw["texts"].items()},
        )
