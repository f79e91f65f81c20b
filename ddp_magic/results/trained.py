"""What a library's trainer leaves, where its own method gives nothing; made in rank 0, read here.

Plain values only, so that the notebook needs nothing of the library to have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Trained"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The end of a training.

    Attributes:
        metrics: The last numbers, by name.
        best: Path of the best checkpoint; empty if there is no such file.
        last: Path of the last checkpoint; likewise.
        save_dir: Where the run has put its files.
        rows: The lines of its table of results, one for each epoch.
    """

    metrics: dict[str, float]
    best: str = ""
    last: str = ""
    save_dir: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __repr__(self) -> str:
        numbers = "".join(f"\n    {name} = {value:.5g}" for name, value in self.metrics.items())
        places = [("best", self.best), ("last", self.last), ("save_dir", self.save_dir)]
        told = "".join(f"\n{name}: {place}" for name, place in places if place)
        rows = f"\nrows: {len(self.rows)}, the last {self.rows[-1]}" if self.rows else ""
        return f"Trained\nmetrics:{numbers or ' none'}{told}{rows}"
