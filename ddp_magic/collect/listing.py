"""The cells' lines that go along, for tracebacks and `inspect`; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.collect.definitions import How
from ddp_magic.collect.hiding import hide
from ddp_magic.collect.texts import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FunctionType

    from ddp_magic.collect.definitions import Item
    from ddp_magic.collect.notebook import Cell
    from ddp_magic.collect.texts import CellText, Texts

__all__ = ["Listing"]


class Listing:
    """Lines of what was collected, without keys, and no others.

    Attributes:
        texts: Lines by cell label and number.
        classes: Where the text of classes by value stands.
    """

    def __init__(self, texts: Texts, cell: Cell, body: str) -> None:
        self._texts = texts
        lines = hide(body).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        numbered = enumerate((line + "\n" for line in lines), cell.begins)
        self.texts: dict[str, dict[int, str]] = {cell.label: dict(numbered)}
        self.classes: dict[str, tuple[str, int, int]] = {}
        self._lines: dict[str, list[str]] = {}

    def add_sources(self, items: Iterable[Item]) -> None:
        """Add the lines of what went by source."""
        for item in items:
            if item.how is How.SOURCE:
                numbered = enumerate(item.text.splitlines(keepends=True), item.first_line)
                self.texts.setdefault(item.label, {}).update(numbered)

    def add_cells(self, cells: Iterable[Cell]) -> None:
        """Add all lines of setup cells."""
        for cell in cells:
            lines = hide(cell.body).splitlines(keepends=True)
            self.texts.setdefault(cell.label, {}).update(enumerate(lines, cell.first_line))

    def add_code(self, codes: Iterable[CodeType]) -> None:
        """Add the lines of functions."""
        for code in codes:
            cell = self._texts.cell(code.co_filename)
            if cell:
                self._add(cell, self._texts.span(code))

    def add_values(self, objects: Iterable[FunctionType | type]) -> None:
        """Add the lines of functions and classes that went by value."""
        for obj in objects:
            if not isinstance(obj, type):
                self.add_code([obj.__code__])
                continue
            found = self._texts.class_statement(obj)
            if found:
                cell, node = found
                first, last = first_line(node), node.end_lineno or node.lineno
                self._add(cell, range(first, last + 1))
                self.classes[obj.__qualname__] = (cell.label, first, last)

    def _add(self, cell: CellText, numbers: Iterable[int]) -> None:
        lines = self._lines.get(cell.text)
        if lines is None:
            lines = self._lines[cell.text] = hide(cell.text).splitlines(keepends=True)
        known = self.texts.setdefault(cell.label, {})
        known.update((number, lines[number - 1]) for number in numbers if number <= len(lines))
