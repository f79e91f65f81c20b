"""The cells' lines that go along, for tracebacks and `inspect`; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.collect.definitions import How
from ddp_magic.collect.texts import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FunctionType

    from ddp_magic.collect.definitions import Item
    from ddp_magic.collect.notebook import Cell
    from ddp_magic.collect.texts import Texts

__all__ = ["Listing"]


class Listing:
    """Lines of what was collected, and no others: a secret on another line stays here.

    Attributes:
        texts: Lines by cell label and number.
        classes: Where the text of classes by value stands.
    """

    def __init__(self, texts: Texts, cell: Cell, body: str) -> None:
        self._texts = texts
        lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        numbered = enumerate((line + "\n" for line in lines), cell.first_line)
        self.texts: dict[str, dict[int, str]] = {cell.label: dict(numbered)}
        self.classes: dict[str, tuple[str, int, int]] = {}

    def add_sources(self, items: Iterable[Item]) -> None:
        """Add the lines of what went by source."""
        for item in items:
            if item.how is How.SOURCE:
                numbered = enumerate(item.text.splitlines(keepends=True), item.first_line)
                self.texts.setdefault(item.label, {}).update(numbered)

    def add_code(self, codes: Iterable[CodeType]) -> None:
        """Add the lines of functions."""
        for code in codes:
            lines = self._texts.lines(code)
            if lines:
                self.texts.setdefault(self._texts.label(code.co_filename), {}).update(lines)

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
                lines = dict(enumerate(cell.lines[first - 1 : last], first))
                self.texts.setdefault(cell.label, {}).update(lines)
                self.classes[obj.__qualname__] = (cell.label, first, last)
