"""Removing files as far as it goes; standard library only, imported by every process."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["listed", "remove_tree"]


def listed(path: Path) -> list[Path]:
    """Return what a directory holds; nothing where it cannot be read."""
    with contextlib.suppress(OSError):
        return list(path.iterdir())
    return []


def remove_tree(path: Path) -> None:
    """Remove a file or a whole directory, as far as it goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
