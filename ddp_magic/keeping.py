"""Runs in the kernel: --keep, a copy of the run's module, values and logs for the user."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ddp_magic.errors import OptionError, PlaceError

if TYPE_CHECKING:
    from ddp_magic.options import Options
    from ddp_magic.rundir import RunDir

__all__ = ["check", "keep", "place"]

_KEPT = (
    "main.py",
    "body.py",
    "program.json",
    "sourcemap.json",
    "values.pkl",
    "blobs",
    "logs",
    "agent.log",
)


def place(line: Options, run: RunDir) -> Path | None:
    """Return where the copy goes: ``--keep DIR``, or ``ddp-run-3`` beside the notebook."""
    if line.keep is None:
        return None
    return Path(line.keep).expanduser() if line.keep else Path(f"ddp-{run.run_id}")


def check(line: Options, run: RunDir) -> None:
    """Refuse a place that is taken, before anything starts.

    Raises:
        OptionError: The directory exists and is not empty, or is a file.
    """
    target = place(line, run)
    if target is not None and target.exists() and not (target.is_dir() and _is_empty(target)):
        raise OptionError(
            f"--keep {target}: there is something already. Name a directory that does not exist, "
            "or an empty one."
        )


def keep(line: Options, run: RunDir, cwd: str = "") -> Path | None:
    """Copy what can be run again or read; return where, None without --keep.

    Args:
        line: The line.
        run: The run, which has ended.
        cwd: The notebook's working directory when the run began; it may be another by now.

    Raises:
        PlaceError: It could not be written.
    """
    target = place(line, run)
    if target is None:
        return None
    target = cwd / target
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _KEPT:
            source = run.path / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            elif source.exists():
                shutil.copy2(source, target / name)
    except OSError as error:
        raise PlaceError(
            f"--keep {target} could not be written: {error.strerror or error}. "
            "Name a directory with more room that you can write."
        ) from None
    return target


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None
