"""A rank's whole log, in pieces, for a page that downloads it; kernel only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ddp_magic.runpaths import RunPaths

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LIMIT", "PIECE", "pieces"]

LIMIT = 32 << 20
"""Bytes of a stream that are sent, the newest: a page has to hold them."""
PIECE = 1 << 20


def pieces(log_dir: str, rank: int) -> Iterator[bytes]:
    """Return what a rank wrote to stdout, then what it wrote to stderr, `PIECE` bytes at most each.

    What the cap of a log has removed is missing, and a line says where.
    """
    for stream in ("stdout", "stderr"):
        files = _files(Path(log_dir), rank, stream)
        left = sum(path.stat().st_size for path in files) - LIMIT
        for number, path in enumerate(files):
            if number == 0 and stream == "stderr":
                yield b"\n---- stderr ----\n"
            with open(path, "rb") as log:
                log.seek(max(0, left))
                left -= path.stat().st_size
                while piece := log.read(PIECE):
                    yield piece


def _files(logs: Path, rank: int, stream: str) -> list[Path]:
    """Return the files of a stream's log in their order; numbers may be missing between."""
    first = RunPaths(logs.parent).log(rank, stream)
    later = logs.glob(f"{first.stem}.*.log")
    found = sorted(later, key=lambda path: int(path.suffixes[-2][1:]))
    return [path for path in (first, *found) if path.is_file() and path.stat().st_size]
