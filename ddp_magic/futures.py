"""The ``from __future__`` part of compiler flags; imported by kernel and workers."""

from __future__ import annotations
import __future__

__all__ = ["future_flags", "future_names"]

# nested_scopes and generators share their bits with what a code object is
_FLAGS = {
    name: getattr(__future__, name).compiler_flag
    for name in __future__.all_feature_names
    if getattr(__future__, name).compiler_flag > 0xFFF
}


def future_flags(flags: int) -> int:
    """Return the features among compiler or code flags."""
    return flags & sum(_FLAGS.values())


def future_names(flags: int) -> list[str]:
    """Return the names of the features."""
    return [name for name, flag in _FLAGS.items() if flags & flag]
