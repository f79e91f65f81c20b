"""A kernel with Ultralytics, which is installed beside everything else, and tiny data for it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.kernels import Kernel, kernel
from tests.overlays import ROOT, overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["detection", "done", "photographs", "python_path", "ultralytics_kernel", "value"]


def python_path(release: str) -> str:
    """Return the PYTHONPATH of a kernel with this release of Ultralytics."""
    beside = ROOT / "tests" / "vision"  # its sitecustomize.py, for torchvision beside a CPU torch
    return f"{beside}{os.pathsep}{overlay(f'ultralytics-{release}', 'vision')}"


@contextlib.contextmanager
def ultralytics_kernel(release: str, place: Path, **environment: str) -> Iterator[Kernel]:
    """Start a kernel that has this release, looks for nothing online and keeps to a directory."""
    settings = place / "settings"
    settings.mkdir(exist_ok=True)
    environ = {
        "PYTHONPATH": python_path(release),
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(settings),
        "PYTEST_CURRENT_TEST": None,  # or it puts what it writes beside its own tests
        **environment,
    }
    with kernel(**environ) as made:
        yield made


def detection(place: Path, images: int = 8) -> Path:
    """Write a data set with one bright square in each image; return its description."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (place / kind / part).mkdir(parents=True)
        for number in range(images):
            pixels = random.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            x, y = random.integers(2, 34, 2)
            pixels[y : y + 28, x : x + 28] = random.integers(180, 255, 3)
            Image.fromarray(pixels).save(place / "images" / part / f"{number}.png")
            box = (x + 14) / 64, (y + 14) / 64, 28 / 64, 28 / 64
            label = " ".join(["0", *(f"{side:.4f}" for side in box)])
            (place / "labels" / part / f"{number}.txt").write_text(label + "\n")
    data = place / "data.yaml"
    data.write_text(f"path: {place}\ntrain: images/train\nval: images/val\nnames: [square]\n")
    return data


def photographs(place: Path, images: int = 4) -> Path:
    """Write a data set of dark and bright images, as folders; return its place."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for name, low in [("bright", 160), ("dark", 0)]:
            folder = place / part / name
            folder.mkdir(parents=True)
            for number in range(images):
                pixels = random.integers(low, low + 90, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return place


def done(kernel: Kernel, *cells: str) -> str:
    """Run cells, which succeed; return all that they showed."""
    shown = ""
    for cell in cells:
        status, told = kernel.run(cell.strip("\n"))
        shown += told
        assert status == "ok", shown
    return shown


def value(kernel: Kernel, expression: str) -> Any:
    """Return a value of plain types, which the kernel prints."""
    text = done(kernel, f"import json\nprint('<<' + json.dumps({expression}, default=str) + '>>')")
    return json.loads(text.partition("<<")[2].partition(">>")[0])
