"""JSON of our own files; for all processes.

By coder objects, since people do replace `json.dumps` and `json.loads` in a notebook, before the
extension is loaded or after.
"""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any

__all__ = ["decoded", "encoded"]

_decoder, _encoder = JSONDecoder(), JSONEncoder()


def encoded(value: object) -> str:
    """Return a value as JSON, in ASCII."""
    return _encoder.encode(value)


def decoded(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Raises:
        ValueError: It is none.
    """
    return _decoder.decode(text if isinstance(text, str) else text.decode())
