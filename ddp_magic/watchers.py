"""Runs in the kernel: who watches a run besides its followers, and adds events of its own."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ddp_magic.sampler import Sampler, meter
from ddp_magic.stall import Doctor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ddp_magic.devices import Placement
    from ddp_magic.events import Event, Stalled

__all__ = ["Watchers"]

_EVERY = 1.0
"""Seconds between two questions to the doctor."""


class Watchers:
    """The sampler and the doctor of one run."""

    def __init__(self, placement: Placement) -> None:
        self._sampler = Sampler(meter(placement), placement.world_size)
        self._doctor = Doctor(placement.labels)
        self._looked = 0.0

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on, and add what is seen beside them; to be called again and again."""
        for event in events:
            self._see(event)
            yield event
        if (devices := self._sampler.take()) is not None:
            self._see(devices)
            yield devices
        if (stalled := self._judged(time.time())) is not None:
            yield stalled

    def _see(self, event: Event) -> None:
        self._sampler.see(event)
        with contextlib.suppress(Exception):  # a mistake of ours must not end a training
            self._doctor.see(event)

    def _judged(self, now: float) -> Stalled | None:
        if now - self._looked < _EVERY:
            return None
        self._looked = now
        with contextlib.suppress(Exception):
            return self._doctor.look(now)
        return None

    def close(self) -> None:
        """End what runs beside."""
        self._sampler.close()
