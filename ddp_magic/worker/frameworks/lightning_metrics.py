"""What a Lightning program logs, reported under its names and steps; in rank 0."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.reporting import log
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["report"]

_CLASS = "_LoggerConnector"
_FREE = 200
"""Steps that are reported however fast they come."""
_PERIOD = 0.5
"""Seconds between two steps past these. A number on a GPU waits for what is computed there."""


def report(module: ModuleType) -> None:
    """Report what this module's connector hands to loggers, and each step's numbers between.

    Loggers themselves get a step in 50 unless told otherwise, and a short training has fewer.
    Nothing is computed for it, since only rank 0 reports and some numbers are a collective.
    """
    if os.environ.get("RANK") == "0":
        reports = _Reports()
        patch(module, f"{_CLASS}.log_metrics", around(reports.logged))
        patch(module, f"{_CLASS}.on_batch_end", around(reports.batch_ended))


class _Reports:
    """What was reported, and what waits to be."""

    def __init__(self) -> None:
        self._free = _FREE
        self._at = 0.0
        self._held: tuple[int, dict[str, Any]] | None = None

    def logged(
        self, wrapped: Callable[..., None], connector: Any, args: Any, given: dict[str, Any]
    ) -> None:
        """Report what goes to the loggers."""
        wrapped(*args, **given)
        with contextlib.suppress(Exception):  # another release; the training must not suffer
            self._logged(connector, *args, **given)

    def _logged(self, connector: Any, metrics: dict[str, Any], step: int | None = None) -> None:
        if step is not None:  # the steps of a validation count anew
            return
        if self._held:
            log(self._held[1], step=self._held[0])
        self._held = None
        if metrics:  # an epoch may end without any
            log(metrics, step=connector.trainer.global_step)

    def batch_ended(
        self, wrapped: Callable[..., None], connector: Any, args: Any, given: dict[str, Any]
    ) -> None:
        """Report a step of the training, or hold it until it is time or an epoch ends."""
        wrapped(*args, **given)
        with contextlib.suppress(Exception):  # as above
            self._batch_ended(connector)

    def _batch_ended(self, connector: Any) -> None:
        if not connector.trainer.training or connector.should_update_logs:
            return
        found = connector.metrics
        self._held = connector.trainer.global_step, {**found["pbar"], **found["log"]}
        now = time.monotonic()
        if self._free or now - self._at >= _PERIOD:
            self._free, self._at = max(0, self._free - 1), now
            log(self._held[1], step=self._held[0])
            self._held = None
