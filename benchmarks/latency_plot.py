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
    """Draw one bar a way, each on its own scale, and write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = dict(zip(LABELS.values(), plt.get_cmap("tab20").colors, strict=False))
    size = (11, 1.2 + 1.7 * len(ways))
    figure, rows = plt.subplots(len(ways), figsize=size, squeeze=False, layout="constrained")
    for axes, (name, parts) in zip(rows[:, 0], ways.items(), strict=True):
        _bar(axes, parts, colours)
        axes.set_title(f"{name}: {sum(seconds for _, seconds in parts):.2f} s", loc="left")
    rows[-1, 0].set_xlabel("seconds since Enter; medians, 2 gloo workers; each bar has its scale")
    used = [label for label in LABELS.values() if any(label in dict(p) for p in ways.values())]
    patches = [mpl.patches.Patch(color=colours[label], label=label) for label in used]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=7, frameon=False, fontsize="small"
    )
    figure.savefig(path, dpi=150)


def _bar(axes: Any, parts: list[tuple[str, float]], colours: dict[str, Any]) -> None:
    """Draw one way's bar, with the seconds where they have room."""
    whole = sum(seconds for _, seconds in parts)
    left = 0.0
    for label, seconds in parts:
        colour = colours[label]
        axes.barh(0, seconds, left=left, color=colour, edgecolor="white", linewidth=0.5)
        if seconds > 0.04 * whole:
            shown = f"{seconds:.3f}" if whole < 1 else f"{seconds:.2f}"
            axes.text(left + seconds / 2, 0, shown, ha="center", va="center", fontsize="small")
        left += seconds
    axes.set_xlim(0, whole)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


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
