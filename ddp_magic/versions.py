"""Runs in the kernel: of what a run was made, for its record."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from ddp_magic import __version__
from ddp_magic.gpu.build import torch_version

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["versions"]


def versions() -> Mapping[str, str]:
    """Return the versions of what is there, by name."""
    found = {
        "ddp_magic": __version__,
        "Python": platform.python_version(),
        "torch": torch_version(),
    }
    return {name: version for name, version in found.items() if version}
