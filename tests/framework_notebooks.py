"""Which of our notebooks need a training library, and where that is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FRAMEWORKS", "NOTEBOOKS"]

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
FRAMEWORKS = {
    "accelerate.ipynb": "frameworks",
    "huggingface.ipynb": "frameworks",
    "lightning.ipynb": "frameworks",
    "ultralytics.ipynb": "",
}
"""By name; what is told of each is the overlay (`tests.overlays`) that it runs with.

That of Ultralytics runs in `test_ultralytics_trainer`, in a kernel that is warm.
"""
