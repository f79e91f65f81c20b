"""Which bytes of memory a set of views needs; arithmetic on addresses, in kernel and workers.

Views that overlap must go on sharing memory where they arrive, so they travel in one extent, from
the first byte that one of them needs to the last. Others travel apart: of two rows of a big matrix
nothing between them goes along. A view whose elements lie far apart (one column) travels packed,
element behind element, unless something else needs the bytes between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ALIGN", "Extent", "View", "packed_strides", "plan", "start_of", "view"]

ALIGN = 16
"""Addresses keep their remainder by this, the largest alignment of an element (long double)."""
_SLACK = 1 << 20
"""Views are packed where they need less than a quarter of the bytes between them, minus this."""


class View(NamedTuple):
    """The memory that an array looks at, in a form that does not depend on its shape or type.

    Two arrays that look at the same bytes in the same order have equal views.
    """

    space: str
    """Empty for this process's memory; else names one storage on a device."""
    low: int
    """Address of the first byte."""
    run: int
    """How many bytes lie together."""
    dims: tuple[tuple[int, int], ...]
    """How often, and how far apart, the outermost first."""

    @property
    def high(self) -> int:
        """Address behind the last byte."""
        return self.low + self.run + sum((n - 1) * step for n, step in self.dims)

    @property
    def needed(self) -> int:
        """How many bytes it looks at."""
        return self.run * math.prod(n for n, _ in self.dims)

    @property
    def regular(self) -> bool:
        """Whether no two of its elements overlap, as those of a sliding window do."""
        inner = self.run
        for n, step in reversed(self.dims):
            if step < inner:
                return False
            inner += (n - 1) * step
        return True


def view(
    address: int, itemsize: int, shape: Sequence[int], strides: Sequence[int], space: str = ""
) -> View:
    """Return what an array looks at; it must have elements.

    Args:
        address: Of the element with index 0 everywhere.
        itemsize: Bytes of an element.
        shape: How many elements, per dimension.
        strides: How many bytes apart, per dimension; may be negative or 0.
        space: See `View`.
    """
    low, run = address - start_of(shape, strides), itemsize
    steps = ((abs(step), n) for n, step in zip(shape, strides, strict=True) if n > 1 and step)
    dims: list[tuple[int, int]] = []
    for step, n in sorted(steps):
        if step == run and not dims:
            run *= n
        elif dims and step == dims[-1][0] * dims[-1][1]:
            dims[-1] = (dims[-1][0] * n, dims[-1][1])
        else:
            dims.append((n, step))
    return View(space, low, run, tuple(reversed(dims)))


def start_of(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Return how far the element with index 0 lies behind the first byte."""
    return sum((1 - n) * step for n, step in zip(shape, strides, strict=True) if step < 0)


def packed_strides(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> list[int]:
    """Return the strides that an array has once the gaps between its elements are gone."""
    made = [0] * len(shape)
    step = itemsize
    for axis in sorted(range(len(shape)), key=lambda axis: abs(strides[axis])):
        if shape[axis] > 1 and strides[axis]:
            made[axis] = step if strides[axis] > 0 else -step
            step *= shape[axis]
    return made


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Bytes that travel together.

    Attributes:
        space: As in `View`.
        low: Address of the first byte.
        nbytes: How many, padding included.
        pad: Zero bytes in front, so that addresses keep their remainder by `ALIGN`.
        views: Where in the extent each view begins, by number.
        packed: The view that it holds without gaps; None where it holds memory as it is.
    """

    space: str
    low: int
    nbytes: int
    pad: int
    views: dict[int, int]
    packed: View | None = None


def plan(views: Mapping[int, View]) -> list[Extent]:
    """Return the extents that hold all views, each view in one of them."""
    extents: list[Extent] = []
    group: dict[int, View] = {}
    space, high = "", 0
    for number, one in sorted(views.items(), key=lambda item: (item[1].space, item[1].low)):
        if group and (one.space != space or one.low >= high):
            extents += _extents(group)
            group, high = {}, 0
        group[number] = one
        space, high = one.space, max(high, one.high)
    return extents + _extents(group) if group else extents


def _extents(group: dict[int, View]) -> list[Extent]:
    """Return one extent for views that overlap as wholes, or one each if no element does."""
    if len(group) == 1:  # and in one piece, as nearly all are
        ((number, one),) = group.items()
        if not one.dims:
            return [_whole(one.space, one.low, one.low + one.run, {number: one})]
    low = min(one.low for one in group.values())
    high = max(one.high for one in group.values())
    needed = sum(one.needed for one in group.values())
    if 4 * needed + _SLACK < high - low and _disjoint(group.values()):
        return [
            Extent(
                space=one.space,
                low=one.low,
                nbytes=one.needed,
                pad=0,
                views={number: 0},
                packed=one,
            )
            for number, one in group.items()
        ]
    (space,) = {one.space for one in group.values()}
    return [_whole(space, low, high, group)]


def _whole(space: str, low: int, high: int, group: dict[int, View]) -> Extent:
    pad = low % ALIGN
    offsets = {number: one.low - low + pad for number, one in group.items()}
    return Extent(space=space, low=low, nbytes=high - low + pad, pad=pad, views=offsets)


def _disjoint(views: Iterable[View]) -> bool:
    """Whether views surely share no byte: they lie side by side in every period of their steps."""
    found = list(views)
    period = math.gcd(*(step for one in found for _, step in one.dims))
    if not period or not all(one.regular for one in found):
        return False
    sides = sorted((one.low % period, one.run) for one in found)
    ends = [*(begin for begin, _ in sides[1:]), sides[0][0] + period]
    return all(begin + run <= end for (begin, run), end in zip(sides, ends, strict=True))
