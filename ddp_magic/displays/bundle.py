"""Runs in the kernel: what may pass of a mime bundle that came from a worker.

It is what the notebook's own code displays, so its HTML and its scripts are trusted as those of any
cell. But it came through a file, and a notebook must stay valid: each mime type has the data that
the notebook format allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["Bundle", "bundle"]

_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)
_JSON = re.compile(r"application/(json|.*\+json)")
_WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What may be published.

    Attributes:
        data: By mime type.
        metadata: Beside it.
        widget: Whether a widget was taken out, whose other end is not in the kernel.
    """

    data: dict[str, Any]
    metadata: dict[str, Any]
    widget: bool


def bundle(data: object, metadata: object) -> Bundle:
    """Return what may be published.

    Raises:
        TypeError: It is no bundle.
    """
    if not isinstance(data, dict) or not isinstance(metadata, dict):
        raise TypeError("no mime bundle")
    given = cast("dict[str, Any]", data)
    passed = {name: _clean(value) for name, value in given.items() if _is_allowed(name, value)}
    widget = passed.pop(_WIDGET, None) is not None
    return Bundle(data=passed, metadata=_clean(metadata), widget=widget)


def _is_allowed(name: str, value: object) -> bool:
    if not _TYPE.fullmatch(name):
        return False
    if _JSON.fullmatch(name):
        return True
    lines = cast("list[object]", value) if isinstance(value, list) else [value]
    return all(isinstance(line, str) for line in lines)


def _clean(value: Any) -> Any:
    """Return a value without lone surrogates, which no page's JSON can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_clean(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in cast("dict[str, Any]", value).items()}
    return value
