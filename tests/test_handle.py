"""Waiting for a run that goes on, without one: what an interrupt may strike."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import pytest

from ddp_magic.handle import RunHandle

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

WAIT = threading.Condition.wait.__code__


class Waited:
    """A run that never ends."""

    def __init__(self) -> None:
        self.future: Future[object] = Future()
        self.state = "running"


def waited(at_line: Callable[[int], None]) -> str:
    """Wait for a run, and call `at_line` at the lines of the lock's own waiting."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is WAIT and event == "line":
            at_line(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return RunHandle(cast("Any", Waited())).wait(0.02)
    finally:
        sys.settrace(before)


def test_an_interrupt_is_one_at_whatever_line_of_a_lock_it_strikes():
    lines: list[int] = []
    assert waited(lines.append) == "running"
    # one of them is where Condition.wait has released its lock: "release unlocked lock", before
    assert len(set(lines)) > 5

    for struck in sorted(set(lines)):
        with pytest.raises(KeyboardInterrupt):
            waited(
                lambda line, at=struck: signal.raise_signal(signal.SIGINT) if line == at else None
            )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
