"""What an object's own attributes are, whatever its class answers; in kernel and workers."""

from __future__ import annotations

from typing import Any

__all__ = ["own_dict"]


def own_dict(obj: Any) -> dict[str, Any]:
    """Return the dict of an object's attributes, past what its class does when it is asked.

    A ``__getattribute__`` or ``__getattr__`` of the user's may run code, or recurse for ever where
    an object is not filled yet.

    Raises:
        AttributeError: It has none.
    """
    return object.__getattribute__(obj, "__dict__")
