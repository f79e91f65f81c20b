"""What the benchmarks share: the machine's description, a real kernel in a place of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.kernels import Kernel, kernel  # noqa: E402
from tests.notebook import until  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ROOT",
    "command_line",
    "describe",
    "kernel",
    "opened",
    "placed",
    "table",
    "times",
    "torchrun",
    "until",
]

_PACKAGES = ("ddp-magic", "torch", "ipython", "ipykernel", "psutil")


def describe() -> None:
    """Print versions and cores; the numbers below mean nothing without them."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    print(f"Python {platform.python_version()}, {versions}")
    system = f"{platform.system()} {platform.release()}"
    load = os.getloadavg()[0]
    print(f"{system}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} at the start\n")


@contextlib.contextmanager
def placed() -> Iterator[Path]:
    """Make a new directory the place of temporary files; yield it."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        place = Path(name) / "tmp"
        place.mkdir()
        os.environ["TMPDIR"] = str(place)
        try:
            yield place
        finally:
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before


@contextlib.contextmanager
def opened() -> Iterator[tuple[Kernel, Path]]:
    """Start a kernel with the extension, whose runs live in a new directory; yield both."""
    with placed() as place, kernel() as made:
        made.run("%load_ext ddp_magic")
        yield made, place


def command_line(pid: int) -> str:
    """Return a process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns, the first row being the heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print()


def times(own: list[float], others: list[float]) -> tuple[str, ...]:
    """Return median and best, each with its ratio to the other's."""
    return tuple(
        f"{pick(own):.2f} ({pick(own) / pick(others):.2f})" for pick in (statistics.median, min)
    )


def torchrun(code: str, place: Path) -> tuple[float, bytes]:
    """Run a script on two workers with their output in a file; return seconds and output."""
    script, out = place / "script.py", place / "out"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    began = time.monotonic()
    with out.open("wb") as log:
        subprocess.run(
            [*command, str(script)],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return time.monotonic() - began, out.read_bytes()
