"""What rank 0 displays, on its way from a worker's file into the notebook; the kernel's side."""

from __future__ import annotations

from ddp_magic.displays.followed import FollowedDisplays
from ddp_magic.displays.settings import settings

__all__ = ["FollowedDisplays", "settings"]
