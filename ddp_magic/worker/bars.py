"""What a worker imports as `tqdm.notebook`: bars of text.

A widget in a worker would stay at 0 %, since no page hears of its changes.
"""

from __future__ import annotations

from typing import Any

from tqdm import std

__all__ = ["tnrange", "tqdm", "tqdm_notebook", "trange"]

IProgress = None
"""What `tqdm.autonotebook` looks for before it takes our bars for widgets."""
WARN_NOIPYW = "A worker has no widgets: its bars are text."


_Bar: Any = std.tqdm


class tqdm_notebook(_Bar):  # noqa: N801 - its name there
    """The text bar, which takes what the widget takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("display", None)
        kwargs["disable"] = bool(kwargs.get("disable", False))
        if isinstance(kwargs.get("ncols"), str):  # of a page's width, as "100%"
            del kwargs["ncols"]
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None, **_: Any) -> None:
        """Draw the bar; without the widget's colours."""
        super().display(msg, pos)


def tnrange(*args: Any, **kwargs: Any) -> Any:
    """Return a bar over ``range(*args)``."""
    return tqdm_notebook(range(*args), **kwargs)


tqdm = tqdm_notebook
trange = tnrange
