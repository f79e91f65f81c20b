"""Which of our notebooks need a training library, and where that is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FRAMEWORKS", "NOTEBOOKS"]

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
FRAMEWORKS = {
    "accelerate.ipynb": "frameworks",
    "huggingface.ipynb": "frameworks",
    "lightning.ipynb": "frameworks",
}
"""By name, the overlay (`tests.overlays`) that each runs with."""
