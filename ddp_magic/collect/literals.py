"""Which values stand in the generated module as themselves; runs in the kernel."""

from __future__ import annotations

import math
from typing import Any

from ddp_magic.masking import looks_secret

__all__ = ["is_literal"]

_LONGEST = 1000


def is_literal(name: str, value: Any) -> bool:
    """Whether the value's repr may stand in the module: plain, short, and not a secret's."""
    kind = type(value)
    if kind is int:
        return value.bit_length() < _LONGEST
    if kind is float:
        return math.isfinite(value)
    if kind in (str, bytes):
        return len(value) < _LONGEST and not looks_secret(name)
    return value is None or kind is bool
