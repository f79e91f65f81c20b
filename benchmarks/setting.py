"""What the benchmarks share: the machine's description, a real kernel in a place of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.kernels import Kernel, kernel  # noqa: E402
from tests.notebook import until  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "command_line", "describe", "opened", "table", "until"]

_PACKAGES = ("ddp-magic", "torch", "ipython", "ipykernel", "psutil")


def describe() -> None:
    """Print versions and cores; the numbers below mean nothing without them."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    print(f"Python {platform.python_version()}, {versions}")
    system = f"{platform.system()} {platform.release()}"
    load = os.getloadavg()[0]
    print(f"{system}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} at the start\n")


@contextlib.contextmanager
def opened() -> Iterator[tuple[Kernel, Path]]:
    """Start a kernel with the extension, whose runs live in a new directory; yield both."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        place = Path(name) / "tmp"
        place.mkdir()
        os.environ["TMPDIR"] = str(place)
        try:
            with kernel() as made:
                made.run("%load_ext ddp_magic")
                yield made, place
        finally:
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before


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
