"""Which values stand in the generated module as themselves; runs in the kernel."""

from __future__ import annotations

import math
from typing import Any

from ddp_magic.masking import Suspicion, is_key, looks_secret, suspicion

__all__ = ["is_literal"]

_LONGEST = 1000
_LARGEST_PLAIN = 999
"""What a number may be at most if its name says that it is a password."""


def is_literal(name: str, value: Any) -> bool:
    """Whether the value's repr may stand in the module: plain, short, and not a secret's."""
    kind = type(value)
    if kind is int:
        secret = value > _LARGEST_PLAIN and suspicion(name) is Suspicion.SURE
        return value.bit_length() < _LONGEST and not secret
    if kind is float:
        return math.isfinite(value)
    if kind in (str, bytes):
        text = value if kind is str else value.decode("latin-1")
        return len(value) < _LONGEST and not looks_secret(name) and not is_key(text)
    return value is None or kind is bool
