"""Runs in the kernel: what a platform other than Linux gets."""

from __future__ import annotations

__all__ = ["elsewhere"]


def elsewhere(platform: str) -> str:
    """Return that in one sentence, and nothing on Linux."""
    if platform == "linux":
        return ""
    if platform == "darwin":
        return "ddp_magic on macOS: workers run on the CPU; Linux is the tested platform.\n"
    return "ddp_magic does not run on this platform yet: it needs Linux (WSL will do).\n"
