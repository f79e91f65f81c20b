"""What torch's launcher gives each worker in its environment; in kernel and workers."""

from __future__ import annotations

import re

__all__ = ["is_launchers"]

_GIVEN = re.compile(
    r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
)


def is_launchers(name: object) -> bool:
    """Whether a variable is one of these; a process without them is one of its own to libraries."""
    return isinstance(name, str) and _GIVEN.fullmatch(name) is not None
