"""Runs in the kernel: what is remembered of one run, and its form in a file.

A file may be of another version of ours, or broken: whatever it holds becomes a `RunRecord` of
right types, or a ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from ddp_magic.documents import decoded, encoded

__all__ = ["Metric", "RunRecord"]

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of a run.

    Attributes:
        name: As the worker called it.
        x: Where the points are that are kept.
        y: Their values.
        last: The final value, which may be no finite one.
        low: The lowest value of the curve; NaN where none was finite.
        high: The highest.
        count: How many values came.
    """

    name: str
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    last: float = math.nan
    low: float = math.nan
    high: float = math.nan
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What is remembered of one run; everything secret is masked in it.

    Attributes:
        number: Counts up over all kernels of the user; 0 while it has none.
        name: By ``--name``, or empty.
        note: The line's comment, or empty.
        notebook: The notebook's path or name, where the environment tells it.
        cell: As ``Cell In[7]``.
        started: Seconds since the epoch.
        duration: Seconds.
        state: A final `RunState`.
        summary: One line on the root cause, or empty.
        devices: One for each rank.
        overrides: As the views show them: ``lr=0.05 → Trainer(lr)``.
        metrics: In the order in which they came.
        peaks: The most of anything that was sampled, in words, by what it is of.
        versions: Of ddp_magic, Python and torch.
        module: The generated module's text.
        body: The cell's.
        extras: What later versions add.
    """

    number: int = 0
    name: str = ""
    note: str = ""
    notebook: str = ""
    cell: str = ""
    started: float
    duration: float
    state: str
    summary: str = ""
    devices: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    peaks: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    module: str = ""
    body: str = ""
    extras: dict[str, Any] = field(default_factory=dict[str, Any])

    def written(self) -> tuple[bytes, bytes]:
        """Return the content of its file, whose name has the number, in two parts.

        The first has all that runs are chosen and sorted by, the second what takes room.
        """
        rest = {name: getattr(self, name) for name in ("module", "body")}
        rest["points"] = [(metric.x, metric.y) for metric in self.metrics]
        facts = {n: v for n, v in vars(self).items() if n != "number" and n not in rest}
        facts["metrics"] = [
            {n: v for n, v in vars(metric).items() if n not in ("x", "y")}
            for metric in self.metrics
        ]
        first = encoded(facts | {"format": _FORMAT}).removesuffix("}")
        return first.encode(), f", {encoded(rest)[1:]}".encode()

    @classmethod
    def read(cls, number: int, data: bytes) -> RunRecord:
        """Return what a file holds, or its first part.

        Raises:
            ValueError: It is no record.
        """
        try:
            return cls._of(number, decoded(data if data.endswith(b"}") else data + b"}"))
        except (TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
            raise ValueError(f"no record: {error}") from None

    @classmethod
    def _of(cls, number: int, found: dict[str, Any]) -> RunRecord:
        words = {
            name: str(found.get(name, ""))
            for name in ("name", "note", "notebook", "cell", "summary", "module", "body")
        }
        return cls(
            number=number,
            started=_finite(found["started"]),
            duration=_finite(found["duration"]),
            state=str(found["state"]),
            devices=_texts(found.get("devices", ())),
            overrides=_texts(found.get("overrides", ())),
            metrics=_metrics(found),
            peaks=_table(found.get("peaks", {})),
            versions=_table(found.get("versions", {})),
            extras=dict(found.get("extras", {})),
            **words,
        )

    def metric(self, name: str) -> Metric | None:
        """Return a metric by its name."""
        return next((each for each in self.metrics if each.name == name), None)


def _metrics(found: dict[str, Any]) -> tuple[Metric, ...]:
    metrics = found.get("metrics", ())
    # in format 1 each had its own
    points = found.get("points") or [(m.get("x", ()), m.get("y", ())) for m in metrics]
    both: Any = zip_longest(metrics, points[: len(metrics)], fillvalue=((), ()))
    return tuple(_metric(metric, at) for metric, at in both)


def _metric(found: dict[str, Any], points: Any) -> Metric:
    x, y = (tuple(map(float, axis)) for axis in points)
    return Metric(
        name=str(found["name"]),
        x=x[: len(y)],
        y=y[: len(x)],
        **{key: float(found.get(key, math.nan)) for key in ("last", "low", "high")},
        count=int(found.get("count", 0)),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, (list, tuple)):
        raise TypeError("no list")
    return tuple(map(str, found))


def _table(found: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()}
