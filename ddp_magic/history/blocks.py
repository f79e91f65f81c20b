"""Runs in the kernel: what a page of the history consists of, drawn as HTML and as text.

Every text here is as a worker or a user wrote it: drawing is what escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ddp_magic.views.chart import Curve

__all__ = ["DIFF_LINES", "Block", "Cell", "Chart", "Code", "Diff", "Table", "Words"]


DIFF_LINES = 200
"""Lines of a diff that are drawn."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        style: How it looks; a final state has its colour.
        curve: Values that are drawn as a small curve, of which `text` tells in words.
    """

    text: str = ""
    style: str = ""
    curve: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; the first cell of each row is its head.

    Attributes:
        caption: What the table is of.
        heads: The columns' names.
        rows: As many cells each.
        right: Columns of numbers.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves of one metric over each other."""

    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class Code:
    """A Python text that can be folded."""

    title: str
    text: str
    opened: bool = False


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Lines of a unified diff."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Words:
    """A line of text."""

    text: str
    style: Literal["", "faint", "title", "code"] = ""


Block: TypeAlias = Table | Chart | Code | Diff | Words
