"""`ddp_magic.log`: in a worker it reports numbers, in the notebook it does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["log", "report_to"]

_report: Callable[[float | None, dict[str, Any]], None] | None = None
"""What `log` does; a worker sets it."""


def log(
    metrics: Mapping[str, Any] | None = None, /, *, step: float | None = None, **more: Any
) -> None:
    """Report numbers to the panel, the record and the run history: ``log(step=i, loss=loss)``.

    Does nothing outside of a worker, so that the same code runs in the notebook.

    Args:
        metrics: Numbers by name, where a name is no Python identifier (``{"val/loss": 0.1}``).
        step: What the curves are drawn over; the number of the call where it is None.
        more: Numbers by name; what has one element, as a tensor, counts as its number.

    Raises:
        TypeError: A value, or the step, is no number.
    """
    if _report is not None:
        _report(step, {**(metrics or {}), **more})


def report_to(report: Callable[[float | None, dict[str, Any]], None]) -> None:
    """Have `log` call this from now on."""
    global _report
    _report = report
