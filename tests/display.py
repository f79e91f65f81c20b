"""A display that keeps what a view draws, and events to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.events import OutputChunk, RunEnded, RunStarted, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["STACKS", "FakeControls", "FakeDisplay", "ended", "out", "started"]

STACKS = """\
Rank 0 waits in all_reduce (Cell In[4], line 9); rank 1 is not there: it is at \
`time.sleep(600)` (Cell In[4], line 7).

Rank 0:
  File "Cell In[4]", line 9 in hang

Rank 1:
  File "Cell In[4]", line 7 in hang"""
"""What `%ddp_stacks` answers where a rank does not come."""


class FakeHandle:
    """An output; `shown` holds every bundle that it ever was."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.shown = [dict(data)]
        self.metadata: dict[str, Any] = {}

    def update(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        self.shown.append(dict(data))
        self.metadata = dict(metadata or {})


class FakeDisplay:
    """Keeps outputs in `handles`, the notebook's ids in `replaced`, text in `out` and `err`.

    What a terminal would get, text of both kinds, is in `tty`; a page asks by `heard[type]`.
    """

    def __init__(self, *, is_terminal: bool = False) -> None:
        self.is_terminal = is_terminal
        self.kernel_id = "5c8e-aa"
        self.handles: list[FakeHandle] = []
        self.replaced: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.heard: dict[str, Callable[[object], None]] = {}
        self.out = self.err = self.tty = ""

    def show(
        self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
    ) -> FakeHandle:
        self.handles.append(FakeHandle(data))
        self.handles[-1].metadata = dict(metadata or {})
        return self.handles[-1]

    def replace(self, name: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        self.replaced[name] = dict(data), dict(metadata)

    def hear(self, name: str, act: Callable[[object], None]) -> Callable[[], None]:
        self.heard[name] = act

        def end() -> None:
            self.heard.pop(name, None)

        return end

    def write(self, text: str, *, stderr: bool = False) -> None:
        self.tty += text
        if stderr:
            self.err += text
        else:
            self.out += text


class FakeControls:
    """Keeps what was pressed in `pressed`."""

    def __init__(self, stacks: str = "Rank 0: nowhere") -> None:
        self.pressed: list[Any] = []
        self._stacks = stacks

    def stop(self) -> None:
        self.pressed.append("stop")

    def extend(self, seconds: float) -> None:
        self.pressed.append(("extend", seconds))

    def background(self) -> None:
        self.pressed.append("background")

    def stacks(self) -> str:
        self.pressed.append("stacks")
        return self._stacks


def started(**changes: Any) -> RunStarted:
    facts: dict[str, Any] = {
        "time": 1000.0,
        "run_id": "run-3",
        "label": "Cell In[7]",
        "world_size": 2,
        "devices": ("CPU", "CPU"),
        "overrides": ("lr=0.05 → Trainer(lr)",),
        "note": "",
        "log_dir": "/tmp/ddp_magic-x/run-3/logs",
        "shown": (0,),
    }
    return RunStarted(**(facts | changes))


def out(data: bytes | str, rank: int = 0, **changes: Any) -> OutputChunk:
    raw = data if isinstance(data, bytes) else data.encode()
    facts: dict[str, Any] = {"time": 1001.0, "rank": rank, "stream": "stdout", "data": raw}
    return OutputChunk(**(facts | changes))


def ended(**changes: Any) -> RunEnded:
    facts: dict[str, Any] = {
        "time": 1004.2,
        "state": RunState.SUCCEEDED,
        "duration": 4.2,
        "summary": "",
    }
    return RunEnded(**(facts | changes))
