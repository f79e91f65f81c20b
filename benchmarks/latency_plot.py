"""Draws where a %%ddp cell's time goes, from what `latency.py` found; matplotlib is all it needs.

python benchmarks/latency_plot.py RAW.json OUT.png
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

__all__ = ["draw", "segments"]

LABELS = {
    "entered": "reach the kernel",
    "parsed": "parse",
    "placed": "choose devices",
    "collected": "collect",
    "written": "write",
    "handed over": "hand over",
    "started": "program loaded",
    "imported": "import torch",
    "joined": "init_process_group",
    "reduced": "first all_reduce",
    "ended": "workers end",
    "loaded": "results",
    "done": "record",
    "replied": "cleanup, reply",
}
"""What each mark ends."""


def segments(samples: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return the parts of a run in their order, with seconds: between the marks' medians."""
    found = [sample["marks"] for sample in samples if "marks" in sample]
    names = [name for name in LABELS if found and all(name in marks for marks in found)]
    at = {name: statistics.median(marks[name] for marks in found) for name in names}
    parts: list[tuple[str, float]] = []
    before = 0.0
    for name in sorted(at, key=at.__getitem__):
        parts.append((LABELS[name], at[name] - before))
        before = at[name]
    return parts


def draw(ways: dict[str, list[tuple[str, float]]], path: Path) -> None:
    """Draw one bar a way and write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = dict(zip(LABELS.values(), plt.get_cmap("tab20").colors, strict=False))
    longest = max(sum(seconds for _, seconds in parts) for parts in ways.values())
    figure, axes = plt.subplots(figsize=(11, 1.9 + 0.9 * len(ways)), layout="constrained")
    seen: set[str] = set()
    for row, parts in enumerate(ways.values()):
        left = 0.0
        for label, seconds in parts:
            axes.barh(
                row, seconds, 0.6, left=left, color=colours[label], edgecolor="white",
                linewidth=0.5, label=None if label in seen else label,
            )  # fmt: skip
            if seconds > 0.03 * longest:
                axes.text(left + seconds / 2, row, f"{seconds:.2f}", ha="center", va="center")
            seen.add(label)
            left += seconds
        axes.text(left + 0.01 * longest, row, f"{left:.2f} s", va="center", weight="bold")
    axes.set_yticks(range(len(ways)), list(ways))
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.1)
    axes.set_xlabel("seconds since Enter; medians, 2 gloo workers")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=7, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def main(source: str, target: str) -> str | None:
    text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    read = json.loads(text)
    cells: dict[str, list[dict[str, Any]]] = read.get("cells", read)
    ways = {name: parts for name, found in cells.items() if (parts := segments(found))}
    if not ways:
        return "--plot needs runs of %%ddp: measure cells, warm or cold."
    try:
        draw(ways, Path(target))
    except ModuleNotFoundError as error:
        return f"--plot needs {error.name}: pip install it here, or let --peers be made."
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
