"""Runs in the kernel: of what a run was made, for its record."""

from __future__ import annotations

import contextlib
import functools
import platform
from importlib import metadata
from typing import TYPE_CHECKING

from ddp_magic import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["versions"]


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions; to look for a package that is not imported takes a while."""
    found = {"ddp_magic": __version__, "Python": platform.python_version()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["torch"] = metadata.version("torch")
    return found
