"""What happens in a run, as frozen values: made by `follow`, drawn by `views`.

Imported by the kernel only. A view knows these and nothing else of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from ddp_magic.samples import GpuSample, WorkerSample

__all__ = [
    "Cleared",
    "Detached",
    "Devices",
    "Displayed",
    "Event",
    "Metrics",
    "Notice",
    "OutputChunk",
    "Progress",
    "RunEnded",
    "RunStarted",
    "RunState",
    "Stalled",
    "StateChanged",
    "Stream",
    "WorkerExited",
    "WorkerStarted",
]

Stream: TypeAlias = Literal["stdout", "stderr"]


class RunState(StrEnum):
    """What a run is doing; the last three are final."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """The run was accepted; its processes are being started."""

    time: float
    """Seconds since the epoch, as in every event."""
    run_id: str
    """Unique within the kernel, as ``run-3``."""
    label: str
    """The cell, as ``Cell In[7]``."""
    world_size: int
    devices: tuple[str, ...]
    """One human-readable device per rank, as ``cuda:1 NVIDIA H200`` or ``CPU``."""
    overrides: tuple[str, ...]
    """What each override went to, as ``lr=0.05 → Trainer(lr)``."""
    note: str  # the line's comment, or empty
    log_dir: str
    """The directory of the ranks' logs."""
    shown: tuple[int, ...]
    """The ranks whose output the main view shows."""
    name: str = ""
    """What the user named it, or empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChanged:
    """The run entered another state that is not final (`RunEnded` tells of those)."""

    time: float
    state: RunState
    reason: str = ""
    """Why, in words for the user, as ``interrupted: 30 s to finish``; may be empty."""
    until: float | None = None
    """When what still runs will be killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detached:
    """The run goes on in the background: no cell waits for it, so no interrupt reaches it."""

    time: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStarted:
    """A worker process of one rank exists."""

    time: float
    rank: int
    attempt: int
    """0 for the first; `--restarts` gives further ones."""
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerExited:
    """A worker process is gone."""

    time: float
    rank: int
    attempt: int
    exit_code: int | None
    """What the worker said it leaves with; None where it was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputChunk:
    """Bytes that a rank wrote, untouched; a chunk may end inside a line or a character."""

    time: float
    rank: int
    stream: Stream
    data: bytes
    skipped: int = 0
    """Bytes of this stream that are missing just before `data` (capped log)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that the user should know: one sentence from us, never from a worker."""

    time: float
    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded:
    """The run is over; its state is final and no process of it is left."""

    time: float
    state: RunState
    duration: float  # in seconds
    summary: str
    """One line for the record, as ``rank 1 failed: ValueError: diverged``; may be empty."""
    cause: str = ""
    """The root cause's traceback in notebook lines (plain text, several lines); may be empty."""
    outputs: tuple[str, ...] = ()
    """The names that came back into the notebook."""
    missing: tuple[str, ...] = ()
    """What did not come back, each as ``model: reason``."""
    versions: tuple[str, ...] = ()  # each as ``torch 2.13.0``


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Numbers that a rank reported at one moment."""

    time: float
    rank: int
    step: float | None
    """What the rank counts in, as a step or an epoch; None where it did not say."""
    values: tuple[tuple[str, float], ...]
    """Names as the worker wrote them (they are anybody's text) with values, which may be NaN."""
    logged: bool = True
    """By `ddp_magic.log`; False where it was read from what the rank printed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a bar that a rank draws has come."""

    time: float
    rank: int
    label: str
    """What the bar says in front; may be empty."""
    done: float
    total: float
    left: float | None = None
    """Seconds that the bar expects still to take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """What the run takes of the machine, sampled outside of the workers."""

    time: float
    gpus: tuple[GpuSample, ...]
    workers: tuple[WorkerSample, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Displayed:
    """Rank 0 displayed something, as a figure or a table: a mime bundle for the notebook."""

    time: float
    data: dict[str, Any]
    metadata: dict[str, Any]
    display_id: str
    """Names the output for updates; may be empty."""
    update: bool = False
    """Whether it replaces what was displayed under this id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """Rank 0 took away what it had displayed, by `clear_output`."""

    time: float
    wait: bool
    """Whether it stays until something new is displayed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stalled:
    """The run seems to hang, for which reason; or goes on again, for none."""

    time: float
    why: str


Event: TypeAlias = (
    RunStarted
    | StateChanged
    | Detached
    | WorkerStarted
    | WorkerExited
    | OutputChunk
    | Notice
    | Metrics
    | Progress
    | Devices
    | Displayed
    | Cleared
    | Stalled
    | RunEnded
)
