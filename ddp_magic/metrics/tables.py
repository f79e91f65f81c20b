"""Runs in the kernel: tables that training programs print, a head and then rows."""

from __future__ import annotations

import re
from typing import NamedTuple

from ddp_magic.metrics.names import Kind, kind
from ddp_magic.metrics.pairs import NUMBER
from ddp_magic.metrics.places import Place

__all__ = ["Row", "Tables"]

_CELL = re.compile(rf"{NUMBER}%?")
_EPOCH = re.compile(r"(\d+)(?:/\d+)?")
_CLOTHES = str.maketrans("|│┃║(),", "       ")
_BOXED = re.compile(
    rf"\s*[|│┃║]\s*([A-Za-z_][\w./@ -]*?)\s*[|│┃║]\s*({NUMBER})\s*[|│┃║]\s*", re.ASCII
)


class Row(NamedTuple):
    """One row."""

    where: Place | None
    values: tuple[tuple[str, float], ...]


class Tables:
    """The heads that were seen on one stream, by their number of columns.

    A head is a line of words of which one is a metric's. A row has as many cells, numbers under
    all metrics, and begins with a counter, or with ``all`` where it sums up others.
    """

    def __init__(self) -> None:
        self._heads: dict[int, list[str]] = {}

    def read(self, text: str) -> Row | None:
        """Return a row's numbers; None where the text is no row, or a head."""
        if "=" in text or ": " in text:
            return None
        if boxed := _BOXED.fullmatch(text):
            known = kind(boxed[1]) is Kind.METRIC
            value = float(boxed[2].replace(",", ""))
            return Row(None, ((boxed[1], value),)) if known else None
        cells = text.translate(_CLOTHES).replace("Box ", "").split()
        if not 3 <= len(cells) <= 40:
            return None
        if head := self._heads.get(len(cells)):
            return self._row(head, cells)
        self._learn(cells)
        return None

    def _learn(self, cells: list[str]) -> None:
        words = not any(
            _CELL.fullmatch(c) or c.endswith((":", "=", ".")) or "=" in c for c in cells
        )
        metrics = [c for c in cells if kind(c) is Kind.METRIC]
        if (
            words
            and metrics
            and (len(metrics) > 1 or cells[0].lower() in ("epoch", "step", "iter"))
        ):
            self._heads[len(cells)] = cells

    def _row(self, head: list[str], cells: list[str]) -> Row | None:
        counted = _EPOCH.fullmatch(cells[0])
        if not counted and cells[0] != "all":
            self._learn(cells)
            return None
        values: list[tuple[str, float]] = []
        for name, cell in zip(head[1:], cells[1:], strict=True):
            said = kind(name)
            number = _CELL.fullmatch(cell)
            if said is Kind.METRIC and not number:
                return None
            if said is not Kind.NEVER and number:
                values.append((name, float(cell.rstrip("%").replace(",", ""))))
        return Row(Place("epoch", float(counted[1])) if counted else None, tuple(values))
