"""Every error that ddp_magic raises on purpose; imported by every process.

DdpError
├── UserError            refused before anything starts; shown as IPython's UsageError
│   ├── OptionError      the %%ddp line
│   ├── OverrideError    name=value on the line
│   ├── DeviceError      the GPUs that were asked for
│   ├── CollectError     something in the notebook that cannot reach the workers
│   └── PlaceError       the directory for the run's files
├── WorkerFailed         a worker failed: the root cause's traceback in notebook lines
├── RunStopped           the run was interrupted or timed out
└── LaunchFailed         the worker group could not be started or was lost

A message has two beats: what is wrong, in the notebook's terms, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CollectError",
    "DdpError",
    "DeviceError",
    "LaunchFailed",
    "OptionError",
    "OverrideError",
    "PlaceError",
    "RunStopped",
    "UserError",
    "WorkerFailed",
]


class DdpError(Exception):
    """The base of all errors that ddp_magic raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of our own frames (its documented hook)."""
        return str(self).splitlines()


class UserError(DdpError):
    """A mistake in what the user wrote; nothing was started and nothing was left behind."""


class OptionError(UserError):
    """An option of the %%ddp line is unknown, malformed or contradicts another."""


class OverrideError(UserError):
    """A name=value of the line has no target, several, or a value that does not fit."""


class DeviceError(UserError):
    """The GPUs that were asked for are not there, not free, or not usable."""


class CollectError(UserError):
    """Something that the cell uses cannot be sent to the workers."""


class PlaceError(UserError):
    """The run's private directory could not be made or written."""


class WorkerFailed(DdpError):
    """A worker failed; ``str()`` is the root cause's traceback in notebook lines.

    Attributes:
        rank: The rank that failed first by cause, not by clock.
        cause: One line, as ``ValueError: diverged`` or ``killed by SIGKILL``.
    """

    def __init__(self, text: str, *, rank: int | None, cause: str) -> None:
        super().__init__(text)
        self.rank = rank
        self.cause = cause


class RunStopped(DdpError):
    """The run was stopped by an interrupt, by Stop or by its timeout."""


class LaunchFailed(DdpError):
    """The worker group could not be started, or its processes were lost."""


def place_error(path: Path, error: OSError) -> PlaceError:
    """Return what the user should know of a file that could not be written."""
    return PlaceError(
        f"The run's private files cannot be written below {path}: {error.strerror or error}. "
        "Free some space there, or set TMPDIR to a directory that you can write and restart "
        "the kernel."
    )
