"""What the record says in numbers: last values, a chart, and the most that the run took."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ddp_magic.views import escape
from ddp_magic.views.chart import Curve, chart, image, sparkline
from ddp_magic.wording import volume

if TYPE_CHECKING:
    from ddp_magic.metrics import Series
    from ddp_magic.views.picture import Picture

__all__ = ["chart_html", "devices", "lasts", "lines", "peaks"]

WIDTH, HEIGHT = 460, 130
POINTS = 80
"""Of a curve: the record is to stay small in the notebook's file."""
DRAWN = 3
"""Curves in one chart."""
DEVICES = 8
"""GPUs, and workers, that are told of."""
LINES = 6
"""Metrics that get a line of their own in text."""
_PART = re.compile(
    r"^(train(ing)?|val(id(ation)?)?|eval(uation)?|test|dev)[\s/_.-]+"
    r"|[\s/_.-]+(train(ing)?|val(id(ation)?)?|eval(uation)?|test|dev)$",
    re.IGNORECASE,
)


def lasts(picture: Picture) -> list[str]:
    """Return each metric with its last value."""
    return [f"{name} {series.shown}" for name, series in picture.curves.series.items()]


def lines(picture: Picture) -> list[str]:
    """Return a line of text for each of the first metrics, with its curve in blocks."""
    found: list[str] = []
    for name, series in list(picture.curves.series.items())[:LINES]:
        blocks = sparkline(series.y, 24) if len(series.y) > 1 else ""
        found.append(" ".join(filter(None, [escape.line(name, 40), blocks, series.shown])))
    return found


def chart_html(picture: Picture) -> str:
    """Return the first metric's chart as an image, with what belongs to it; empty without curves.

    That is what has the same name but for "train" and "val".
    """
    drawn = {name: s for name, s in picture.curves.series.items() if len(s.x) > 1}
    if not drawn:
        return ""
    first = next(iter(drawn))
    names = [name for name in drawn if _PART.sub("", name) == _PART.sub("", first)][:DRAWN]
    curves = [_curve(name, drawn[name]) for name in names]
    said = ", ".join(f"{escape.line(name, 40)} {drawn[name].shown}" for name in names)
    return image(chart(curves, width=WIDTH, height=HEIGHT), f"Chart: {said}")


def devices(picture: Picture) -> list[str]:
    """Return what each GPU and each worker takes now."""
    if picture.devices is None:
        return []
    gpus: list[str] = []
    for gpu in picture.devices.gpus[:DEVICES]:
        busy = "" if gpu.busy is None else f", {100 * gpu.busy:.0f} % busy"
        own = f", notebook {volume(gpu.kernel)}" if gpu.kernel else ""
        name = escape.line(gpu.label.partition(" ")[0], 20)
        gpus.append(f"{name} {volume(gpu.used)} of {volume(gpu.total)}{busy}{own}")
    workers = [
        f"rank {worker.rank} {worker.cpu:.1f} cores, {volume(worker.memory)}"
        for worker in picture.devices.workers[:DEVICES]
    ]
    return [*gpus, *workers]


def peaks(picture: Picture) -> dict[str, str]:
    """Return the most memory that each GPU and each worker held, in words."""
    gpus = list(picture.peaks.gpus.values())[:DEVICES]
    workers = list(picture.peaks.workers.values())[:DEVICES]
    return {
        escape.line(g.label.split(" ")[0], 20): f"{volume(g.used)} of {volume(g.total)}"
        for g in gpus
    } | {f"rank {w.rank}": volume(w.memory) for w in workers}


def _curve(name: str, series: Series) -> Curve:
    x, y = series.few(POINTS)
    return Curve(name=name, x=x, y=y)
