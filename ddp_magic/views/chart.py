"""Curves as a small SVG that stands in an ``<img>``, and as one line of text.

An inline svg is stripped where a notebook is not trusted; an image with a data URI is not. Inside
an image no style of the page holds and nobody knows its theme, so the colours are middle tones that
can be read on white and on black.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.views import escape
from ddp_magic.views.axis import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["COLOURS", "Curve", "chart", "image", "spark", "sparkline"]

COLOURS = ("#2b7de9", "#d9730d", "#2a9d4e", "#9a63e8", "#e0455f", "#21868f", "#a07d00", "#7a7f87")
INK = "#7a7f87"
POINTS = 150
"""Of a curve; more cannot be told apart and make the notebook large."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_HIGHEST, _LOWEST = 1e300, 1e-300
"""What is larger is drawn there, and what is smaller as 0: all arithmetic stays inside floats."""
_FONT, _GLYPH = 11, 6.3


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A named curve of a chart.

    Attributes:
        name: For the legend; anybody's text.
        x: Where its points are.
        y: Their values; those that are not finite are left out.
        ghost: Whether it is drawn faint and dashed, behind the others.
        colour: Its number in `COLOURS`; by its place if None.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    ghost: bool = False
    colour: int | None = None


class _Frame(NamedTuple):
    """The plot's four sides, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def chart(
    curves: Sequence[Curve],
    *,
    width: int = 560,
    height: int = 200,
    title: str = "",
    log: bool | None = None,
) -> str:
    """Return an SVG; empty where no curve has a point.

    Args:
        curves: What to draw; those before lie above those behind.
        width: In pixels.
        height: In pixels, of the plot with its axes; a legend of many lines adds to it.
        title: What the values are, as ``loss``; stands above.
        log: Whether values are drawn by their logarithm; where it helps if None.
    """
    drawn = [(curve, _points(curve)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if points]
    if not drawn:
        return ""
    ys = Axis([y for _, points in drawn for _, y in points], ticks=4, log=log)
    xs = Axis([x for _, points in drawn for x, _ in points], ticks=6, log=False)
    legend = _legend([curve for curve, _ in drawn], curves, title, width)
    top = 8 + 15 * len(legend)
    left = 10 + _GLYPH * max(len(label) for _, label in ys.ticks)
    right, bottom = width - 10, height - 20 + 15 * max(0, len(legend) - 1)
    frame = _Frame(left, top, right, bottom)
    parts = [
        f"{_begun(width, bottom + 20)[:-1]} font-family='sans-serif' font-size='{_FONT}'>",
        *("".join(row) for row in legend),
        *_axes(xs, ys, frame),
    ]
    for curve, points in reversed(drawn):
        placed = [(xs.at(x, left, right), ys.at(y, bottom, top)) for x, y in points]
        parts.append(_path(placed, _colour(curve, curves), ghost=curve.ghost))
    return "".join([*parts, "</svg>"])


def image(svg: str, alt: str, css: str = "") -> str:
    """Return an SVG as an HTML image, with what it shows in words."""
    data = base64.b64encode(svg.encode()).decode()
    style = f' style="{css}"' if css else ""
    source = f"data:image/svg+xml;base64,{data}"
    return f'<img src="{source}" alt="{escape.html(escape.line(alt))}"{style}>'


def spark(values: Sequence[float], *, width: int = 90, height: int = 18) -> str:
    """Return an SVG of one bare curve, of the size of a word; empty where nothing is finite."""
    y = _means([v for v in values if math.isfinite(v)], width // 3)
    if not y:
        return ""
    axis = Axis(y, ticks=2, log=None, tight=True)
    step = (width - 4) / max(1, len(y) - 1)
    placed = [(2 + step * at, axis.at(v, height - 2, 2)) for at, v in enumerate(y)]
    return f"{_begun(width, height)}{_path(placed, COLOURS[0], ghost=False)}</svg>"


def sparkline(values: Sequence[float], width: int = 16, beside: Sequence[float] = ()) -> str:
    """Return a curve as a line of blocks, `width` at most; empty where nothing is finite.

    Args:
        values: The curve.
        width: In characters.
        beside: All values of the curves that it is to be compared with.
    """
    y = _means([v for v in values if math.isfinite(v)], width)
    if not y:
        return ""
    all_of_them = _means([v for v in beside if math.isfinite(v)], len(beside))
    axis = Axis([*y, *all_of_them], ticks=2, log=None, tight=True)
    return "".join(_BLOCKS[round(axis.at(v, 0, len(_BLOCKS) - 1))] for v in y)


def _begun(width: int, height: int) -> str:
    size = f"width='{width}' height='{height}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {size}>"


def _points(curve: Curve) -> list[tuple[float, float]]:
    """Return the finite points, `POINTS` at most, each the mean of its neighbours."""
    both = zip(curve.x, curve.y, strict=False)
    finite = [(x, y) for x, y in both if math.isfinite(x) and math.isfinite(y)]
    x = _means([x for x, _ in finite], POINTS)
    return list(zip(x, _means([y for _, y in finite], POINTS), strict=True))


def _means(values: Sequence[float], limit: int) -> list[float]:
    """Return at most `limit` values, each the mean of equally many; the last is the last."""
    each = math.ceil(len(values) / limit) if limit else 1
    kept = [max(-_HIGHEST, min(_HIGHEST, v)) if abs(v) > _LOWEST else 0.0 for v in values]
    if each <= 1:
        return kept
    groups = (kept[at : at + each] for at in range(0, len(kept), each))
    means = [sum(v / len(group) for v in group) for group in groups]
    return [*means[:-1], kept[-1]]


def _colour(curve: Curve, curves: Sequence[Curve]) -> str:
    number = curves.index(curve) if curve.colour is None else curve.colour
    return COLOURS[number % len(COLOURS)]


def _path(points: Iterable[tuple[float, float]], colour: str, *, ghost: bool) -> str:
    """Return a line; in tenths of a pixel and relative, which takes the fewest characters."""
    whole = [(round(10 * x), round(10 * y)) for x, y in points]
    (x, y), *rest = whole
    moves: list[str] = []
    for next_x, next_y in rest:
        moves.append(f"{next_x - x} {next_y - y}".replace(" -", "-"))
        x, y = next_x, next_y
    line = "l" + " ".join(moves) if moves else "h0"  # of no length: a dot, by its round ends
    look = ' stroke-dasharray="50 40" opacity=".6"' if ghost else ""
    wide = 15 if rest else 50
    return (
        f'<path transform="scale(.1)" fill="none" stroke="{colour}" stroke-width="{wide}" '
        f'stroke-linejoin="round" stroke-linecap="round"{look} '
        f'd="M{whole[0][0]} {whole[0][1]}{line}"/>'
    )


def _axes(xs: Axis, ys: Axis, frame: _Frame) -> Iterable[str]:
    """Yield a line and a label for each tick."""
    left, top, right, bottom = frame
    grid = [f"M{left:.0f} {ys.at(v, bottom, top):.1f}H{right:.0f}" for v, _ in ys.ticks]
    yield f'<path fill="none" stroke="{INK}" opacity=".3" d="{"".join(grid)}"/>'
    yield f'<g fill="{INK}" text-anchor="end">'
    for value, label in ys.ticks:
        yield f'<text x="{left - 5:.0f}" y="{ys.at(value, bottom, top) + 4:.1f}">{label}</text>'
    yield f'</g><g fill="{INK}" text-anchor="middle">'
    for value, label in xs.ticks:
        yield f'<text x="{xs.at(value, left, right):.1f}" y="{bottom + 15:.0f}">{label}</text>'
    yield "</g>"


def _legend(
    drawn: Sequence[Curve], curves: Sequence[Curve], title: str, width: int
) -> list[list[str]]:
    """Return the lines above the plot: the title, then each curve's name beside its colour."""
    rows: list[list[str]] = [[]]
    at = 4.0
    if title:
        shown = escape.line(title, 40)
        rows[0].append(f'<text x="4" y="12" fill="{INK}" font-weight="bold">{_text(shown)}</text>')
        at += 7 * len(shown) + 16
    for curve in drawn if len(drawn) > 1 or not title else ():
        name = escape.line(curve.name, 32)
        if at + 24 + _GLYPH * len(name) > width and at > 4:
            rows.append([])
            at = 4.0
        y = 12 + 15 * (len(rows) - 1)
        colour, look = _colour(curve, curves), ' stroke-dasharray="4 3"' if curve.ghost else ""
        rows[-1].append(
            f'<path stroke="{colour}" stroke-width="2"{look} d="M{at:.0f} {y - 4}h14"/>'
            f'<text x="{at + 18:.0f}" y="{y}" fill="{INK}">{_text(name)}</text>'
        )
        at += 34 + _GLYPH * len(name)
    return rows if rows[0] else []


def _text(shown: str) -> str:
    return escape.html(shown)
