"""Runs in the kernel: how this notebook displays, for workers that are to do the same.

What it asks are IPython's and matplotlib's own objects, where they are there; it imports neither.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from ddp_magic.documents import encoded

__all__ = ["settings"]

_PLAIN = ("float_precision", "max_seq_length", "max_width", "pprint")
"""Traits of the text formatter that `%precision` and `%pprint` set, or a configuration file."""


def settings(formatter: Any, *, wide: bool) -> dict[str, Any]:
    """Return what JSON can hold of how a notebook displays.

    Args:
        formatter: The shell's display formatter.
        wide: Whether tables may be as wide as on a page.
    """
    plain = formatter.formatters["text/plain"]
    return {
        "builtin": hasattr(builtins, "display"),
        "types": list(formatter.active_types),
        "plain": {name: getattr(plain, name) for name in _PLAIN if hasattr(plain, name)},
        "wide": wide,
        "figures": _figures(formatter),
    }


def _figures(formatter: Any) -> dict[str, Any]:
    """Return how figures are shown: by the inline backend's settings, or by its formatters."""
    found: dict[str, Any] = {}
    config: Any = getattr(sys.modules.get("matplotlib_inline.config"), "InlineBackend", None)
    if config is not None and config.initialized():
        found["formats"] = sorted(config.instance().figure_formats)
        found["options"] = dict(config.instance().print_figure_kwargs)
        found["close"] = config.instance().close_figures
    if "matplotlib_inline.backend_inline" in sys.modules and "matplotlib" in sys.modules:
        matplotlib: Any = sys.modules["matplotlib"]
        found["interactive"] = matplotlib.is_interactive()
        found |= _registered(formatter, getattr(sys.modules.get("matplotlib.figure"), "Figure", 0))
    return {name: value for name, value in found.items() if _is_plain(value)}


def _registered(formatter: Any, figure: Any) -> dict[str, Any]:
    """Return what `set_matplotlib_formats` chose, which only the formatters know."""
    formats: list[str] = []
    options: dict[str, Any] = {}
    for each in formatter.formatters.values():
        printer = each.type_printers.get(figure)
        given = dict(getattr(printer, "keywords", None) or {})
        name = given.pop("fmt", "retina" if given else "")
        if name:
            formats.append(name)
            given.pop("base64", None)
            options = given
    return {"formats": sorted(formats), "options": options} if formats else {}


def _is_plain(value: object) -> bool:
    try:
        encoded(value)
    except (TypeError, ValueError):
        return False
    return True
