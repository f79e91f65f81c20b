"""Plays a scripted run to a real view in a real kernel; imported by the notebooks of the tests.

It stands where the real run stands: the cell blocks, events come in, an interrupt sets a flag.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython import get_ipython

from ddp_magic import views
from ddp_magic.events import (
    Event,
    Notice,
    OutputChunk,
    RunEnded,
    RunStarted,
    RunState,
    StateChanged,
)
from ddp_magic.shell import Shell
from tests.display import FakeControls

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BARS",
    "HOSTILE",
    "Until",
    "flood",
    "hostile_end",
    "hostile_steps",
    "notice",
    "out",
    "play",
    "started",
]


class Until:
    """A step of a script: go on when the test has made this file beside the notebook."""

    def __init__(self, name: str) -> None:
        self.path = Path(name)


def started(**changes: Any) -> RunStarted:
    """Return a run's first event."""
    facts: dict[str, Any] = {
        "time": time.time(),
        "run_id": "run-3",
        "label": "Cell In[7]",
        "world_size": 2,
        "devices": ("CPU", "CPU"),
        "overrides": ("epochs=3 → Trainer(epochs)", "lr=0.05 → Trainer(lr)"),
        "note": "first try",
        "log_dir": "/tmp/ddp_magic-x8f2k1/run-3/logs",
        "shown": (0,),
    }
    return RunStarted(**(facts | changes))


def out(data: bytes | str, rank: int = 0, stream: Any = "stdout") -> OutputChunk:
    """Return output of a rank."""
    raw = data if isinstance(data, bytes) else data.encode()
    return OutputChunk(time=time.time(), rank=rank, stream=stream, data=raw)


def notice(text: str, *, warning: bool = False) -> Notice:
    """Return a notice."""
    return Notice(time=time.time(), text=text, warning=warning)


def play(steps: Iterable[Event | Until], *, kind: Any = "widget", end: Any = None) -> list[str]:
    """Show a run, block until its script is over or it is stopped twice; return who stopped it.

    The first Stop lets the script go on (the test's trainer "saves"), the second ends it.
    """
    stops: list[str] = []
    main = threading.current_thread()

    class Pressed(FakeControls):
        def stop(self) -> None:
            where = "interrupt" if threading.current_thread() is main else "message"
            stops.append(where)

    controls = Pressed()
    before = signal.signal(signal.SIGINT, lambda *_: controls.stop())
    shell = get_ipython()
    assert shell is not None
    view = views.make(kind, Shell(shell), controls)
    try:
        _blocking(view, steps, stops)
    finally:
        signal.signal(signal.SIGINT, before)
    state = RunState.STOPPED if stops else RunState.SUCCEEDED
    view.handle(end or _ended(state))
    view.close()
    return stops


def _blocking(view: views.View, steps: Iterable[Event | Until], stops: list[str]) -> None:
    said = False
    for step in steps:
        if not isinstance(step, Until):
            view.handle(step)
            view.tick(time.time())
            continue
        while not step.path.exists() and len(stops) < 2:
            if stops and not said:
                said = True
                reason = "interrupted: 30 s to finish"
                now = time.time()
                until = now + 30
                view.handle(
                    StateChanged(time=now, state=RunState.STOPPING, reason=reason, until=until)
                )
            view.tick(time.time())
            time.sleep(0.05)


def _ended(state: RunState) -> RunEnded:
    return RunEnded(
        time=time.time(),
        state=state,
        duration=4.2,
        summary="stopped by Stop" if state is RunState.STOPPED else "",
        outputs=("history", "model"),
    )


BARS = (
    "\x1b[1;32mrank 0 ready\x1b[0m on \x1b[36mcpu\x1b[0m\n",
    "epoch 1: loss \x1b[33m0.6931\x1b[0m\n",
    "epoch 2: loss \x1b[33m0.4127\x1b[0m\n",
)

CLEAR = "\x1b[2J\x1b[999A"
HOSTILE = (
    "<script>window.pwned=1</script>"
    "</script></pre></code><img src=x onerror='window.pwned=2'>"
    '"\' autofocus onfocus=window.pwned=3 x="'
    "\x1b]8;;javascript:window.pwned=4\x1b\\link\x1b]8;;\x1b\\"
    "\x1b]0;title\x07" + CLEAR + "\x9b31m\u202eelif\u2066\x00\x07"
    "$\\href{javascript:window.pwned=5}{x}$ {{7*7}} ${window.pwned=6} &lt;b&gt;"
)


def hostile_steps() -> list[Event | Until]:
    """Return a run in which every text that anybody wrote is an attack."""
    label = HOSTILE[:300]
    attack = started(
        run_id=label, label=label, devices=(label, label), overrides=(HOSTILE,), note=HOSTILE
    )
    running = StateChanged(time=time.time(), state=RunState.RUNNING, reason=HOSTILE)
    printed = HOSTILE.replace(CLEAR, "")  # which a terminal obeys, and so do we: it would erase
    streams = [out(printed + "\n", rank, s) for rank in (0, 1) for s in ("stdout", "stderr")]
    bar = out(f"{CLEAR}\r{printed}", stream="stderr")
    return [attack, running, notice(HOSTILE), notice(HOSTILE, warning=True), *streams, bar]


def hostile_end() -> RunEnded:
    """Return the end of that run."""
    return RunEnded(
        time=time.time(),
        state=RunState.FAILED,
        duration=1.0,
        summary=HOSTILE,
        cause=f"Traceback\n{HOSTILE}\n{HOSTILE}",
        outputs=(HOSTILE,),
        missing=(HOSTILE,),
    )


def flood(lines: int, chunk: int = 500) -> Iterable[Event]:
    """Return a run that prints as fast as it can, both ranks."""
    yield started()
    for first in range(0, lines, chunk):
        for rank in (0, 1):
            text = "".join(f"step {n} {'x' * 60}\n" for n in range(first, first + chunk))
            yield out(text, rank)
        time.sleep(0.01)
